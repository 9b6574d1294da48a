"""Witnesses that no scenario can be: several clients of one venue, or one component without the others behind it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from faultline.faults import Disconnect
from faultline.session import RunningVenue, Session
from targets.mutants.keyed_flow import HANDLER, NEVER_OPENS
from targets.order_flow import OrderFlow
from targets.resilience.circuit_breaker import CircuitBreaker
from targets.resilience.connection_manager import SignalRConfig, SignalRConnectionManager
from targets.resilience.error_handler import ErrorHandler
from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient
from targets.resilience.plain_dialect import generic_venue
from targets.resilience.rate_limiter import Limiter, RateLimiter, RateLimiterConfig
from targets.resilience.token_manager import TokenManager, TokenManagerConfig
from targets.resilience.venue import OrderSide, OrderType, Placement
from targets.resilience.venues.generic import GenericLogin, GenericVenue

SYMBOL = "NQ"
HERD = 24
SPREAD_MS = 10_000.0


class Venue:
    """The generic venue as one account sees it: a connection pool, a login, and a limit that all its clients share."""

    def __init__(self, running: RunningVenue, limit: RateLimiterConfig | None = None) -> None:
        self.running = running
        self._limit = limit or RateLimiterConfig(1_000, 1.0, 10_000)
        self._shared = RateLimiter(self._limit)
        self.http = HttpClient(running.url, request_timeout=2_000)
        login = GenericLogin(self.http, RateLimiter(RateLimiterConfig()), running.client_id, running.client_secret)
        self.tokens = TokenManager(TokenManagerConfig(), login)
        self.rest = GenericVenue(self.http, self.tokens)

    def limiter(self) -> Limiter:
        """The limiter for a client of this account."""
        return self._shared

    def handler(self) -> ErrorHandler:
        """The error handler of one client."""
        return ErrorHandler(HANDLER, self.limiter(), CircuitBreaker(NEVER_OPENS))

    async def order(self, side: str, quantity: object, price: object, *, key: str = "") -> Any:
        """One order, sent once."""
        kind = OrderType.LIMIT if price else OrderType.MARKET
        key = key or f"{side}-{quantity}-{price}"
        terms = SYMBOL, OrderSide(side), kind, Decimal(str(quantity)), Decimal(str(price)) if price else None
        return await self.rest.place(Placement(key, "", *terms), unless=lambda: False)

    async def close(self) -> None:
        """Close what is open."""
        await self.tokens.close()
        await self.http.close()


# Connections


async def a_herd_comes_back(session: Session) -> None:
    """Many clients lose their streams at the same moment."""
    venue = Venue(await session.venue("generic"))
    config = SignalRConfig(
        url=f"{venue.running.stream_url}/stream", reconnect_delays=(500,), max_reconnect_attempts=None, spread=SPREAD_MS
    )
    herd = [SignalRConnectionManager(config, venue.tokens, dialect=generic_venue()) for _ in range(HERD)]
    for one in herd:
        await one.subscribe("fills")
        await one.connect()
    with session.inject(Disconnect(at_s=0.5)):
        await asyncio.sleep(20)
    for one in herd:
        await one.disconnect()
    await session.settle()
    await venue.close()


async def fills_are_counted_by_a_handler(session: Session) -> None:
    """A listener that counts what it is told, on a stream that is lost and comes back."""
    venue = Venue(await session.venue("generic", fill_delay_s=0.1))
    config = SignalRConfig(
        url=f"{venue.running.stream_url}/stream", reconnect_delays=(500,), max_reconnect_attempts=None
    )
    stream = SignalRConnectionManager(config, venue.tokens, dialect=generic_venue())
    stream.on("fills", lambda message: session.believe(fills=(str(message["data"]["fill_id"]),)))
    await stream.subscribe("fills")
    await stream.connect()
    with session.inject(Disconnect(at_s=1.0)):
        await asyncio.sleep(3)
    for number in range(3):
        with session.intent("buy", quantity=1, price=100 + number, symbol=SYMBOL):
            await venue.order("buy", 1, 100 + number)
    await session.settle()
    await stream.disconnect()
    await venue.close()


# Two clients, and an account that others use too


async def two_clients_of_one_account(session: Session) -> None:
    """Each sends a burst at the same time."""
    limits = ({"name": "o", "limit": 10, "window_s": 1.0, "weights": {"POST /orders": 1}},)
    venue = Venue(await session.venue("generic", rate_limit=_limits(limits)), RateLimiterConfig(10, 1.0, 1_000))
    clients = [venue.handler(), venue.handler()]
    prices = iter(range(100, 200))

    async def order(client: ErrorHandler) -> None:
        price = next(prices)
        with session.intent("buy", quantity=1, price=price, symbol=SYMBOL), suppress(APIError):
            await client.execute(lambda: venue.order("buy", 1, price), endpoint="Order/place")

    await venue.tokens.get_valid_token()
    await asyncio.gather(*(order(client) for client in clients for _ in range(15)))
    await session.settle()
    await venue.close()


def _limits(limits: Any) -> Any:
    from faultline.venues.settings import RateLimit

    return tuple(RateLimit(**limit) for limit in limits)


async def somebody_else_trades(session: Session) -> None:
    """An order in the same account that is not the client's own."""
    venue = Venue(await session.venue("generic"))
    with tempfile.TemporaryDirectory() as folder:
        client = _client(venue.running, Path(folder) / "state.db")
        session.observe(lambda: {"positions": client.snapshot()["positions"]})
        await client.start()
        with session.intent("buy", quantity=2, price=100, symbol=SYMBOL):
            await client.place("I1", symbol=SYMBOL, side="buy", order_type="limit", quantity="2", price="100")
        with session.intent("buy", quantity=3, price=101, symbol=SYMBOL):
            await venue.order("buy", 3, 101)
        await asyncio.sleep(8)
        await session.settle()
        await client.stop()
    await venue.close()


def _client(running: RunningVenue, store: Path) -> OrderFlow:
    return OrderFlow(
        rest_url=running.url,
        stream_url=running.stream_url,
        store_path=str(store),
        client_id=running.client_id,
        client_secret=running.client_secret,
    )


async def the_store_is_moved(session: Session) -> None:
    """The store is copied as one file, and a new process goes on with the copy."""
    running = await session.venue("generic", idempotency="none", fill_delay_s=0.2)
    terms = {"symbol": SYMBOL, "side": "buy", "order_type": "limit", "quantity": "2", "price": "100"}
    with tempfile.TemporaryDirectory() as folder:
        first = _client(running, Path(folder) / "state.db")
        await first.start()
        with session.intent("buy", quantity=2, price=100, symbol=SYMBOL):
            await first.place("I1", **terms)
        await asyncio.sleep(1)
        (Path(folder) / "moved").mkdir()
        shutil.copy(Path(folder) / "state.db", Path(folder) / "moved" / "state.db")
        await first.stop()
        second = _client(running, Path(folder) / "moved" / "state.db")
        await second.start()
        await second.place("I1", **terms)
        await asyncio.sleep(1)
        await session.settle()
        await second.stop()

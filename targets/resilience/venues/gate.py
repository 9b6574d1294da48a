"""Gate v4 spot: five signed lines, and a ``text`` that protects from nothing.

* The same ``text`` makes another order, so nothing is sent again before a query has said no for as long as a request
  may arrive. A signature is good for 60 s either way of its time; it is dated back, so that only ``GOOD_FOR_S`` of
  that are left, and a request that arrives later is refused.
* A ``text`` has room for 28 characters, so keys are that short.
* The size of a market buy is in what is spent, which an order here does not say: refused before it is sent.
* Trades come newest first and by page.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from targets.resilience.adapter import Adapter
from targets.resilience.config import VenueConfig
from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient, Reply
from targets.resilience.rate_limiter import Limiter
from targets.resilience.signed_access import Keys, SignedAccess
from targets.resilience.token_manager import TokenManagerConfig
from targets.resilience.venue import (
    Account,
    Fill,
    FillPage,
    Order,
    OrderEndedError,
    OrderSide,
    OrderType,
    Placement,
    Position,
    UnknownOrderError,
    UnreadableError,
    VenueRules,
)
from targets.resilience.venues.gate_stream import (
    TEXT_MAX,
    GateReading,
    Proof,
    account_stream,
    read_order,
    read_trade,
    text_of,
)
from targets.resilience.venues.spot import PAIRS, Pair, Walk, clock, parted, still_wanted, whole
from targets.resilience.wire import read_decimal, read_list, read_object

T = TypeVar("T")
SPOT: Final = "/api/v4/spot"
WINDOW_S: Final = 60
GOOD_FOR_S: Final = 10
TRADES_MAX: Final = 1000
_OK: Final = frozenset({200, 201})
_DECLINED, _READ_AGAIN = 422, 401


class GateVenue:
    """Orders, trades and balances over REST. Implements :class:`targets.resilience.venue.Venue`."""

    def __init__(
        self, http: HttpClient, access: SignedAccess, keys: Keys, pairs: tuple[Pair, ...], rules: VenueRules
    ) -> None:
        self._http = http
        self._access = access
        self._keys = keys
        self._pairs = pairs
        self.rules = rules

    async def place(self, placement: Placement, *, unless: Callable[[], bool]) -> Order:
        """Place an order under its key, which protects from nothing."""
        body = {
            "text": text_of(placement.client_key),
            "currency_pair": placement.contract_id,
            "side": placement.side.value,
            "amount": f"{placement.size:f}",
            "type": placement.type.value,
        }
        if placement.type == OrderType.MARKET:
            if placement.side == OrderSide.BUY:
                raise APIError("a market buy is sized in what it spends at this venue", _DECLINED)
            body["time_in_force"] = "ioc"
        elif placement.limit_price is not None:
            body["price"] = f"{placement.limit_price:f}"

        def placed(data: object) -> Order:
            found = read_order(data)
            if found.client_key != placement.client_key:
                raise UnreadableError(f"asked for {placement.client_key}, answered about {found.client_key!r}")
            return found

        return await self._call(placed, "POST", "/orders", body=body, unless=unless)

    async def find(self, client_key: str, contract_id: str) -> Order | None:
        """The newest order with this key; None when there is none *as yet*."""
        path = f"/orders/{quote(text_of(client_key), safe='')}"
        try:
            return await self._call(read_order, "GET", path, query={"currency_pair": contract_id})
        except UnknownOrderError:
            return None

    async def order(self, order_id: str) -> Order:
        """One order."""
        return await self._one("GET", order_id)

    async def open_orders(self) -> tuple[Order, ...]:
        """All orders that the venue holds open, by pair."""

        def read(data: object) -> tuple[Order, ...]:
            by_pair = _each(data, lambda pair: read_list(pair, "orders", read_order))
            return tuple(order for orders in by_pair for order in orders)

        return await self._call(read, "GET", "/open_orders")

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order; the order as it stands then."""
        return await self._one("DELETE", order_id)

    async def replace(self, order_id: str, *, size: Decimal, price: Decimal | None) -> Order:
        """Give an order a new size and price; the order as it stands then."""
        body = {"amount": f"{size:f}"} | ({} if price is None else {"price": f"{price:f}"})
        return await self._one("PATCH", order_id, body)

    async def _one(self, method: str, order_id: str, body: Mapping[str, str] | None = None) -> Order:
        symbol, own_id = parted(order_id)

        def read(data: object) -> Order:
            found = read_order(data)
            if found.id != order_id:
                raise UnreadableError(f"asked about {order_id}, answered about {found.id}")
            return found

        path = f"/orders/{quote(own_id, safe='')}"
        return await self._call(read, method, path, body=body, query={"currency_pair": symbol})

    async def fills(self, since: str) -> FillPage:
        """A page of trades, from the youngest to the oldest; ``place`` of the walk is the number of the next page."""
        walk = Walk.of(since)
        page = int(walk.place or 1)
        query = {"from": str(walk.from_ms // 1000), "limit": str(TRADES_MAX), "page": str(page)}
        found = await self._call(lambda data: _each(data, _timed), "GET", "/my_trades", query=query)
        return walk.page(found, str(page + 1) if len(found) >= TRADES_MAX else "")

    async def positions(self) -> tuple[Position, ...]:
        """What is held of each base asset, under the pair's name."""
        held = await self._balances()
        return tuple(Position(pair.symbol, held[pair.base]) for pair in self._pairs if held.get(pair.base))

    async def account(self) -> Account:
        """The balance is in the quote asset of the first pair."""
        return Account("", (await self._balances()).get(self._pairs[0].quote, Decimal(0)))

    async def _balances(self) -> Mapping[str, Decimal]:
        def read(data: object) -> Mapping[str, Decimal]:
            return dict(_each(data, _balance))

        return await self._call(read, "GET", "/accounts")

    async def _call(
        self,
        read: Callable[[object], T],
        method: str,
        path: str,
        *,
        body: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        unless: Callable[[], bool] | None = None,
    ) -> T:
        what = f"{method} {path}"
        await self._access.get_ready()
        still_wanted(unless, what)
        content = b"" if body is None else json.dumps(body).encode()
        written = urlencode(query) if query else ""
        at = str(self._access.now_ms() // 1000 - (WINDOW_S - GOOD_FOR_S))
        headers = signed_headers(self._keys, at, method, SPOT + path, written, content)
        target = f"{SPOT}{path}?{written}" if written else SPOT + path
        reply = await self._http.send(method, target, headers=headers, content=content or None)
        if reply.status not in _OK:
            raise self._error(reply, what)
        try:
            return read(reply.data)
        except UnreadableError as error:
            raise UnreadableError(f"{what}: {reply.status} with an unreadable body: {error}", 200) from error

    def _error(self, reply: Reply, what: str) -> APIError:
        fields: Mapping[str, Any] = reply.data if isinstance(reply.data, dict) else {}
        label = str(fields.get("label") or "")
        message = f"{what}: {reply.status} {label} {str(fields.get('message') or '')[:200]}"
        if label == "REQUEST_EXPIRED":
            self._access.reject("")
            return APIError(message, _READ_AGAIN, code=label, effect="none")
        if label == "ORDER_NOT_FOUND":
            return UnknownOrderError(message, reply.status, code=label)
        if label in ("ORDER_CLOSED", "ORDER_CANCELLED"):
            return OrderEndedError(message, reply.status, code=label)
        if not label and reply.status == 400:
            return UnreadableError(message, reply.status)
        try:
            reply.raise_for_status(what, code=label)
        except APIError as error:
            return error
        return UnreadableError(message, reply.status)


def signed_headers(keys: Keys, at: str, method: str, path: str, query: str, content: bytes) -> dict[str, str]:
    """The three headers, signed over exactly what is sent."""
    payload = "\n".join((method, path, query, hashlib.sha512(content).hexdigest(), at))
    return {
        "Content-Type": "application/json",
        "KEY": keys.key,
        "Timestamp": at,
        "SIGN": signature(keys, payload),
    }


def signature(keys: Keys, payload: str) -> str:
    """HMAC-SHA512 in hex."""
    return hmac.new(keys.secret.encode(), payload.encode(), hashlib.sha512).hexdigest()


def _each(data: object, read: Callable[[object], T]) -> tuple[T, ...]:
    return read_list({"list": data}, "list", read)


def _timed(data: object) -> tuple[int, Fill]:
    return whole(read_object(data, "a trade").get("create_time_ms"), "create_time_ms"), read_trade(data)


def _balance(data: object) -> tuple[str, Decimal]:
    fields = read_object(data, "a balance")
    return str(fields.get("currency")), read_decimal(fields, "available") + read_decimal(fields, "locked")


def server_time(data: object) -> float:
    """The time in an answer of ``/spot/time``."""
    return float(whole(read_object(data, "an answer").get("server_time"), "server_time"))


def gate_adapter(config: VenueConfig, http: HttpClient, limiter: Limiter, tokens: TokenManagerConfig) -> Adapter:
    """Gate spot and the account's channels. ``client_id`` is the API key; requests expire, so none is late."""
    access = clock(http, limiter, f"{SPOT}/time", server_time)
    keys = Keys(config.client_id, config.client_secret)
    pairs = tuple(Pair.read(text, "_") for text in config.pairs or PAIRS)

    def prove(channel: str) -> Proof:
        at = access.now_ms() // 1000
        return Proof(at, keys.key, signature(keys, f"channel={channel}&event=subscribe&time={at}"))

    venue = GateVenue(
        http,
        access,
        keys,
        pairs,
        VenueRules("none", min(config.late_seconds, GOOD_FOR_S + 2), config.query_lag_seconds, key_length=TEXT_MAX),
    )
    subscriptions = (("spot.orders", "!all"), ("spot.usertrades", "!all"))
    return Adapter(access, venue, GateReading(), account_stream(prove), "/ws/v4/", subscriptions)

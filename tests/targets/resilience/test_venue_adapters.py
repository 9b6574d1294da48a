"""Each adapter against the profile of its venue: the seam's promises, and what the venue does differently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from faultline.faults import Disconnect, LostResponse, MalformedBody, PartialFill, Reject, StatusStorm, UnknownStatus
from faultline.faults.base import Fault
from faultline.history.event import Received
from faultline.session import Session
from targets.resilience.adapter import Adapter
from targets.resilience.errors import APIError, NotSentError
from targets.resilience.http_client import HttpClient
from targets.resilience.signed_access import AGAIN_S, TRUSTED_S, SignedAccess
from targets.resilience.venue import (
    DuplicateKeyError,
    OrderEndedError,
    OrderSide,
    OrderStatus,
    OrderType,
    Placement,
    UnknownOrderError,
    UnreadableError,
    WithdrawnError,
)
from targets.resilience.venues import gate, mexc, okx
from targets.resilience.venues.spot import Walk
from targets.venue_flows import BinanceFlow, GateFlow, MexcFlow, OkxFlow, ProjectXFlow

from ..conftest import Stage, until


@dataclass(frozen=True)
class Place:
    """A venue: the client there, its symbol, and the endpoint that takes orders."""

    profile: str
    flow: Any
    symbol: str
    orders: str
    says: str = ""
    duplicate: str = "refused while open"

    @property
    def contract(self) -> str:
        return str(self.flow.contracts.get(self.symbol, self.symbol))

    def order(self, key: str, *, side: OrderSide = OrderSide.BUY) -> Placement:
        return Placement(key, "", self.contract, side, OrderType.LIMIT, Decimal(4), Decimal(100))


PROJECTX = Place("projectx", ProjectXFlow, "NQ", "POST /api/Order/place", "plain", "refused for ever")
BINANCE = Place("binance", BinanceFlow, "BTCUSDT", "POST /api/v3/order", "binance -1006")
OKX = Place("okx", OkxFlow, "BTC-USDT", "POST /api/v5/trade/order", "okx 50004")
GATE = Place("gate", GateFlow, "BTC_USDT", "POST /api/v4/spot/orders", "gate SERVER_ERROR", "another order")
MEXC = Place("mexc", MexcFlow, "BTCUSDT", "POST /api/v3/order", "mexc 504", "another order")
PLACES = pytest.mark.parametrize("place", [PROJECTX, BINANCE, OKX, GATE, MEXC], ids=lambda place: place.profile)
WITH_STREAM = pytest.mark.parametrize("place", [PROJECTX, BINANCE, OKX, GATE], ids=lambda place: place.profile)
KEY = "0123456789abcdef0123456789ab"


@asynccontextmanager
async def adapted(faultline: Session, place: Place, **settings: Any) -> AsyncIterator[Adapter]:
    found = await faultline.venue(place.profile, **settings)
    config = replace(
        place.flow.config.venue,
        rest_url=found.url,
        stream_url=found.stream_url,
        client_id=found.client_id,
        client_secret=found.client_secret,
    )
    http = HttpClient(found.url, request_timeout=2_000)
    limiter = place.flow.config.rate_limits.limiter(place.flow.config.rate_limiter)
    adapter = place.flow.adapter(config, http, limiter, place.flow.config.token_manager)
    try:
        yield adapter
    finally:
        await adapter.access.close()
        await http.close()


def always() -> bool:
    return False


@PLACES
async def test_an_order_is_placed_found_filled_and_told(faultline: Session, place: Place) -> None:
    async with adapted(faultline, place, fill_delay_s=2.0, read_lag_s=0.0) as adapter:
        venue = adapter.venue
        assert await venue.find(KEY, place.contract) is None
        placed = await venue.place(place.order(KEY), unless=always)
        assert (placed.status, placed.client_key, placed.contract_id) == (OrderStatus.OPEN, KEY, place.contract)
        found = await venue.find(KEY, place.contract)
        assert found is not None
        assert (found.id, found.client_key, found.size, found.price) == (placed.id, KEY, 4, 100)
        assert await venue.order(placed.id) == found
        assert await venue.open_orders() == (found,)
        assert (await venue.fills("")).fills == ()
        await asyncio.sleep(3)
        ended = await venue.order(placed.id)
        assert (ended.status, ended.filled, await venue.open_orders()) == (OrderStatus.FILLED, 4, ())
        page = await venue.fills("")
        assert [(fill.order_id, fill.contract_id, fill.signed, fill.price) for fill in page.fills] == [
            (placed.id, place.contract, 4, 100)
        ]
        assert not page.more
        positions = {position.contract_id: position.size for position in await venue.positions()}
        assert positions[place.contract] == (4 if place is PROJECTX else 10_004)
        assert (await venue.account()).balance > 0


@PLACES
async def test_fills_are_read_on_from_a_cursor(faultline: Session, place: Place, monkeypatch: Any) -> None:
    for module, name in ((okx, "FILLS_MAX"), (gate, "TRADES_MAX"), (mexc, "TRADES_MAX")):
        monkeypatch.setattr(module, name, 2)
    monkeypatch.setattr("targets.resilience.venues.binance.TRADES_MAX", 2)
    async with adapted(faultline, place, fill_delay_s=0.1, read_lag_s=0.0) as adapter:
        seen: dict[str, None] = {}
        cursor = ""
        for count in range(2):
            for number in range(5):
                await adapter.venue.place(place.order(f"{KEY[:-2]}{count}{number}"), unless=always)
                await asyncio.sleep(0.3)
            for _ in range(20):
                page = await adapter.venue.fills(cursor)
                cursor = page.cursor
                seen.update(dict.fromkeys(fill.id for fill in page.fills))
                if not page.more:
                    break
            assert not page.more
            assert len(seen) == 5 * (count + 1)


@PLACES
async def test_a_key_that_comes_again_is_what_the_venue_makes_of_it(faultline: Session, place: Place) -> None:
    async with adapted(faultline, place, fill_delay_s=2.0) as adapter:
        await adapter.venue.place(place.order(KEY), unless=always)
        if place.duplicate == "another order":
            await adapter.venue.place(place.order(KEY), unless=always)
            assert adapter.venue.rules.idempotency == "none"
            return
        with pytest.raises(DuplicateKeyError) as refused:
            await adapter.venue.place(place.order(KEY), unless=always)
        assert refused.value.effect == "none"
        await asyncio.sleep(3)
        if place.duplicate == "refused for ever":
            with pytest.raises(DuplicateKeyError):
                await adapter.venue.place(place.order(KEY), unless=always)
        else:
            await adapter.venue.place(place.order(KEY), unless=always)


@PLACES
async def test_cancels_end_an_order_or_say_why_not(faultline: Session, place: Place) -> None:
    async with adapted(faultline, place, fill_delay_s=5.0, read_lag_s=0.0) as adapter:
        venue = adapter.venue
        placed = await venue.place(place.order(KEY), unless=always)
        told = await venue.cancel(placed.id)
        assert told.id == placed.id
        assert told.status in (OrderStatus.CANCELED, OrderStatus.PENDING_CANCEL)
        assert (await venue.order(placed.id)).status == OrderStatus.CANCELED
        with pytest.raises((OrderEndedError, UnknownOrderError)) as again:
            await venue.cancel(placed.id)
        assert again.value.effect == "none"
        nobody = f"{placed.id[:-1]}{(int(placed.id[-1]) + 5) % 10}"
        with pytest.raises((OrderEndedError, UnknownOrderError)):
            await venue.cancel(nobody)
        with pytest.raises(UnknownOrderError):
            await venue.order(nobody)


@pytest.mark.parametrize("place", [PROJECTX, OKX, GATE], ids=lambda place: place.profile)
async def test_an_order_is_given_a_new_size_and_price(faultline: Session, place: Place) -> None:
    async with adapted(faultline, place, fill_delay_s=5.0, read_lag_s=0.0) as adapter:
        placed = await adapter.venue.place(place.order(KEY), unless=always)
        await adapter.venue.replace(placed.id, size=Decimal(5), price=Decimal(101))
        changed = await adapter.venue.order(placed.id)
        assert (changed.size, changed.price) == (5, 101)


async def test_binance_orders_are_not_replaced(faultline: Session) -> None:
    async with adapted(faultline, BINANCE) as adapter:
        with pytest.raises(APIError) as refused:
            await adapter.venue.replace("BTCUSDT:1", size=Decimal(1), price=None)
        assert (refused.value.effect, faultline.now_s()) == ("none", 0.0)


@PLACES
async def test_what_is_not_wanted_any_more_is_not_sent(faultline: Session, place: Place) -> None:
    async with adapted(faultline, place) as adapter:
        with pytest.raises(WithdrawnError):
            await adapter.venue.place(place.order(KEY), unless=lambda: True)
        assert await adapter.venue.open_orders() == ()


@PLACES
async def test_failures_say_what_they_may_have_done(faultline: Session, place: Place) -> None:
    async with adapted(faultline, place) as adapter:

        async def fails_with(fault: Fault) -> APIError:
            with faultline.inject(fault), pytest.raises(APIError) as failed:
                await adapter.venue.place(place.order(KEY), unless=always)
            return failed.value

        declined = await fails_with(Reject(first=1))
        assert declined.effect == "none"
        assert 400 <= (declined.status_code or 0) < 429
        on = place.orders
        assert (await fails_with(UnknownStatus(on=on, says=place.says, phase="before"))).effect == "unknown"  # type: ignore[arg-type]
        lost = await fails_with(LostResponse(on=on))
        assert (lost.effect, lost.status_code) == ("unknown", None)
        assert (await fails_with(StatusStorm(on=on, status=503))).effect == "unknown"
        too_many = await fails_with(StatusStorm(on=on, status=429, retry_after_s=7.0))
        assert (too_many.effect, too_many.status_code, too_many.retry_after_s) == ("none", 429, 7.0)
        assert isinstance(await fails_with(MalformedBody(on=on)), UnreadableError)


@WITH_STREAM
async def test_the_stream_tells_of_orders_and_fills(faultline: Session, tmp_path: Path, place: Place) -> None:
    venue = await faultline.venue(place.profile, fill_delay_s=1.0)
    stage = Stage(faultline, venue, tmp_path / "store.db")
    order = {"symbol": place.symbol, "side": "buy", "order_type": "limit", "quantity": "4", "price": "100"}

    class Rarely(place.flow):  # type: ignore[misc, name-defined]
        config = replace(
            place.flow.config, state_reconciler=replace(place.flow.config.state_reconciler, sweep_interval=3_600_000)
        )

    async with stage.running(Rarely) as client:
        with faultline.inject(PartialFill(parts=2, gap_s=0.5)):
            assert await client.place("A", **order) == "accepted"
            asked = len(faultline.history.of(Received))
            statuses = []

            def filled() -> bool:
                statuses.append(client.snapshot()["orders"]["A"]["status"])
                return bool(statuses[-1] == "filled")

            await until(filled, within_s=5)
        assert "partially_filled" in statuses
        assert {held: Decimal(size) for held, size in client.snapshot()["positions"].items()} == {place.symbol: 4}
        assert len(client.snapshot()["fills"]) == 2
        # All of that without a question.
        assert len(faultline.history.of(Received)) == asked
        with faultline.inject(Disconnect(at_s=0.1, how="rst")):
            assert await client.place("B", **order) == "accepted"
            await asyncio.sleep(0.2)
            assert client.snapshot()["stale"]
        await until(lambda: client.snapshot()["orders"]["B"]["status"] == "filled", within_s=10)


async def test_a_venue_without_a_stream_is_asked(faultline: Session, tmp_path: Path) -> None:
    venue = await faultline.venue("mexc")
    stage = Stage(faultline, venue, tmp_path / "store.db")
    async with stage.running(MexcFlow) as client:
        assert not client.snapshot()["stale"]
        assert await client.place("A", symbol="BTCUSDT", side="buy", order_type="limit", quantity="4", price="100")
        await until(lambda: client.snapshot()["orders"]["A"]["status"] == "filled", within_s=3)
        with faultline.inject(StatusStorm(on="GET *")):
            await asyncio.sleep(3)
            assert client.snapshot()["stale"]


async def test_projectx_logs_in_anew_when_its_token_is_refused(faultline: Session) -> None:
    async with adapted(faultline, PROJECTX) as adapter:
        with faultline.inject(StatusStorm(on=PROJECTX.orders, status=401)), pytest.raises(APIError) as refused:
            await adapter.venue.place(PROJECTX.order(KEY), unless=always)
        assert (refused.value.effect, adapter.access.is_ready()) == ("none", False)
        await adapter.venue.place(PROJECTX.order(KEY), unless=always)


# The venue's clock


async def test_the_venues_clock_goes_by_the_monotonic_one_and_is_asked_again_when_due(faultline: Session) -> None:
    told: list[float | Exception] = [5_000.0, 9_000.0, APIError("down", 503), 20_000.0]

    async def ask() -> float:
        answer = told.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    clock = SignedAccess(ask)
    assert clock.is_expired()
    with pytest.raises(NotSentError):
        clock.now_ms()
    await asyncio.gather(clock.get_ready(), clock.get_ready())
    assert (clock.now_ms(), len(told)) == (5_000, 3)
    await asyncio.sleep(2)
    assert (clock.now_ms(), clock.is_ready()) == (7_000, True)
    clock.reject("")
    assert not clock.is_ready()
    assert await clock.get_valid_token() == ""
    assert clock.now_ms() == 9_000
    await asyncio.sleep(TRUSTED_S)
    # The venue cannot be asked: the old time goes on for a while.
    await clock.get_ready()
    assert (clock.now_ms(), clock.is_ready()) == (9_000 + TRUSTED_S * 1000, True)
    await asyncio.sleep(AGAIN_S)
    await clock.get_ready()
    assert clock.now_ms() == 20_000


async def test_without_the_venues_time_nothing_is_sent(faultline: Session) -> None:
    async with adapted(faultline, BINANCE) as adapter:
        with faultline.inject(StatusStorm(on="GET /api/v3/time")), pytest.raises(NotSentError):
            await adapter.venue.place(BINANCE.order(KEY), unless=always)
        await adapter.venue.place(BINANCE.order(KEY), unless=always)


def test_a_walk_begins_later_only_when_it_is_over() -> None:
    walk = Walk.of(Walk(100_000, 100_000).page([], "2").cursor)
    assert (walk.from_ms, walk.place) == (40_000, "2")
    assert Walk.of(walk.page([], "").cursor) == Walk(100_000, 100_000)

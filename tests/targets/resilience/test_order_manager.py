"""The order manager: one request is one order, whatever happens to the messages, and its end is found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import pytest

from faultline.session import Session
from targets.resilience.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    QueueFullError,
    ServiceUnavailableError,
    StateUnavailableError,
)
from targets.resilience.order_manager import (
    Order,
    OrderEvent,
    OrderManager,
    OrderManagerConfig,
    OrderRequest,
    OrderResponse,
    OrderStatus,
    OrderType,
    OrderUncertainError,
)
from targets.resilience.records import OrderRecord
from targets.resilience.state_manager import StateManager
from targets.resilience.venue import DuplicateKeyError, Fill, OrderSide, UnreadableError

from .venue_double import Direct, VenueDouble, declined, lost, until

REQUEST = OrderRequest(id="A", account_id=1, contract_id="NQ", size=4, type=OrderType.LIMIT, limit_price=Decimal(100))


@asynccontextmanager
async def managed(
    venue: VenueDouble, path: Path | None = None, handler: Any = None, **settings: Any
) -> AsyncIterator[tuple[OrderManager, StateManager]]:
    state = StateManager(":memory:" if path is None else str(path))
    await state.initialize()
    manager = OrderManager(OrderManagerConfig(**settings), handler or Direct(), venue, state)
    await manager.start()
    try:
        yield manager, state
    finally:
        await manager.stop()
        state.close()


def by_hand() -> OrderManager:
    return OrderManager(
        OrderManagerConfig(verification_enabled=True, verification_timeout=5000, idempotency_enabled=True), Mock()
    )


# As a reader of the component's description uses it


async def test_order_verification_after_placement() -> None:
    manager = by_hand()
    manager.error_handler.execute = AsyncMock(return_value=OrderResponse(success=True, order_id="order_123"))
    manager._fetch_order_by_id = AsyncMock(return_value=Order(id="order_123", status=OrderStatus.OPEN))
    result = await manager.place_order(OrderRequest(account_id=1, contract_id="NQ", size=1, type=OrderType.MARKET))
    assert result.success
    assert result.verified
    manager._fetch_order_by_id.assert_called_once_with("order_123")
    await manager.stop()


async def test_idempotency_prevents_duplicates() -> None:
    manager = by_hand()
    request = OrderRequest(id="req_123", account_id=1, contract_id="NQ", size=1, type=OrderType.MARKET)
    manager.error_handler.execute = AsyncMock(return_value=OrderResponse(success=True, order_id="order_123"))
    first = await manager.place_order(request)
    second = await manager.place_order(request)
    assert first.order_id == second.order_id == "order_123"
    assert manager.error_handler.execute.call_count == 1
    await manager.stop()


async def test_partial_fill_tracking() -> None:
    manager = by_hand()
    await manager.handle_order_event(OrderEvent(order_id="order_123", fill_volume=5, size=10))
    status = manager.get_fill_status("order_123")
    assert status.is_partial
    assert not status.is_complete
    assert status.fill_percent == 0.5
    assert status.remaining == 5
    await manager.handle_order_event(OrderEvent(order_id="order_123", fill_volume=3, size=10))
    assert manager.get_fill_status("order_123").filled == 5
    await manager.handle_order_event(OrderEvent(order_id="order_123", fill_volume=10, size=10))
    assert manager.get_fill_status("order_123").is_complete
    assert manager.get_fill_status("order_123").status == OrderStatus.FILLED
    assert manager.get_fill_status("nothing").fill_percent == 0
    await manager.stop()


async def test_network_failure_is_raised_and_nothing_is_sent_twice(faultline: Session) -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, state):
        with patch.object(manager, "_place_order_internal", side_effect=ConnectionError("Network error")) as sending:
            with pytest.raises(ConnectionError, match="Network error"):
                await manager.place_order(REQUEST)
            assert sending.call_count == 1
        assert faultline.now_s() == pytest.approx(5, abs=0.1)
        assert venue.count("find") > 2
        assert state.orders["A"].status == OrderStatus.UNKNOWN


async def test_an_order_manager_without_a_venue_says_so() -> None:
    manager = by_hand()
    with pytest.raises(ConfigurationError, match="without a venue"):
        await manager.fetch_orders()
    await manager.stop()


@pytest.mark.parametrize("timeout", [0, -1, 3_600_001])
def test_a_timeout_that_cannot_be_is_refused(timeout: int) -> None:
    with pytest.raises(ValueError, match="verification_timeout"):
        OrderManagerConfig(verification_timeout=timeout)


# One request, one order


async def test_a_request_asked_for_twice_at_once_and_again_later_is_one_order(tmp_path: Path) -> None:
    venue = VenueDouble()
    async with managed(venue, tmp_path / "s.db") as (manager, _):
        answers = await asyncio.gather(manager.place_order(REQUEST), manager.place_order(REQUEST))
        assert [answer.order_id for answer in answers] == ["order1", "order1"]
    async with managed(venue, tmp_path / "s.db") as (manager, _):
        assert (await manager.place_order(REQUEST)).order_id == "order1"
    assert venue.sent == ["place"]


async def test_without_an_id_or_without_idempotency_every_call_is_a_request() -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, _):
        for _ in range(2):
            await manager.place_order(replace(REQUEST, id=""))
    async with managed(venue, idempotency_enabled=False) as (manager, _):
        for _ in range(2):
            await manager.place_order(REQUEST)
    assert len(venue.held) == 4
    assert len({order.client_key for order in venue.held.values()}) == 4


async def test_a_request_is_written_down_before_it_is_sent(tmp_path: Path) -> None:
    venue = VenueDouble()
    written: list[str] = []

    async def look() -> None:
        other = StateManager(str(tmp_path / "s.db"))
        await other.initialize()
        written.extend(other.orders)
        other.close()

    venue.before["place"] = [look]
    async with managed(venue, tmp_path / "s.db") as (manager, _):
        await manager.place_order(REQUEST)
    assert written == ["A"]


async def test_a_lost_answer_is_found_out_and_not_sent_again(faultline: Session) -> None:
    venue = VenueDouble()
    venue.after["place"] = [lost()]
    async with managed(venue) as (manager, _):
        answer = await manager.place_order(REQUEST)
    assert (answer.success, answer.order_id) == (True, "order1")
    assert venue.sent == ["place", "find"]


@pytest.mark.parametrize(
    ("error", "empty_proves_after_s"),
    [
        (lost(), 20),
        (TimeoutError(), 20),
        (ConnectionResetError(), 20),
        (APIError("", 408), 20),
        (APIError("", 504), 20),
        (APIError("", 500), 4),
        (UnreadableError("", 200), 4),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'status_code', '')}",
)
async def test_it_is_sent_again_only_when_the_first_can_no_longer_take_effect(
    faultline: Session, error: BaseException, empty_proves_after_s: float
) -> None:
    venue = VenueDouble(late_s=16, query_lag_s=4)
    venue.before["place"] = [error]
    async with managed(venue, verification_timeout=60_000) as (manager, _):
        assert (await manager.place_order(REQUEST)).success
        assert empty_proves_after_s <= faultline.now_s() < empty_proves_after_s + 6
    assert venue.count("place") == 2


async def test_an_order_that_takes_effect_late_is_recognised(faultline: Session) -> None:
    venue = VenueDouble()

    async def late() -> None:
        asyncio.get_running_loop().call_later(12, held.update, {})
        raise lost()

    held: dict[str, Order] = venue.held
    venue.before["place"] = [late]
    async with managed(venue, verification_timeout=60_000) as (manager, state):
        placing = asyncio.create_task(manager.place_order(REQUEST))
        await asyncio.sleep(12)
        key = state.orders["A"].key
        assert state.orders["A"].status == OrderStatus.UNKNOWN
        venue.held["order9"] = Order("order9", OrderStatus.OPEN, key, size=Decimal(4))
        assert (await placing).order_id == "order9"
    assert venue.count("place") == 1


async def test_a_key_that_is_taken_means_that_the_order_exists(faultline: Session) -> None:
    venue = VenueDouble()
    venue.after["place"] = [DuplicateKeyError("taken", 409)]
    venue.hidden = {"order1"}
    async with managed(venue) as (manager, state):
        with pytest.raises(DuplicateKeyError):
            await manager.place_order(REQUEST)
        await asyncio.sleep(60)
        assert (venue.count("place"), state.orders["A"].status) == (1, OrderStatus.UNKNOWN)
        venue.hidden.clear()
        await until(lambda: state.orders["A"].order_id == "order1", within_s=6)


@pytest.mark.parametrize("status", [400, 403, 404, 422, 200])
async def test_what_was_declined_is_over(faultline: Session, tmp_path: Path, status: int) -> None:
    venue = VenueDouble()
    venue.before["place"] = [APIError("no", status, effect="none")]
    async with managed(venue, tmp_path / "s.db") as (manager, _):
        answer = await manager.place_order(REQUEST)
        assert (answer.success, answer.status) == (False, OrderStatus.REJECTED)
    async with managed(venue, tmp_path / "s.db") as (manager, _):
        assert not (await manager.place_order(REQUEST)).success
        await asyncio.sleep(30)
    assert venue.sent == ["place"]


async def test_an_answer_that_says_no_is_a_rejection() -> None:
    manager = by_hand()
    manager.error_handler.execute = AsyncMock(return_value=OrderResponse(success=False, error="insufficient funds"))
    assert not (await manager.place_order(REQUEST)).success
    await manager.stop()


UNSENT = [
    ServiceUnavailableError("open"),
    QueueFullError("full"),
    AuthenticationError("no token", 401),
    APIError("", 429),
    APIError("", 401),
    APIError("no connection", effect="none"),
    APIError("overloaded, not carried out", 503, effect="none"),
]


@pytest.mark.parametrize("error", UNSENT, ids=repr)
async def test_what_was_not_sent_fails_at_once_and_may_be_asked_again(faultline: Session, error: Exception) -> None:
    venue = VenueDouble()
    venue.before["place"] = [error]
    async with managed(venue) as (manager, state):
        with pytest.raises(type(error)):
            await manager.place_order(REQUEST)
        assert faultline.now_s() == 0
        assert state.orders == {}
        assert state.verify_state_consistency()
        assert (await manager.place_order(REQUEST)).success
    assert venue.count("place") == 2


@pytest.mark.parametrize("error", UNSENT, ids=repr)
async def test_or_it_is_sent_for_as_long_as_it_is_wanted(faultline: Session, error: Exception) -> None:
    venue = VenueDouble()
    venue.before["place"] = [error, error]
    async with managed(venue, retry_unsent=True) as (manager, _):
        assert (await manager.place_order(REQUEST)).success
        assert 0.7 < faultline.now_s() < 1.5
    assert venue.count("place") == 3
    assert venue.count("find") == 0


async def test_who_was_told_that_it_is_worked_on_is_not_let_down(faultline: Session) -> None:
    venue = VenueDouble()
    venue.before["place"] = [APIError("", 500), ServiceUnavailableError("open"), ServiceUnavailableError("open")]
    async with managed(venue) as (manager, state):
        with pytest.raises(APIError):
            await manager.place_order(REQUEST)
        await until(lambda: state.orders["A"].order_id)
    assert (venue.count("place"), len(venue.held)) == (4, 1)


async def test_admission_is_asked_for_at_the_request_and_at_the_moment_of_sending(faultline: Session) -> None:
    venue, state, reasons = VenueDouble(), StateManager(), [""]

    def admit(record: OrderRecord) -> None:
        if reasons[0]:
            raise ServiceUnavailableError(reasons[0])

    await state.initialize()
    manager = OrderManager(OrderManagerConfig(retry_unsent=True), Direct(), venue, state, admit=admit)
    venue.before["place"] = [APIError("", 429)]
    placing = asyncio.create_task(manager.place_order(REQUEST))
    await asyncio.sleep(0.1)
    # It waits for its second try when the switch is thrown.
    reasons[0] = "killed"
    with pytest.raises(ServiceUnavailableError, match="killed"):
        await manager.place_order(replace(REQUEST, id="B"))
    assert (await placing).status == OrderStatus.CANCELED
    assert (venue.count("place"), venue.held, set(state.orders)) == (1, {}, {"A"})
    # What it did before is told as ever.
    assert not (await manager.place_order(REQUEST)).success
    await manager.stop()


async def test_a_request_of_an_earlier_process_is_in_doubt(faultline: Session, tmp_path: Path) -> None:
    venue = VenueDouble()
    venue.before["place"] = [lost()]
    async with managed(venue, tmp_path / "s.db") as (manager, _):
        placing = asyncio.create_task(manager.place_order(REQUEST))
        await asyncio.sleep(1)
    with pytest.raises(APIError, match="no answer"):
        await placing
    began = faultline.now_s()
    async with managed(venue, tmp_path / "s.db", verification_timeout=60_000) as (manager, state):
        assert state.orders["A"].status == OrderStatus.UNKNOWN
        assert (await manager.place_order(REQUEST)).success
        assert faultline.now_s() - began >= 20
    assert venue.count("place") == 2


async def test_who_still_waits_when_it_ends_is_told_that_nobody_knows(faultline: Session) -> None:
    venue = VenueDouble()
    venue.before["token"] = [lambda: asyncio.sleep(100)]
    async with managed(venue) as (manager, _):
        placing = asyncio.create_task(manager.place_order(REQUEST))
        await asyncio.sleep(1)
    with pytest.raises(OrderUncertainError):
        await placing


async def test_what_cannot_be_written_down_is_not_sent(faultline: Session) -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, state):
        full = patch.object(state, "add_order", side_effect=StateUnavailableError("disk full"))
        with full, pytest.raises(StateUnavailableError, match="not sent"):
            await manager.place_order(REQUEST)
        await asyncio.sleep(60)
        assert venue.sent == []
        with patch.object(state, "end_unplaced", side_effect=StateUnavailableError("disk full")):
            venue.before["place"] = [declined()]
            with pytest.raises(OrderUncertainError):
                await manager.place_order(REQUEST)
        await until(lambda: state.orders["A"].status == OrderStatus.REJECTED)
    assert venue.count("place") == 1


async def test_an_answer_that_could_not_be_written_down_is_found_again(faultline: Session) -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, state):
        seen = state.seen
        with patch.object(state, "seen", side_effect=[StateUnavailableError("disk full"), None]):
            placing = asyncio.create_task(manager.place_order(REQUEST))
            await asyncio.sleep(0.1)
        state.seen = seen  # type: ignore[method-assign]
        assert (await placing).order_id == "order1"
        await asyncio.sleep(60)
    assert (venue.count("place"), len(venue.held)) == (1, 1)


async def test_what_turns_up_while_its_placement_waits_is_not_sent(faultline: Session) -> None:
    venue = VenueDouble()
    venue.before["token"] = [lambda: asyncio.sleep(2)]
    async with managed(venue) as (manager, state):
        placing = asyncio.create_task(manager.place_order(REQUEST))
        await asyncio.sleep(1)
        await manager.handle_order_event(OrderEvent("order7", size=4, client_key=state.orders["A"].key))
        assert (await placing).order_id == "order7"
    assert venue.sent == []


async def test_not_even_a_lost_store_gives_a_request_another_key() -> None:
    venue = VenueDouble()
    for _ in range(2):
        async with managed(venue) as (manager, _):
            await manager.place_order(REQUEST)
    assert len({order.client_key for order in venue.held.values()}) == 1


# Verification


async def test_an_answer_that_shows_the_whole_order_needs_no_second_look() -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, _):
        assert (await manager.place_order(REQUEST)).verified
    assert venue.sent == ["place"]


async def test_an_acknowledged_order_is_looked_up_until_it_shows(faultline: Session) -> None:
    venue = VenueDouble()
    venue.acknowledges_only, venue.hidden = True, {"order1"}
    async with managed(venue) as (manager, _):
        asyncio.get_running_loop().call_later(2, venue.hidden.clear)
        assert (await manager.place_order(REQUEST)).verified
        assert 2 <= faultline.now_s() < 5
        assert (await manager.place_order(REQUEST)).verified
    async with managed(venue, verification_enabled=False) as (manager, _):
        await manager.place_order(replace(REQUEST, id="B"))
    assert (venue.count("place"), venue.count("order")) == (2, 5)


async def test_an_acknowledged_order_that_never_shows_is_told_as_such(
    faultline: Session, caplog: pytest.LogCaptureFixture
) -> None:
    venue = VenueDouble()
    venue.acknowledges_only, venue.hidden = True, {"order1"}
    async with managed(venue) as (manager, _):
        answer = await manager.place_order(REQUEST)
    assert (answer.success, answer.verified) == (True, False)
    assert "not to be found" in caplog.text


# Cancels


async def test_a_cancel_ends_the_order_once(faultline: Session) -> None:
    venue = VenueDouble()
    venue.after["cancel"] = [lost()]
    async with managed(venue) as (manager, state):
        await manager.place_order(REQUEST)
        first = await manager.cancel_order("A")
        assert (first.success, first.status) == (True, OrderStatus.CANCELED)
        assert (await manager.cancel_order("A")).success
        assert not (await manager.cancel_order("nothing")).success
        assert state.orders["A"].status == OrderStatus.CANCELED
    assert venue.count("cancel") == 2  # the second met an order that was ended, and looked


async def test_a_cancel_that_comes_too_late_is_told_so() -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, _):
        await manager.place_order(REQUEST)
        venue.held["order1"] = replace(venue.held["order1"], status=OrderStatus.FILLED, filled=Decimal(4))
        answer = await manager.cancel_order("A")
        assert (answer.success, answer.status) == (False, OrderStatus.FILLED)


async def test_a_cancel_that_is_declined_is_over_and_one_that_is_refused_is_not(faultline: Session) -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, _):
        await manager.place_order(REQUEST)
        venue.before["cancel"] = [declined(403)]
        assert not (await manager.cancel_order("A", id="C1")).success
        venue.before["cancel"] = [APIError("", 429)]
        assert (await manager.cancel_order("A", id="C2")).success
    assert venue.count("cancel") == 3


async def test_the_last_look_whether_an_order_is_wanted_is_at_the_moment_of_sending(faultline: Session) -> None:
    venue = VenueDouble()
    venue.before["token"] = [lambda: asyncio.sleep(2)]
    async with managed(venue) as (manager, _):
        placing = asyncio.create_task(manager.place_order(REQUEST))
        await asyncio.sleep(1)
        cancelled, placed = await asyncio.gather(manager.cancel_order("A"), placing)
        assert cancelled.success
        assert (placed.success, placed.status) == (False, OrderStatus.CANCELED)
    assert venue.sent == []


async def test_a_cancel_of_an_order_that_is_not_shown_yet_goes_on(faultline: Session) -> None:
    venue, handler = VenueDouble(), Direct()
    async with managed(venue, handler=handler) as (manager, _):
        await manager.place_order(REQUEST)
        venue.hidden = {"order1"}
        asyncio.get_running_loop().call_later(2, venue.hidden.clear)
        assert (await manager.cancel_order("A")).success
        assert 2 <= faultline.now_s() < 5
    # A cancel only ever lowers the risk: it passes an open breaker.
    assert handler.exempt == {"Order/cancel"}


async def test_a_cancel_outlives_a_restart(faultline: Session, tmp_path: Path) -> None:
    venue = VenueDouble()
    venue.before["cancel"] = [lost()] * 3
    async with managed(venue, tmp_path / "s.db") as (manager, _):
        await manager.place_order(REQUEST)
        cancelling = asyncio.create_task(manager.cancel_order("A"))
        await asyncio.sleep(0.01)
    with pytest.raises(OrderUncertainError):
        await cancelling
    async with managed(venue, tmp_path / "s.db") as (_, state):
        await until(lambda: state.orders["A"].status == OrderStatus.CANCELED)
        await until(lambda: state.amendments["cancel A"].outcome == "accepted")


async def test_a_cancel_waits_for_an_order_that_may_exist(faultline: Session) -> None:
    venue = VenueDouble()
    venue.after["place"] = [lost()]
    venue.before["find"] = [APIError("", 500), APIError("", 500)]
    async with managed(venue, verification_timeout=60_000) as (manager, _):
        placing = asyncio.create_task(manager.place_order(REQUEST))
        await asyncio.sleep(0.1)
        assert (await manager.cancel_order("A")).success
        # It was at the venue, so it was placed, whatever became of it.
        assert (await placing).success
    assert (venue.count("place"), venue.count("cancel")) == (1, 1)


async def test_a_cancel_of_an_order_that_cannot_be_stored_ends_with_it(faultline: Session) -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, state):
        with patch.object(state, "add_order", side_effect=StateUnavailableError("disk full")):
            placing = asyncio.create_task(manager.place_order(REQUEST))
            await asyncio.sleep(1)
            cancelling = asyncio.create_task(manager.cancel_order("A"))
            with pytest.raises(StateUnavailableError):
                await placing
            assert not (await cancelling).success
        assert state.amendments == {}


# Replacements


async def test_a_replacement_whose_answer_is_lost_is_found_out(faultline: Session) -> None:
    venue = VenueDouble()
    venue.after["replace"] = [lost()]
    async with managed(venue) as (manager, _):
        await manager.place_order(REQUEST)
        assert (await manager.replace_order("A", size=Decimal(6), limit_price=Decimal(101))).success
    assert venue.sent == ["place", "replace", "order"]
    assert venue.held["order1"].size == 6


async def test_a_replacement_does_not_overtake_one_that_may_still_arrive(faultline: Session) -> None:
    venue = VenueDouble()
    venue.before["replace"] = [lost()]
    async with managed(venue, verification_timeout=120_000) as (manager, _):
        await manager.place_order(REQUEST)
        terms: list[dict[str, Any]] = [
            {"size": Decimal(6), "limit_price": Decimal(101), "id": "R1"},
            {"size": Decimal(8), "limit_price": Decimal(102), "id": "R2"},
        ]
        answers = await asyncio.gather(*(manager.replace_order("A", **each) for each in terms))
        assert [answer.success for answer in answers] == [True, True]
        assert faultline.now_s() > 20
    assert venue.count("replace") == 3
    assert venue.held["order1"].size == 8


async def test_a_replacement_of_the_price_alone_is_seen_by_its_price(faultline: Session) -> None:
    venue = VenueDouble()
    venue.before["replace"] = [lost()]
    async with managed(venue, verification_timeout=60_000) as (manager, _):
        await manager.place_order(REQUEST)
        assert (await manager.replace_order("A", size=Decimal(4), limit_price=Decimal(101))).success
    assert (venue.count("replace"), venue.held["order1"].price) == (2, Decimal(101))


async def test_a_replacement_of_an_earlier_process_is_looked_for_before_it_is_sent_again(
    faultline: Session, tmp_path: Path
) -> None:
    venue = VenueDouble()
    venue.after["replace"] = [lost()]
    async with managed(venue, tmp_path / "s.db") as (manager, _):
        await manager.place_order(REQUEST)
        replacing = asyncio.create_task(manager.replace_order("A", size=Decimal(6), limit_price=Decimal(101), id="R"))
        await asyncio.sleep(0.01)
    with pytest.raises(APIError):
        await replacing
    async with managed(venue, tmp_path / "s.db") as (manager, state):
        await until(lambda: state.amendments["R"].outcome == "accepted")
    assert venue.count("replace") == 1


async def test_a_replacement_is_refused_for_an_order_that_is_over(faultline: Session) -> None:
    venue = VenueDouble()
    terms: dict[str, Any] = {"size": Decimal(6), "limit_price": Decimal(101)}
    async with managed(venue, verification_timeout=60_000) as (manager, _):
        await manager.place_order(REQUEST)
        venue.before["replace"] = [declined()]
        assert not (await manager.replace_order("A", **terms)).success
        venue.before["replace"] = [APIError("", 404, effect="unknown")]

        async def filled() -> None:
            venue.held["order1"] = replace(venue.held["order1"], status=OrderStatus.FILLED, filled=Decimal(4))
            raise lost()

        venue.before["replace"] = [filled]
        began = faultline.now_s()
        assert not (await manager.replace_order("A", **terms)).success
        assert faultline.now_s() - began < 5
        assert not (await manager.replace_order("A", **terms)).success
        assert not (await manager.replace_order("nothing", **terms)).success
    assert venue.count("replace") == 2


async def test_a_replacement_is_not_settled_by_an_order_that_is_not_found(faultline: Session) -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, _):
        await manager.place_order(REQUEST)
        venue.hidden = {"order1"}
        asyncio.get_running_loop().call_later(2, venue.hidden.clear)
        assert (await manager.replace_order("A", size=Decimal(6), limit_price=Decimal(101))).success


# The stream


FILL = Fill("fill1", "order1", "NQ", OrderSide.BUY, Decimal("1.5"), Decimal(100))


async def test_what_is_heard_before_the_answer_counts(faultline: Session) -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, state):

        async def heard() -> None:
            await manager.handle_order_event(OrderEvent("order1", fill_volume="1.5", size=4))
            await state.apply(FILL)
            assert manager.get_fill_status("order1").filled == Decimal("1.5")

        venue.after["place"] = [heard]
        answer = await manager.place_order(REQUEST)
        assert answer.status == OrderStatus.PARTIALLY_FILLED
        assert state.orders["A"].filled == Decimal("1.5")
        assert not state.short
        assert manager.get_fill_status("order1").fill_percent == Decimal("0.375")


async def test_an_event_that_comes_before_the_answer_is_enough(faultline: Session) -> None:
    venue = VenueDouble()
    async with managed(venue) as (manager, _):

        async def heard() -> None:
            await manager.handle_order_event(OrderEvent("order1", fill_volume="1.5", size=4))

        venue.after["place"] = [heard]
        assert (await manager.place_order(REQUEST)).status == OrderStatus.PARTIALLY_FILLED


async def test_an_event_of_our_order_is_believed_and_settles_the_request(faultline: Session) -> None:
    venue = VenueDouble()
    venue.before["place"] = [lost()]
    async with managed(venue, verification_timeout=60_000) as (manager, state):
        placing = asyncio.create_task(manager.place_order(REQUEST))
        await asyncio.sleep(1)
        key = state.orders["A"].key
        await manager.handle_order_event(OrderEvent("order7", status=OrderStatus.OPEN, size=4, client_key=key))
        assert (await placing).order_id == "order7"
        assert faultline.now_s() == pytest.approx(1, abs=0.01)


async def test_only_so_many_orders_of_nobody_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("targets.resilience.fills.EARLY_MAX", 2)
    manager = by_hand()
    for number in range(3):
        await manager.handle_order_event(OrderEvent(f"order{number}", fill_volume=1, size=2))
    assert [manager.get_fill_status(f"order{number}").filled for number in range(3)] == [0, 1, 1]
    await manager.stop()


# Queries


async def test_open_orders_of_somebody_else_are_told_apart() -> None:
    venue = VenueDouble()
    venue.held["theirs"] = Order("theirs", OrderStatus.OPEN, "their key")
    async with managed(venue) as (manager, state):
        await manager.place_order(REQUEST)
        assert {order.id for order in await manager.fetch_orders()} == {"theirs", "order2"}
        assert set(state.external) == {"theirs"}
        assert set(state.orders) == {"A"}


async def test_historical_data_has_a_bucket_of_its_own() -> None:
    venue, handler = VenueDouble(), Direct()
    venue.logged = [FILL]
    async with managed(venue, handler=handler) as (manager, _):
        assert await manager.fetch_historical_data() == (FILL,)
        await manager.fetch_orders()
        await manager._calls.fills("")
    assert handler.endpoints == ["History/fills", "Order/searchOpen", "Trade/search"]

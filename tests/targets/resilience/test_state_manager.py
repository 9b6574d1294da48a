"""What the state manager writes down, and what it makes of a file that refuses."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from targets.resilience.errors import ConfigurationError, StateUnavailableError
from targets.resilience.records import Amendment, OrderRecord
from targets.resilience.sequence import Sequence
from targets.resilience.state_manager import StateManager
from targets.resilience.venue import Fill, Order, OrderSide, OrderStatus, OrderType, Position

A = OrderRecord("A", "key-a", "1", "NQ", OrderSide.BUY, OrderType.LIMIT, Decimal(4), Decimal(100))
TOLD = Order("order1", OrderStatus.OPEN, "key-a", "NQ", size=Decimal(4), price=Decimal(100))
FILL = Fill("fill1", "order1", "NQ", OrderSide.BUY, Decimal("1.5"), Decimal(100), "key-a", 1)
BARE = replace(FILL, client_key="", sequence=None)
"""As told by a venue whose fills carry neither key nor number."""


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[StateManager]:
    state = StateManager(str(path))
    await state.initialize()
    try:
        yield state
        assert state.verify_state_consistency()
    finally:
        state.close()


async def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.add_order(replace(A, request_id="B", key="key-b", limit_price=None, stop_price=Decimal("99.5")))
        await state.seen(TOLD)
        await state.add_amendment(Amendment("CA", "cancel", "A"))
        await state.add_amendment(Amendment("RA", "replace", "A", Decimal(6), Decimal(101)))
        await state.settle("RA", "accepted")
        await state.apply(FILL, replace(FILL, id="fill3", sequence=3))
        await state.adopt_positions([Position("NQ", Decimal(5)), Position("ES", Decimal(-1))])
        await state.set_cursor("trades", "1700000000000")
        await state.put("risk", "kill switch", "on")
        await state.put("risk", "gone", "x")
        await state.delete("risk", "gone")
        before = vars(state).copy()
    async with opened(tmp_path / "s.db") as state:
        assert before["orders"]["B"].status == OrderStatus.PENDING
        before["orders"]["B"] = replace(before["orders"]["B"], status=OrderStatus.UNKNOWN)
        same = "orders", "amendments", "fills", "positions", "corrections", "short"
        assert {name: vars(state)[name] for name in same} == {name: before[name] for name in same}
        assert state.orders["A"].filled == Decimal(3)
        assert await state.get_positions() == {"NQ": Decimal(5), "ES": Decimal(-1)}
        assert state.fills_read == Sequence(1)
        assert state.cancel_wanted("A")
        assert [a.request_id for a in state.amendments_of("A")] == ["CA", "RA"]
        assert state.by_order_id("order1") == state.orders["A"]
        assert state.by_order_id("order2") is None
        assert (state.cursor("trades"), state.cursor("other")) == ("1700000000000", "")
        assert (state.get("risk", "kill switch"), state.get("risk", "gone")) == ("on", None)
        assert state.items("risk") == {"kill switch": "on"}


async def test_a_fill_is_applied_once_also_within_one_page_and_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.apply(FILL, FILL)
        await state.apply(FILL)
    async with opened(tmp_path / "s.db") as state:
        await state.apply(FILL)
        assert (state.positions, list(state.fills)) == ({"NQ": Decimal("1.5")}, ["fill1"])


async def test_a_hundred_small_fills_come_to_exactly_their_sum(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(replace(A, size=Decimal(10)))
        tenth = Decimal("0.1")
        order = [(7 * number) % 100 for number in range(100)]
        for number in order:
            await state.apply(replace(FILL, id=f"fill{number}", size=tenth, sequence=number + 1))
        assert (state.orders["A"].filled, state.positions["NQ"]) == (Decimal("10.0"), Decimal("10.0"))
        assert (state.orders["A"].status, state.fills_read) == (OrderStatus.FILLED, Sequence(100))


async def test_a_fill_proves_the_order_before_its_answer_does(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.apply(replace(FILL, size=Decimal(4)))
        assert (state.orders["A"].order_id, state.orders["A"].status) == ("order1", OrderStatus.FILLED)
        await state.seen(TOLD)
        assert state.orders["A"].status == OrderStatus.FILLED


@pytest.mark.parametrize("restart", [False, True])
async def test_a_fill_without_a_key_waits_for_its_order(tmp_path: Path, restart: bool) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.apply(BARE, replace(BARE, id="fill2", size=Decimal("2.5")), replace(BARE, id="x", order_id="other"))
        assert (state.orders["A"].filled, state.positions["NQ"]) == (Decimal(0), Decimal("5.5"))
        if not restart:
            await state.seen(TOLD)
            assert state.orders["A"].status == OrderStatus.FILLED
    async with opened(tmp_path / "s.db") as state:
        await state.seen(TOLD)
        assert (state.orders["A"].filled, state.orders["A"].status) == (Decimal(4), OrderStatus.FILLED)
        await state.apply(BARE)
        assert state.orders["A"].filled == Decimal(4)


async def test_a_fill_that_is_taken_back_no_longer_counts(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.apply(FILL, replace(FILL, id="fill2", sequence=2))
        bust = replace(FILL, voided=True)
        await state.apply(bust)
        await state.apply(bust)
        assert (state.orders["A"].filled, state.positions["NQ"]) == (Decimal("1.5"), Decimal("1.5"))
        # Taken back before it was told, and before anybody knew whose it is.
        await state.apply(replace(BARE, id="late", order_id="order2", voided=True))
        await state.apply(replace(BARE, id="late", order_id="order2"))
        await state.apply(replace(BARE, id="early", order_id="order2"))
        await state.apply(replace(BARE, id="early", order_id="order2", voided=True))
        await state.add_order(replace(A, request_id="B", key="key-b"))
        await state.seen(replace(TOLD, id="order2", client_key="key-b"))
        assert state.orders["B"].filled == 0
    async with opened(tmp_path / "s.db") as state:
        assert state.positions == {"NQ": Decimal("1.5")}
        await state.apply(FILL)
        assert state.positions == {"NQ": Decimal("1.5")}


async def test_more_reported_than_filled_means_that_fills_are_missing(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.seen(replace(TOLD, status=OrderStatus.PARTIALLY_FILLED, filled=Decimal("1.5")))
        assert state.short == {"A"}
        await state.apply(FILL)
        assert not state.short


async def test_a_second_order_under_one_key_is_not_mixed_into_the_first(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.seen(TOLD)
        await state.seen(replace(TOLD, id="order2", status=OrderStatus.FILLED, filled=Decimal(4)))
        await state.apply(replace(FILL, order_id="order2"))
        assert state.orders["A"] == replace(A, order_id="order1", status=OrderStatus.OPEN)
        assert state.positions == {"NQ": Decimal("1.5")}


async def test_orders_of_somebody_else_are_those_of_the_last_snapshot(tmp_path: Path) -> None:
    theirs = replace(TOLD, id="theirs", client_key="")
    changes: list[None] = []
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        state.on_change.append(lambda: changes.append(None))
        await state.snapshot([TOLD, theirs])
        assert set(state.external) == {"theirs"}
        assert state.orders["A"].order_id == "order1"
        heard = len(changes)
        assert heard == 2
        await state.snapshot([TOLD, theirs])
        assert len(changes) == heard
        await state.snapshot([TOLD])
        assert state.external == {}


async def test_the_venues_positions_are_adopted_and_fills_go_on_from_there(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.apply(FILL)
        await state.adopt_positions([Position("NQ", Decimal("1.5"))])
        assert state.corrections == {}
        await state.adopt_positions([Position("NQ", Decimal(10))])
        await state.apply(replace(FILL, id="fill2", side=OrderSide.SELL, sequence=2))
        assert state.positions == {"NQ": Decimal("8.5")}
        await state.adopt_positions([])
        assert state.positions == {"NQ": Decimal(0)}


async def test_a_request_that_was_never_sent_can_be_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.forget_order("A")
        assert state.orders == {}
        await state.add_order(A)
    async with opened(tmp_path / "s.db") as state:
        assert set(state.orders) == {"A"}


async def test_an_order_that_the_venue_has_is_not_ended_as_unplaced(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.seen(TOLD)
        await state.end_unplaced("A", OrderStatus.CANCELED)
        assert state.orders["A"].status == OrderStatus.OPEN


async def test_the_last_fill_does_not_end_an_order_that_may_have_been_replaced(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        await state.add_amendment(Amendment("RA", "replace", "A", Decimal(6)))
        await state.apply(replace(FILL, size=Decimal(4)))
        assert state.orders["A"].status == OrderStatus.PARTIALLY_FILLED


async def test_news_wakes_who_waits_for_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        news = state.news("A")
        for tell in (state.seen(TOLD), state.apply(FILL), state.add_amendment(Amendment("CA", "cancel", "A"))):
            news.clear()
            await tell
            assert news.is_set()


# A file that refuses


async def test_a_locked_database_is_waited_for_without_blocking_the_loop(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        adding = asyncio.create_task(state.add_order(A))
        seeing = asyncio.create_task(state.seen(TOLD))
        await asyncio.sleep(0.01)
        assert not adding.done()
        assert state.orders == {}
        other.execute("COMMIT")
        await asyncio.gather(adding, seeing)
        # The second change saw what the first had made of the state, although both had been asked for before it.
        assert state.orders["A"].order_id == "order1"
        other.close()


async def test_a_database_that_stays_locked_refuses_the_change(tmp_path: Path, faultline: Any) -> None:
    async with opened(tmp_path / "s.db") as state:
        state._database._db.execute("PRAGMA busy_timeout=0")
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateUnavailableError, match="locked"):
            await state.add_order(A)
        other.execute("COMMIT")
        other.close()


LONG = "X" * 50_000
CHANGES: list[Callable[[StateManager], Any]] = [
    lambda state: state.add_order(replace(A, request_id="B", key="key-b", contract_id=LONG)),
    lambda state: state.add_amendment(Amendment(LONG, "cancel", "A")),
    lambda state: state.apply(replace(FILL, contract_id=LONG)),
    lambda state: state.seen(replace(TOLD, id=LONG)),
    lambda state: state.put("section", "key", LONG),
    lambda state: state.set_cursor("topic", LONG),
    lambda state: state.adopt_positions([Position(LONG, Decimal(1))]),
]


@pytest.mark.parametrize("change", CHANGES)
async def test_on_a_full_disk_a_change_fails_aloud_and_whole(
    tmp_path: Path, change: Callable[[StateManager], Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "s.db") as state:
        await state.add_order(A)
        pages = state._database._db.execute("PRAGMA page_count").fetchone()[0]
        state._database._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StateUnavailableError, match="full"):
            await change(state)
        assert "nothing was written" in caplog.text
        assert (state.orders, state.amendments, state.fills, state.positions) == ({"A": A}, {}, {}, {})
        assert (state.items("section"), state.cursor("topic")) == ({}, "")
        assert state.verify_state_consistency()
        state._database._db.execute("PRAGMA max_page_count=1000000")
        await change(state)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("CREATE TABLE somebody_elses (a TEXT)", "not this program's"),
        ("PRAGMA user_version=99", "schema 99"),
    ],
)
async def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, statement: str, error: str) -> None:
    other = sqlite3.connect(tmp_path / "s.db")
    other.execute(statement)
    other.close()
    with pytest.raises(ConfigurationError, match=error):
        await StateManager(str(tmp_path / "s.db")).initialize()


async def test_a_file_that_is_no_database_and_a_folder_that_is_missing_are_told(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"nothing that SQLite could read" * 100)
    for path in (tmp_path / "s.db", tmp_path / "no such folder" / "s.db"):
        with pytest.raises(StateUnavailableError, match=str(path)):
            await StateManager(str(path)).initialize()


async def test_the_schema_has_a_version_and_what_is_committed_outlives_a_power_cut(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as state:
        assert state._database.rows("PRAGMA synchronous") == [(2,)]
    other = sqlite3.connect(tmp_path / "s.db")
    assert other.execute("PRAGMA user_version").fetchone() == (1,)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)  # and no WAL
    other.close()
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith("-journal")] == ["s.db"]


DAMAGES = {
    "UPDATE orders SET filled = '9'": "in memory",
    "UPDATE fills SET size = '7'": "its fills come to 7",
    "DELETE FROM fills": "fills in memory or on disk only: fill1",
    "DELETE FROM orders": "in memory",
    "UPDATE amendments SET outcome = 'rejected'": "amendments",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_does_not_agree_is_found(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    state = StateManager(str(tmp_path / "s.db"))
    await state.initialize()
    await state.add_order(A)
    await state.add_amendment(Amendment("CA", "cancel", "A"))
    await state.apply(FILL)
    assert state.verify_state_consistency()
    other = sqlite3.connect(tmp_path / "s.db")
    other.execute(damage)
    other.commit()
    other.close()
    assert not state.verify_state_consistency()
    assert DAMAGES[damage] in caplog.text
    state.close()


async def test_more_than_was_asked_for_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = StateManager(str(tmp_path / "s.db"))
    await state.initialize()
    await state.add_order(A)
    await state.apply(replace(FILL, size=Decimal(5)))
    assert not state.verify_state_consistency()
    assert "filled 5 of 4" in caplog.text
    await state.add_amendment(Amendment("RA", "replace", "A", Decimal(6)))
    assert state.verify_state_consistency()
    state.close()


# What is believed of what the venue says


@pytest.mark.parametrize(
    ("known", "told", "believed"),
    [
        (("new", 0), ("partially_filled", 1), "partially_filled"),
        (("partially_filled", 1), ("new", 0), "partially_filled"),
        (("partially_filled", 2), ("partially_filled", 1), "partially_filled"),
        (("pending_cancel", 0), ("new", 0), "pending_cancel"),
        (("pending_cancel", 0), ("partially_filled", 1), "partially_filled"),
        (("pending_cancel", 1), ("canceled", 1), "canceled"),
        (("filled", 4), ("partially_filled", 2), "filled"),
        (("partially_filled", 2), ("canceled", 0), "canceled"),
        (("canceled", 0), ("new", 0), "canceled"),
    ],
)
def test_old_news_changes_nothing(known: tuple[str, int], told: tuple[str, int], believed: str) -> None:
    record = replace(A, order_id="order1", status=OrderStatus(known[0]), reported=Decimal(known[1]))
    after = record.told(replace(TOLD, status=OrderStatus(told[0]), filled=Decimal(told[1])))
    assert after.status == believed
    assert after.reported == max(known[1], told[1])


def test_an_order_that_exists_after_all_is_believed() -> None:
    withdrawn = replace(A, status=OrderStatus.CANCELED)
    assert withdrawn.settled
    assert not withdrawn.accepted
    assert withdrawn.told(TOLD).status == OrderStatus.OPEN


def test_only_the_venue_ends_an_order_that_was_replaced() -> None:
    fill = replace(FILL, size=Decimal(4))
    assert A.with_fill(fill, amended=False).status == OrderStatus.FILLED
    assert A.with_fill(fill, amended=True).status == OrderStatus.PARTIALLY_FILLED
    cancelling = replace(A, status=OrderStatus.PENDING_CANCEL)
    assert cancelling.with_fill(FILL, amended=False).status == OrderStatus.PENDING_CANCEL

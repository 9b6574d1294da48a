"""What the careful client writes down, and what it makes of a store that refuses."""

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

from targets.order_model import Amendment, Order, Sequence, Unreadable, WireFill, WireOrder, read_fill, read_order
from targets.order_store import OrderStore, StoreUnavailable

from .conftest import CAREFUL, scenario, verdicts

A = Order("A", "key-a", "NQ", "buy", "limit", "4", "100")
WIRE = WireOrder("order1", "key-a", "new", Decimal(0), Decimal(4), Decimal(100))
FILL = WireFill("fill1", "order1", "key-a", "NQ", "buy", Decimal("1.5"), Decimal(100), 1)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[OrderStore]:
    store = OrderStore(str(path))
    await store.open()
    try:
        yield store
    finally:
        store.close()


async def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as store:
        await store.add_order(A)
        await store.add_order(replace(A, intent="B", key="key-b"))
        await store.seen(WIRE)
        await store.add_amendment(Amendment("CA", "cancel", "A"))
        await store.apply(FILL, replace(FILL, fill_id="fill3", sequence=3))
        before = store.orders, store.amendments, store.fills, store.positions, store.fills_read.contiguous
    async with opened(tmp_path / "s.db") as store:
        assert before[0]["B"].status == "pending"
        before[0]["B"] = replace(before[0]["B"], status="unknown")
        assert (store.orders, store.amendments, store.fills, store.positions, store.fills_read.contiguous) == before
        assert store.orders["A"].filled == Decimal(3)
        assert store.fills_read == Sequence(1)
        assert store.cancel_wanted("A")


async def test_a_fill_is_applied_once_also_within_one_page_and_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as store:
        await store.add_order(A)
        await store.apply(FILL, FILL)
        await store.apply(FILL)
    async with opened(tmp_path / "s.db") as store:
        await store.apply(FILL)
        assert (store.positions, list(store.fills)) == ({"NQ": Decimal("1.5")}, ["fill1"])


async def test_a_fill_proves_the_order_before_its_answer_does(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as store:
        await store.add_order(A)
        await store.apply(replace(FILL, quantity=Decimal(4)))
        assert (store.orders["A"].order_id, store.orders["A"].status) == ("order1", "filled")
        await store.seen(WIRE)
        assert store.orders["A"].status == "filled"


async def test_more_reported_than_filled_means_that_fills_are_missing(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as store:
        await store.add_order(A)
        await store.seen(replace(WIRE, status="partially_filled", filled=Decimal("1.5")))
        assert store.short == {"A"}
        await store.apply(FILL)
        assert not store.short


async def test_a_second_order_under_one_key_is_not_mixed_into_the_first(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as store:
        await store.add_order(A)
        await store.seen(WIRE)
        await store.seen(replace(WIRE, order_id="order2", status="filled", filled=Decimal(4)))
        await store.apply(replace(FILL, order_id="order2"))
        assert store.orders["A"] == replace(A, order_id="order1", status="new")
        assert store.positions == {"NQ": Decimal("1.5")}


async def test_a_locked_database_is_waited_for_without_blocking_the_loop(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.db") as store:
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        adding = asyncio.create_task(store.add_order(A))
        seeing = asyncio.create_task(store.seen(WIRE))
        await asyncio.sleep(0.01)
        assert not adding.done()
        assert store.orders == {}
        other.execute("COMMIT")
        await asyncio.gather(adding, seeing)
        # The second change saw what the first had made of the store, although both had been asked for before it.
        assert store.orders["A"].order_id == "order1"
        other.close()


CHANGES: list[Callable[[OrderStore], Any]] = [
    lambda store: store.add_order(replace(A, intent="B", key="key-b", symbol="X" * 50_000)),
    lambda store: store.add_amendment(Amendment("CA", "cancel", "A", quantity="1" * 50_000)),
    lambda store: store.apply(replace(FILL, symbol="X" * 50_000)),
    lambda store: store.seen(replace(WIRE, order_id="X" * 50_000)),
]


@pytest.mark.parametrize("change", CHANGES)
async def test_on_a_full_disk_a_change_fails_aloud_and_whole(
    tmp_path: Path, change: Callable[[OrderStore], Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "s.db") as store:
        await store.add_order(A)
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreUnavailable, match="full"):
            await change(store)
        assert "nothing was written" in caplog.text
        assert (store.orders, store.amendments, store.fills, store.positions) == ({"A": A}, {}, {}, {})
        store._db.execute("PRAGMA max_page_count=1000000")
        await change(store)
        on_disk = sqlite3.connect(tmp_path / "s.db")
        tables = ("orders", "amendments", "fills")
        counts = [on_disk.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
        assert counts == [len(store.orders), len(store.amendments), len(store.fills)]
        on_disk.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_store_that_refuses_now_and_then_loses_nothing(seed: int) -> None:
    done = scenario(
        "venue: {profile: generic, resting: 30%}\n"
        "workload: {orders: 20, rate: 4/s, cancels: 20%, replaces: 20%, linger: 60s}\n"
        "faults:\n"
        "  - store_error: {error: full, probability: 20%, during: [0s, 10s]}\n"
        "  - store_error: {error: busy, probability: 20%, during: [0s, 10s]}\n"
        "  - lost_response: {on: '* *', probability: 10%, during: [0s, 10s]}\n"
        "expect: [no_duplicates, no_loss, fills_conserved, reconciled, no_stuck_tasks]\n",
        CAREFUL,
        seed,
    )
    assert set(verdicts(done).values()) == {"pass"}


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
        (("canceled", 0), ("new", 0), "canceled"),
    ],
)
def test_old_news_changes_nothing(known: tuple[str, int], told: tuple[str, int], believed: str) -> None:
    order = replace(A, order_id="order1", status=known[0], reported=Decimal(known[1]))
    after = order.told(replace(WIRE, status=told[0], filled=Decimal(told[1])))
    assert after.status == believed
    assert after.reported == max(known[1], told[1])


def test_an_order_that_exists_after_all_is_believed() -> None:
    withdrawn = replace(A, status="canceled")
    assert withdrawn.answer == "rejected"
    assert withdrawn.told(WIRE).status == "new"


def test_only_the_venue_ends_an_order_that_was_replaced() -> None:
    fill = replace(FILL, quantity=Decimal(4))
    assert A.with_fill(fill, amended=False).status == "filled"
    assert A.with_fill(fill, amended=True).status == "partially_filled"


def test_numbers_are_contiguous_and_never_the_largest() -> None:
    numbers = Sequence().with_numbers(1, 2, 5)
    assert numbers == Sequence(2, frozenset({5}))
    assert numbers.with_numbers(3) == Sequence(3, frozenset({5}))
    assert numbers.with_numbers(4, 3) == Sequence(5)
    assert numbers.up_to(4) == Sequence(5)
    assert numbers.up_to(1) == numbers
    assert numbers.with_numbers(1, 2, 5) == numbers


GOOD_ORDER = {"order_id": "o", "client_order_id": "k", "status": "new", "filled": "0", "quantity": "4", "price": None}
GOOD_FILL = {
    "fill_id": "f",
    "order_id": "o",
    "client_order_id": "k",
    "symbol": "NQ",
    "side": "buy",
    "quantity": "4",
    "price": "1",
    "sequence": 1,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [("order_id", None), ("order_id", 7), ("status", "odd"), ("filled", None), ("filled", "NaN"), ("quantity", "x")],
)
def test_half_an_order_is_none(field: str, value: object) -> None:
    assert read_order(GOOD_ORDER).order_id == "o"
    with pytest.raises(Unreadable):
        read_order({**GOOD_ORDER, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("fill_id", ""), ("side", "hold"), ("symbol", None), ("quantity", None), ("price", "Infinity")],
)
def test_half_a_fill_is_none(field: str, value: object) -> None:
    assert read_fill(GOOD_FILL).sequence == 1
    with pytest.raises(Unreadable):
        read_fill({**GOOD_FILL, field: value})


@pytest.mark.parametrize("data", [None, [], "text", 7, {}])
def test_what_is_no_object_is_no_order(data: object) -> None:
    with pytest.raises(Unreadable):
        read_order(data)


@pytest.mark.parametrize("value", [0, -1, True, "1", 1.0, None])
def test_what_is_no_number_numbers_nothing(value: object) -> None:
    assert read_fill({**GOOD_FILL, "sequence": value}).sequence is None

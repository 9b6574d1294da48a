"""Orders and fills as the reconciler sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from targets.resilience.channel_model import Page, Snapshot
from targets.resilience.errors import APIError
from targets.resilience.order_channels import (
    FILLS,
    ORDERS,
    FillLog,
    OrderChannels,
    OrderSnapshots,
    fill_delta,
    order_delta,
)
from targets.resilience.records import OrderRecord
from targets.resilience.sequence import Sequence
from targets.resilience.state_manager import StateManager
from targets.resilience.venue import Fill, Order, OrderSide, OrderStatus, OrderType

from .venue_double import VenueDouble

T = TypeVar("T")
A = OrderRecord("A", "key", "1", "NQ", OrderSide.BUY, OrderType.LIMIT, Decimal(4))
TOLD = Order("order1", OrderStatus.OPEN, "key", "NQ", size=Decimal(4))
FILL = Fill("fill1", "order1", "NQ", OrderSide.BUY, Decimal(1), Decimal(100))


async def ask(call: Callable[[], Awaitable[T]], *, endpoint: str = "") -> T:
    return await call()


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateManager]:
    made = StateManager(str(tmp_path / "s.db"))
    await made.initialize()
    await made.add_order(A)
    yield made
    assert made.verify_state_consistency()
    made.close()


async def test_ours_that_are_not_open_any_more_are_looked_up(state: StateManager) -> None:
    venue = VenueDouble()
    venue.held = {"order1": TOLD, "theirs": replace(TOLD, id="theirs", client_key="")}
    store = OrderChannels(state, state.seen)
    source = OrderSnapshots(venue, state)
    found = await source.snapshot(0, ask)
    await store.replace(ORDERS, found, (), Sequence(7))
    assert (state.orders["A"].status, set(state.external)) == (OrderStatus.OPEN, {"theirs"})
    assert store.read(ORDERS) == Sequence(7)
    await source.snapshot(0, ask)
    assert venue.count("order") == 0  # it was in the list
    venue.held = {"order1": replace(TOLD, status=OrderStatus.CANCELED)}
    await store.replace(ORDERS, await source.snapshot(0, ask), (), Sequence(8))
    assert (state.orders["A"].status, state.external) == (OrderStatus.CANCELED, {})
    assert venue.count("order") == 1
    # What is over is not asked for again.
    await source.snapshot(0, ask)
    assert venue.count("order") == 1


async def test_an_order_that_a_trailing_query_does_not_show_stays_as_it_is(state: StateManager) -> None:
    venue = VenueDouble()
    await state.seen(TOLD)
    assert await OrderSnapshots(venue, state).snapshot(0, ask) == Snapshot(())
    venue.before["order"] = [APIError("", 429)]
    with pytest.raises(APIError):
        await OrderSnapshots(venue, state).snapshot(0, ask)


async def test_deltas_are_believed_once(state: StateManager) -> None:
    heard: list[Any] = []

    async def hear(*orders: Order) -> None:
        heard.extend(orders)

    store = OrderChannels(state, hear)
    await store.apply(ORDERS, [order_delta(TOLD, 1)], Sequence(1))
    assert (heard, store.read(ORDERS), store.read(FILLS)) == ([TOLD], Sequence(1), Sequence())
    assert not store.knows(ORDERS, order_delta(TOLD))
    delta = fill_delta(replace(FILL, sequence=3))
    assert not store.knows(FILLS, delta)
    await store.apply(FILLS, [delta], Sequence(0, frozenset({3})))
    assert store.knows(FILLS, delta)
    assert store.read(FILLS) == Sequence(0, frozenset({3}))
    bust = fill_delta(replace(FILL, voided=True))
    assert (bust.revision, store.knows(FILLS, bust)) == (1, False)
    await store.apply(FILLS, [bust], Sequence(3))
    assert store.knows(FILLS, bust)
    assert state.positions == {"NQ": 0}


async def test_short_means_that_the_venue_reports_more_than_its_fills(state: StateManager) -> None:
    store = OrderChannels(state, state.seen)
    await state.seen(replace(TOLD, filled=Decimal(1), status=OrderStatus.PARTIALLY_FILLED))
    assert (store.short(FILLS), store.short(ORDERS)) == (True, False)
    await store.apply(FILLS, [fill_delta(FILL)], Sequence())
    assert not store.short(FILLS)


@pytest.mark.parametrize("numbered", [True, False])
async def test_a_log_goes_on_where_it_was_kept(state: StateManager, numbered: bool) -> None:
    venue = VenueDouble(fills_numbered=numbered)
    venue.logged = [replace(FILL, id=f"fill{n}", sequence=n if numbered else None) for n in (1, 2)]
    store, log = OrderChannels(state, state.seen), FillLog(venue, state)

    async def page() -> Page:
        return await log.snapshot(store.read(FILLS).contiguous, ask)

    first = await page()
    assert len(first.deltas) == 2
    # Not kept: the next page is the same.
    assert await page() == first
    numbers = [delta.sequence for delta in first.deltas if delta.sequence is not None]
    await store.apply(FILLS, first.deltas, Sequence().with_numbers(*numbers))
    assert (await page()).deltas == ()
    assert state.cursor("fills") == ("" if numbered else "2")
    venue.logged.append(replace(FILL, id="fill3", sequence=3 if numbered else None))
    assert [delta.id for delta in (await FillLog(venue, state).snapshot(2, ask)).deltas] == ["fill3"]

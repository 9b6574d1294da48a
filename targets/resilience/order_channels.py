"""Orders and fills as channels of the state reconciler: where they are kept, and where the venue tells all of them.

* *Orders* are a collection: what the venue holds open. One of ours that is not in it was ended meanwhile, or is too
  new for a query that trails: its own record tells. Their numbers belong to the process: a snapshot follows each
  start.
* *Fills* are a log: every fill after the last one that was taken in without a hole. Where the venue numbers them, the
  number is the place in the log; where it does not, its own cursor is, and is kept only when the page is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol, cast

from targets.resilience.channel_model import Ask, Channel, Delta, News, Page, Snapshot
from targets.resilience.sequence import Sequence
from targets.resilience.state_manager import StateManager
from targets.resilience.venue import Fill, FillPage, Order, UnknownOrderError, Venue

ORDERS: Final = "orders"
FILLS: Final = "fills"
_CURSOR: Final = "fills"

Hear = Callable[..., Awaitable[None]]
Reader = Callable[..., Iterable[News]]


class Reading(Protocol):
    """How one venue's stream tells of orders and fills."""

    events: tuple[str, ...]

    def orders(self, event: str, *arguments: object) -> Iterable[News]:
        """News of orders in an event."""
        ...

    def fills(self, event: str, *arguments: object) -> Iterable[News]:
        """News of fills in an event."""
        ...


def order_delta(order: Order, sequence: int | None = None) -> Delta:
    """An order as a message."""
    return Delta(order, sequence=sequence)


def fill_delta(fill: Fill, sequence: int | None = None) -> Delta:
    """A fill as a message; one that is taken back is a revision of itself."""
    return Delta(fill, id=fill.id, sequence=fill.sequence or sequence, revision=int(fill.voided))


def channels(venue: Venue, state: StateManager, reading: Reading) -> tuple[Channel, Channel]:
    """The two channels of an account. Fills first: an order that reports more than its fills is then rare."""
    return (
        Channel(FILLS, FillLog(venue, state), reading.fills, reading.events),
        Channel(ORDERS, OrderSnapshots(venue, state), reading.orders, reading.events),
    )


class OrderChannels:
    """The reconciler's ``StateStore`` over a state manager. ``hear`` takes orders in, also such as nobody knows yet."""

    def __init__(self, state: StateManager, hear: Hear) -> None:
        self._state = state
        self._hear = hear
        self._orders_read = Sequence()

    def read(self, channel: str) -> Sequence:
        """Which numbers were taken in."""
        return self._state.fills_read if channel == FILLS else self._orders_read

    def knows(self, channel: str, delta: Delta) -> bool:
        """Whether a fill was applied already. Old news of an order is told by what it says."""
        return channel == FILLS and self._state.has(cast("Fill", delta.data))

    def short(self, channel: str) -> bool:
        """Whether the venue reports more filled than the fills that arrived."""
        return channel == FILLS and bool(self._state.short)

    async def apply(self, channel: str, deltas: Iterable[Delta], read: Sequence) -> None:
        """Apply messages. Raises StateUnavailableError."""
        if channel == FILLS:
            await self._state.apply(*(cast("Fill", delta.data) for delta in deltas), read=read)
        else:
            await self._hear(*(cast("Order", delta.data) for delta in deltas))
            self._orders_read = read

    async def replace(self, channel: str, snapshot: Snapshot, after: Iterable[Delta], read: Sequence) -> None:
        """Believe the venue's list of orders. Raises StateUnavailableError."""
        orders = tuple(cast("Order", item) for item in snapshot.items)
        await self._state.snapshot(orders)
        await self.apply(channel, after, read)


class OrderSnapshots:
    """Every open order, and what became of ours that are not open any more."""

    def __init__(self, venue: Venue, state: StateManager) -> None:
        self._venue = venue
        self._state = state

    async def snapshot(self, since: int, ask: Ask) -> Snapshot:
        """All of them."""
        found = list(await ask(self._venue.open_orders, endpoint="Order/searchOpen"))
        listed = {order.id for order in found}
        for record in list(self._state.orders.values()):
            if record.order_id and not record.ended and record.order_id not in listed:
                with suppress(UnknownOrderError):
                    found.append(await self._look_up(record.order_id, ask))
        return Snapshot(tuple(found))

    async def _look_up(self, order_id: str, ask: Ask) -> Order:
        return await ask(lambda: self._venue.order(order_id), endpoint="Order/search")


class FillLog:
    """The account's fills."""

    def __init__(self, venue: Venue, state: StateManager) -> None:
        self._venue = venue
        self._state = state
        self._told: FillPage | None = None

    async def snapshot(self, since: int, ask: Ask) -> Page:
        """The next page after number ``since``, or after the venue's cursor."""
        cursor = str(since) if self._venue.rules.fills_numbered else await self._cursor()
        page = self._told = await ask(lambda: self._venue.fills(cursor), endpoint="Trade/search")
        return Page(tuple(map(fill_delta, page.fills)), more=page.more)

    async def _cursor(self) -> str:
        told = self._told
        if told is not None and all(map(self._state.has, told.fills)):
            await self._state.set_cursor(_CURSOR, told.cursor)
        return self._state.cursor(_CURSOR)

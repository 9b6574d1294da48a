"""How much of an order is filled, also of orders that nobody has claimed yet.

A stream may tell of an order before the answer to its placement arrives. What was told is kept by the venue's order
id, and counts once the order turns out to be ours; for an order of somebody else it is forgotten in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from targets.resilience.records import OrderRecord
from targets.resilience.venue import ENDED, ZERO, Order, OrderStatus

EARLY_MAX: Final = 10_000
"""So many orders of nobody are remembered, the oldest forgotten first."""


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What a stream says of an order. ``fill_volume`` is cumulative; ``status`` None where it is not said."""

    order_id: str
    fill_volume: Decimal | int | str = ZERO
    size: Decimal | int | str = ZERO
    status: OrderStatus | None = None
    client_key: str = ""

    def order(self) -> Order:
        """The order as this event tells it."""
        filled, size = Decimal(self.fill_volume), Decimal(self.size)
        status = self.status
        if status is None:
            partly = OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.OPEN
            status = OrderStatus.FILLED if size and filled >= size else partly
        return Order(self.order_id, status, client_key=self.client_key, size=size, filled=filled)


@dataclass(frozen=True, slots=True)
class FillStatus:
    """How much of an order is filled. Exact: quantities and the share are Decimal."""

    order_id: str
    filled: Decimal = ZERO
    size: Decimal = ZERO
    status: OrderStatus = OrderStatus.UNKNOWN

    @property
    def fill_percent(self) -> Decimal:
        """The filled share, from 0 to 1; 0 where the size is not known."""
        return self.filled / self.size if self.size else ZERO

    @property
    def remaining(self) -> Decimal:
        """What is not filled; of an ended order it never will be."""
        return max(ZERO, self.size - self.filled)

    @property
    def is_partial(self) -> bool:
        """Some of it is filled, and not all."""
        return ZERO < self.filled < self.size

    @property
    def is_complete(self) -> bool:
        """All of it is filled."""
        return self.size > 0 and self.filled >= self.size


class EarlyOrders:
    """Orders that were heard of before anybody knew whose they are."""

    def __init__(self) -> None:
        self._told: dict[str, Order] = {}

    def hear(self, order: Order) -> None:
        """Keep what was told, unless it is old news."""
        known = self._told.pop(order.id, None)
        if known is not None and (known.status in ENDED, known.filled) > (order.status in ENDED, order.filled):
            order = known
        self._told[order.id] = order
        if len(self._told) > EARLY_MAX:
            self._told.pop(next(iter(self._told)))

    def take(self, order_id: str) -> tuple[Order, ...]:
        """What was told of an order that is ours after all."""
        order = self._told.pop(order_id, None)
        return () if order is None else (order,)

    def get(self, order_id: str) -> Order | None:
        """What was told of an order, if anything."""
        return self._told.get(order_id)


def fill_status(order_id: str, record: OrderRecord | None, early: Order | None) -> FillStatus:
    """The fill status of one of our orders, or of one that was only heard of."""
    if record is not None:
        return FillStatus(order_id, max(record.filled, record.reported), record.size, record.status)
    if early is not None:
        return FillStatus(order_id, early.filled, early.size, early.status)
    return FillStatus(order_id)

"""What the client knows of its own orders, and how news changes that.

News comes from several sides (the answer, the stream, snapshots, queries that trail) and in any order, so every
change here is one that old news cannot undo: an end is final, cumulative quantities never shrink, and fills count by
their id and not by what an order report claims.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from targets.resilience.venue import ENDED, ZERO, Fill, Order, OrderSide, OrderStatus, OrderType, Placement

_STAGE: Final = {OrderStatus.OPEN: 1, OrderStatus.PARTIALLY_FILLED: 2, OrderStatus.PENDING_CANCEL: 3}

AmendmentKind = Literal["cancel", "replace"]
Outcome = Literal["", "accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One request to trade, and what became of it.

    ``order_id`` is empty until the venue is known to have the order. ``filled`` is the sum of the fills applied and
    nothing else; ``reported`` is what the venue says was filled. Where it is more, fills are missing.
    """

    request_id: str
    key: str
    account_id: str
    contract_id: str
    side: OrderSide
    type: OrderType
    size: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    order_id: str = ""
    status: OrderStatus = OrderStatus.PENDING
    filled: Decimal = ZERO
    reported: Decimal = ZERO

    @property
    def ended(self) -> bool:
        """Nothing more can happen to it."""
        return self.status in ENDED

    @property
    def settled(self) -> bool:
        """Whether the venue has it is known for certain."""
        return bool(self.order_id) or self.status in ENDED

    @property
    def accepted(self) -> bool:
        """The venue has it, or had it."""
        return bool(self.order_id) and self.status != OrderStatus.REJECTED

    @property
    def placement(self) -> Placement:
        """What is sent for it, the same each time."""
        return Placement(
            self.key,
            self.account_id,
            self.contract_id,
            self.side,
            self.type,
            self.size,
            self.limit_price,
            self.stop_price,
        )

    def told(self, order: Order) -> OrderRecord:
        """This record after hearing ``order``. Old news changes nothing: nothing follows an end, fills never shrink."""
        if self.order_id:
            known = (self.ended, self.reported, _STAGE.get(self.status, 0))
            if (order.ended, order.filled, _STAGE.get(order.status, 0)) <= known:
                return self
        return replace(self, order_id=order.id, status=order.status, reported=max(self.reported, order.filled))

    def with_fill(self, fill: Fill, *, amended: bool) -> OrderRecord:
        """This record after a fill that it has not seen before.

        A fill proves that the order exists. The last one also ends it, unless a replacement was asked for
        (``amended``): then only the venue knows how large the order is.
        """
        filled = self.filled + fill.size
        status = self.status
        if status not in ENDED:
            if not amended and filled >= self.size:
                status = OrderStatus.FILLED
            elif status != OrderStatus.PENDING_CANCEL:
                status = OrderStatus.PARTIALLY_FILLED
        return replace(self, order_id=fill.order_id, status=status, filled=filled, reported=max(self.reported, filled))

    def without_fill(self, fill: Fill) -> OrderRecord:
        """This record after the venue took an applied fill back. The status stays: a bust reopens no order."""
        return replace(self, filled=self.filled - fill.size, reported=self.reported - fill.size)


@dataclass(frozen=True, slots=True)
class Amendment:
    """A request to cancel or to replace the order of request ``of``. ``outcome`` is empty until it is settled."""

    request_id: str
    kind: AmendmentKind
    of: str
    size: Decimal | None = None
    limit_price: Decimal | None = None
    outcome: Outcome = ""

"""How a belief is held against the truth: the one comparison that several oracles share.

A client may know that it does not know (``unknown``, ``pending``): that is uncertain, not wrong. It may hold nothing
for an intent that never became an order, or call it refused or cancelled; all of these are true then.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from faultline.history.event import OrderBelief
from faultline.history.ledger import OrderRecord, amount

UNSURE: Final = frozenset({"unknown", "pending"})
"""The client says that it does not know."""

NOT_LIVE: Final = frozenset({"absent", "rejected", "canceled", "expired"})
"""There is no order that could still do anything, and there may never have been one."""


def true_filled(orders: Sequence[OrderRecord]) -> Decimal:
    """What all orders of an intent filled together."""
    if len(orders) == 1:
        return orders[0].filled
    return sum((order.filled for order in orders), Decimal(0))


def state_agrees(view: OrderBelief | None, orders: Sequence[OrderRecord]) -> bool:
    """Whether the state that the client believes an intent to be in is one that the venue has it in.

    Being unsure agrees with nothing.
    """
    state = "absent" if view is None else view.state
    if not orders:
        return state in NOT_LIVE
    return any(order.state == state for order in orders)


def shown_truth(orders: Sequence[OrderRecord]) -> str:
    """The truth of an intent in words: ``the venue has o12 (filled, 2 of 4)`` or ``the venue has no order for it``."""
    if not orders:
        return "the venue has no order for it"
    each = ", ".join(f"{order.order} ({order.state}, {order.filled} of {order.quantity})" for order in orders)
    return f"the venue has {each}"


def shown_belief(view: OrderBelief | None) -> str:
    """A belief in words: ``new, filled 2``, ``unknown`` or ``nothing``."""
    if view is None or view.state == "absent":
        return "nothing"
    return view.state if view.state in UNSURE else f"{view.state}, filled {view.filled}"


def disagreement(view: OrderBelief | None, orders: Sequence[OrderRecord]) -> str:
    """Why the client's view of an intent is not the truth, as the end of a sentence; empty when it is.

    An unsure view of an intent that became no order is not called wrong.
    """
    state = "absent" if view is None else view.state
    if not orders and state in UNSURE:
        return ""
    filled = amount(view.filled) if view is not None else Decimal(0)
    if state_agrees(view, orders) and filled == true_filled(orders):
        return ""
    return f"the client believes {shown_belief(view)}, but {shown_truth(orders)}"

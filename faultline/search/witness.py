"""What a failed run shows: the faults that were left, and intended, venue and client side by side.

Plain text values, taken from the history alone, for any report to lay out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from faultline.history import History, Ledger
from faultline.history.event import Resolved, Struck
from faultline.history.ledger import OrderRecord, amount
from faultline.oracles.base import Verdict

ROWS_MAX: Final = 6
_TOLD: Final = {"ok": "done", "fail": "not done", "info": "unknown"}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A fault that fired: where, what it did, and whether the operation that it struck took effect."""

    t: float
    fault: str
    point: str
    action: str
    effect: str


@dataclass(frozen=True, slots=True)
class Row:
    """One intent (or one position), as it was wanted, as the venue has it and as the client believes it."""

    subject: str
    wanted: str
    venue: str
    client: str


def receipts(history: History) -> tuple[Receipt, ...]:
    """Every fault that fired, in order."""
    effects = {event.receipt: event.effect for event in history.of(Resolved)}
    return tuple(
        Receipt(
            struck.t,
            struck.fault,
            _point(struck),
            struck.action,
            effects.get(struck.receipt, "unknown").replace("_", " "),
        )
        for struck in history.of(Struck)
    )


def _point(struck: Struck) -> str:
    if struck.phase == "tick":
        return f"{struck.endpoint} by the clock" if struck.endpoint != "*" else "by the clock"
    who = "" if struck.entity in ("", "-") else f" [{struck.entity}]"
    return f"{struck.endpoint}{who} #{struck.nth} {struck.phase}"


def side_by_side(history: History, verdict: Verdict) -> tuple[Row, ...]:
    """The intents that a verdict's findings are about; positions that differ when they are about none."""
    ledger = history.ledger
    intents: dict[str, None] = {}
    for finding in verdict.findings:
        if finding.intent:
            intents[ledger.root(finding.intent)] = None
            intents[finding.intent] = None
    rows = [_intent_row(ledger, intent) for intent in intents]
    return tuple((rows or _positions(ledger))[:ROWS_MAX])


def _intent_row(ledger: Ledger, intent: str) -> Row:
    return Row(intent, _wanted(ledger, intent), _at_venue(ledger, intent), _believed(ledger, intent))


def _wanted(ledger: Ledger, intent: str) -> str:
    wanted = ledger.intents.get(intent)
    if wanted is None:
        return "nothing that was asked for"
    price = f" at {wanted.price}" if wanted.price else " at the market"
    if wanted.op in ("kill", "flatten"):
        return wanted.op
    if wanted.op == "cancel":
        return f"cancel {wanted.of}"
    if wanted.op == "replace":
        return f"change {wanted.of} to {wanted.quantity}{price}"
    return f"{wanted.side} {wanted.quantity} {wanted.symbol}{price}"


def _at_venue(ledger: Ledger, intent: str) -> str:
    wanted = ledger.intents.get(intent)
    if wanted is not None and wanted.op == "cancel":
        return "see " + wanted.of
    orders = [_order(order) for order in ledger.orders_of(intent)]
    refused = ledger.rejects.get(intent, [])
    if refused:
        orders.append("refused" if len(refused) == 1 else f"refused {len(refused)} times")
    return "; ".join(orders) or "nothing"


def _order(order: OrderRecord) -> str:
    filled = f", {order.filled} of {order.quantity} filled" if order.state != "filled" else f" {order.filled}"
    return f"{order.order} {order.state.replace('_', ' ')}{filled}"


def _believed(ledger: Ledger, intent: str) -> str:
    answer = ledger.answers.get(intent)
    said = "never answered" if answer is None else f"said {_TOLD[answer.outcome]}"
    view = ledger.view_of(intent)
    if view is None:
        return f"{said}; believes nothing of it" if ledger.tells_orders else said
    order = f" ({view.order})" if view.order else ""
    filled = f" {view.filled}" if amount(view.filled) else ""
    return f"{said}; believes {view.state.replace('_', ' ')}{filled}{order}"


def _positions(ledger: Ledger) -> list[Row]:
    truth = ledger.true_positions()
    symbols: Sequence[str] = sorted({*truth, *ledger.positions})
    return [
        Row(f"position {symbol}", "", str(truth.get(symbol, 0)), str(ledger.positions.get(symbol, "not told")))
        for symbol in symbols
        if truth.get(symbol) != ledger.positions.get(symbol)
    ]

"""Nothing happened twice: one intent, one order; one fill, applied once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.history.event import Received
from faultline.history.ledger import OrderRecord
from faultline.oracles.base import Finding, Verdict, described, flattens, plural, seconds, unattributed_doubt, verdict


@dataclass(frozen=True)
class NoDuplicates:
    """At most one accepted order per intent, and at most one application of each fill by one client process.

    The ledger counts, not what the client saw. A replacement that a venue books as a new order belongs to the
    intent to replace; two equal intents are two intents. A copy of a request that faultline made and the venue took
    for a second order counts as well, because a key would have prevented it; the finding says so. A process that
    starts again tells its whole view anew, so fills are counted per process. A flatten may take several orders.
    """

    name: ClassVar[str] = "no_duplicates"
    checks: ClassVar[tuple[str, ...]] = ("C1",)

    def judge(self, history: History) -> Verdict:
        """Fails on a second order or a fill applied again; unknown while some order belongs to nobody."""
        ledger = history.ledger
        findings: list[Finding] = []
        copies: frozenset[int] | None = None
        for intent, orders in ledger.by_intent.items():
            if len(orders) > 1 and not flattens(ledger, intent):
                if copies is None:
                    copies = frozenset(event.request for event in history.of(Received) if event.injected)
                became = _listed(orders, copies)
                what = f"{described(ledger, intent)} became {len(orders)} orders ({became})"
                findings.append(Finding(what, orders[1].accepted_t, intent))
        for again in ledger.reapplied:
            effect = ledger.fills.get(again.fill)
            record = ledger.orders.get(effect.order) if effect is not None else None
            whose = f" of order {record.order} for {described(ledger, record.intent or '?')}" if record else ""
            what = f"the client applied fill {again.fill}{whose} again at {seconds(again.t)}"
            findings.append(Finding(what, again.t, (record.intent or "") if record else ""))
        judged = len(ledger.by_intent) + len(ledger.applied)
        return verdict(
            self.name,
            judged,
            findings,
            unknown=unattributed_doubt(history, "order"),
            summary=f"{plural(len(ledger.by_intent), 'intent')} with one order each",
            nothing="no order was accepted and no fill applied",
        )


def _listed(orders: Sequence[OrderRecord], copies: frozenset[int]) -> str:
    parts: list[str] = []
    for order in orders:
        copied = " from a copy that faultline made" if order.request in copies else ""
        parts.append(f"{order.order} at {seconds(order.accepted_t)}{copied}")
    requests = [order.request for order in orders if order.request]
    twice = next((request for request in requests if requests.count(request) > 1), 0)
    venue = f"; the venue made several of one request ({twice}), which is its own doing" if twice else ""
    return ", ".join(parts) + venue

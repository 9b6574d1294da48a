"""What the client did not know, it found out, and found out right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History, Ledger
from faultline.history.event import Answered, Intent, Received
from faultline.oracles.agreement import NOT_LIVE, UNSURE, shown_belief, shown_truth, state_agrees, true_filled
from faultline.oracles.base import (
    Finding,
    Verdict,
    described,
    ending_doubt,
    plural,
    seconds,
    unattributed_doubt,
    verdict,
)


@dataclass(frozen=True)
class ResolvedUnknowns:
    """Every order whose outcome was in doubt is believed as it is at the end; and no order answered ``fail`` lives or
    was filled.

    In doubt is an order that was answered ``info``, that the client holds as unknown or pending, or one whose answer
    did not reach the client: it was lost or cut off on the way, or was a 5xx, which says nothing.

    Not knowing is legal while faults last, not for ever. A *phantom reject* is an order that the client disowns
    although it exists; a *phantom success* one that it believes in although it never did.
    """

    name: ClassVar[str] = "resolved_unknowns"
    checks: ClassVar[tuple[str, ...]] = ("C2", "C11")

    def judge(self, history: History) -> Verdict:
        """Fails on an unknown that stayed one or was resolved wrongly; unknown when nothing was ever in doubt."""
        ledger = history.ledger
        doubt = unattributed_doubt(history, "order")
        findings: list[Finding] = []
        judged = 0
        open_end = ""
        unheard = _unheard(history)
        for intent in ledger.intents.values():
            if intent.op != "place":
                continue
            answer = ledger.answers.get(intent.id)
            outcome = None if answer is None else answer.outcome
            if outcome == "fail":
                judged += 1
                findings += _disowned(ledger, intent)
            elif outcome == "info" or intent.id in unheard or _held_unsure(ledger, intent):
                judged += 1
                if ledger.final is None or not ledger.tells_orders:
                    open_end = ending_doubt(history) or "the client never told what it believes of orders"
                else:
                    findings += self._unresolved(ledger, intent, absence_known=not doubt)
        return verdict(
            self.name,
            judged,
            findings,
            unknown=(doubt if judged else "") or open_end,
            summary=f"{plural(judged, 'unknown outcome')} resolved",
            nothing="no outcome was ever in doubt",
        )

    def _unresolved(self, ledger: Ledger, intent: Intent, *, absence_known: bool) -> list[Finding]:
        assert ledger.final is not None
        view, orders = ledger.view_of(intent.id), ledger.orders_of(intent.id)
        state = "absent" if view is None else view.state
        if state in UNSURE:
            kind = "an outcome that was never resolved"
        elif state_agrees(view, orders) or not (orders or absence_known):
            return []
        elif not orders:
            kind = "a phantom success"
        elif state in NOT_LIVE and (true_filled(orders) or any(not order.terminal for order in orders)):
            kind = "a phantom reject"
        else:
            kind = "resolved wrongly"
        truth = shown_truth(orders) if orders or absence_known else "nobody can tell the truth"
        believed = f"at the end the client believes {shown_belief(view)}"
        what = f"{described(ledger, intent.id)} is {kind}: {believed}, and {truth}"
        return [Finding(what, ledger.final.t, intent.id)]


def _held_unsure(ledger: Ledger, intent: Intent) -> bool:
    view = ledger.view_of(intent.id)
    return view is not None and view.state in UNSURE


def _unheard(history: History) -> set[str]:
    """Intents of which some request got no answer that says anything."""
    mute = {
        answered.request
        for answered in history.of(Answered)
        if answered.fate in ("lost", "cut") or answered.status >= 500
    }
    if not mute:
        return set()
    return {received.entity for received in history.of(Received) if received.request in mute}


def _disowned(ledger: Ledger, intent: Intent) -> list[Finding]:
    answer, orders = ledger.answers[intent.id], ledger.orders_of(intent.id)
    if not any(order.filled or not order.terminal for order in orders):
        return []  # never was, or was undone without a trace: the answer is right
    what = (
        f"{described(ledger, intent.id)} is a phantom reject: it was answered fail at {seconds(answer.t)}, "
        f"and {shown_truth(orders)}"
    )
    return [Finding(what, answer.t, intent.id)]

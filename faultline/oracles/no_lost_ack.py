"""What the client said was done is done, and the client still knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History, Ledger
from faultline.history.event import Answer, Intent
from faultline.oracles.agreement import UNSURE, shown_belief
from faultline.oracles.base import (
    Finding,
    Verdict,
    described,
    ending_doubt,
    plural,
    seconds,
    speaks,
    unattributed_doubt,
    verdict,
)


@dataclass(frozen=True)
class NoLostAck:
    """An intent answered ``ok`` has its effect in the ledger, and the client still believes in it at the end.

    The answer to the caller is the promise, not an HTTP response that a crash kept the client from storing. An
    order that the client lets go after it ended is not forgotten. A cancel answered ``ok`` needs no order that is
    still open, whoever ended it. Where nobody tells what the client believes, only the ledger is asked.
    """

    name: ClassVar[str] = "no_lost_ack"
    checks: ClassVar[tuple[str, ...]] = ("C3",)

    def judge(self, history: History) -> Verdict:
        """Fails on a promise without an effect or without a memory; absence is unknown while an order is nobody's."""
        ledger = history.ledger
        doubt = unattributed_doubt(history)
        remembers = ledger.final is not None and ledger.tells_orders
        findings: list[Finding] = []
        for answer in ledger.oks.values():
            intent = ledger.intents.get(answer.intent)
            if intent is None:
                continue
            if why := _without_effect(ledger, intent):
                if not doubt:
                    findings.append(_finding(ledger, answer, f"but {why}"))
            elif remembers and intent.op == "place" and (why := _forgotten(ledger, intent.id)):
                findings.append(_finding(ledger, answer, why))
        return verdict(
            self.name,
            len(ledger.oks),
            findings,
            unknown=doubt or (ending_doubt(history) if ledger.oks and speaks(history) else ""),
            summary=f"{plural(len(ledger.oks), 'promise')} kept",
            nothing="no intent was answered ok",
        )


def _finding(ledger: Ledger, answer: Answer, why: str) -> Finding:
    what = f"{described(ledger, answer.intent)} was answered ok at {seconds(answer.t)}, {why}"
    return Finding(what, answer.t, answer.intent)


def _without_effect(ledger: Ledger, intent: Intent) -> str:
    if intent.op == "place":
        if ledger.orders_of(intent.id):
            return ""
        refused = ledger.rejects.get(intent.id)
        if refused:
            return f"the venue had refused it at {seconds(refused[0].t)}"
        return "the venue has no order for it"
    if intent.op not in ("cancel", "replace"):
        return ""
    orders = ledger.orders_of(ledger.root(intent.id))
    if intent.op == "cancel":
        alive = [order for order in orders if not order.terminal]
        return f"order {alive[0].order} is still {alive[0].state}" if alive else ""
    if ledger.by_intent.get(intent.id) or any(e.t >= intent.t for order in orders for e in order.replaced):
        return ""
    return f"order {orders[0].order} was never changed" if orders else "there is no order to change"


def _forgotten(ledger: Ledger, intent: str) -> str:
    view = ledger.view_of(intent)
    if view is None:
        return "but the client no longer knows of it at the end"
    if view.state in UNSURE or view.state == "rejected":
        return f"but at the end the client believes {shown_belief(view)}"
    return ""

"""Everything that the venue did to the client's orders reached what the client believes.

A gap shows by what comes after it; the tail does not, so the ledger is asked, not the stream. However a fill came
(stream, resync, query), it counts once it is applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History, Ledger
from faultline.history.event import Belief, Boot, Delivered, Effect
from faultline.oracles.agreement import NOT_LIVE, UNSURE, shown_belief
from faultline.oracles.base import (
    Finding,
    Verdict,
    described,
    ending_doubt,
    flattens,
    plural,
    seconds,
    speaks,
    unattributed_doubt,
    verdict,
)


@dataclass(frozen=True)
class NoLostEvents:
    """Every fill was applied, every order and every ending is known, and nothing was applied that never was.

    Judged on the client's last process, which must hold it all, whatever crashed before. Fills and orders that
    belong to nobody are not charged to the client; a client that never names fill ids is judged by its orders only.
    """

    name: ClassVar[str] = "no_lost_events"
    checks: ClassVar[tuple[str, ...]] = ("C4", "C5", "C7")

    def judge(self, history: History) -> Verdict:
        """Fails on a lost or an invented event; unknown without a final belief or with effects that are nobody's."""
        ledger = history.ledger
        findings = _invented(history)
        judged = 0
        if speaks(history):
            own = [fill for fill in ledger.fills.values() if _owner(ledger, fill)]
            judged = len(own) + sum(map(len, ledger.by_intent.values()))
            if ledger.final is not None and ledger.tells_fills:
                findings += _lost_fills(history, own)
            if ledger.final is not None and ledger.tells_orders:
                findings += _lost_orders(ledger)
        return verdict(
            self.name,
            judged,
            findings,
            unknown=ending_doubt(history) or unattributed_doubt(history, "order", "fill", "cancel", "expire"),
            summary=f"{plural(judged, 'event')} known to the client",
            nothing="the venue did nothing that the client could have missed",
        )


def _owner(ledger: Ledger, fill: Effect) -> str:
    record = ledger.orders.get(fill.order)
    return (record.intent if record is not None else fill.intent) or ""


def _invented(history: History) -> list[Finding]:
    fills = history.ledger.fills
    findings: list[Finding] = []
    for belief in history.of(Belief):
        for fill in belief.fills:
            known = fills.get(fill)
            if known is None:
                what = f"the client applied fill {fill} at {seconds(belief.t)}, which the venue never made"
                findings.append(Finding(what, belief.t))
            elif known.t > belief.t:
                when = f"at {seconds(belief.t)}, before the venue made it at {seconds(known.t)}"
                what = f"the client applied fill {fill} {when}"
                findings.append(Finding(what, belief.t, _owner(history.ledger, known)))
    return findings


def _lost_fills(history: History, own: list[Effect]) -> list[Finding]:
    ledger = history.ledger
    applied = ledger.applied
    lost = [fill for fill in own if fill.fill not in applied]
    if not lost:
        return []
    last_applied_t = max((fill.t for fill in own if fill.fill in applied), default=-1.0)
    who = "the client's last process" if len(history.of(Boot)) > 1 else "the client"
    fates = {event.subject: event for event in history.of(Delivered) if event.subject}
    findings: list[Finding] = []
    for fill in lost:
        owner = _owner(ledger, fill)
        where = (
            "although the client applied later ones (a gap)"
            if fill.t < last_applied_t
            else "nor any after it (the tail)"
        )
        message = fates.get(fill.fill)
        told = "" if message is None else f"; its last message, on connection {message.connection}, was {message.fate}"
        what = (
            f"fill {fill.fill} of order {fill.order}, {fill.quantity} for {described(ledger, owner)}, "
            f"at {seconds(fill.t)} was never applied by {who}, {where}{told}"
        )
        findings.append(Finding(what, fill.t, owner))
    return findings


def _lost_orders(ledger: Ledger) -> list[Finding]:
    findings: list[Finding] = []
    for order in ledger.orders.values():
        if order.intent is None:
            continue
        root = ledger.root(order.intent)
        if flattens(ledger, root):
            continue  # a client need not keep the orders that close it out; their fills it must know
        view = ledger.view_of(root)
        believed = "absent" if view is None else view.state
        if order.terminal:
            # Where an intent has several orders, one view cannot show every ending; any ending will do then.
            known = believed == order.state or (
                len(ledger.orders_of(root)) > 1 and believed not in UNSURE and believed != "absent"
            )
            t = order.accepted_t if order.ended_t is None else order.ended_t
            event = f"was {order.state} at {seconds(t)}"
        else:
            known = believed not in UNSURE and believed not in NOT_LIVE
            t, event = order.accepted_t, f"was accepted at {seconds(order.accepted_t)} and is {order.state}"
        if not known:
            what = (
                f"order {order.order} of {described(ledger, root)} {event}, "
                f"but at the end the client believes {shown_belief(view)}"
            )
            findings.append(Finding(what, t, root))
    return findings

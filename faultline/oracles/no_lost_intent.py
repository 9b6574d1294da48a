"""What the caller wanted came to something, or the caller was told that it did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from faultline.history import History, Ledger
from faultline.history.event import Answer, Intent
from faultline.oracles.agreement import NOT_LIVE
from faultline.oracles.base import Finding, Verdict, described, plural, seconds, unattributed_doubt, verdict

DETAIL_MAX: Final = 120
"""Characters of an exception that a finding shows; the history has all of it."""


@dataclass(frozen=True)
class NoLostIntent:
    """Every intent took effect, or was refused by the venue, or was answered ``fail``.

    Giving up loudly is not a loss, and neither is an intent that the client visibly holds as ``unknown`` (whether
    it resolves that is :class:`ResolvedUnknowns`' matter), one that it answered ``info`` and has since found not to
    exist, or one that was cancelled before it was sent. A cancel must end the order; a replace must change it,
    unless it ended first.
    """

    name: ClassVar[str] = "no_lost_intent"
    checks: ClassVar[tuple[str, ...]] = ("C2",)

    def judge(self, history: History) -> Verdict:
        """Fails on an intent that nothing came of; unknown while some order or refusal belongs to nobody."""
        ledger = history.ledger
        cancelled = {intent.of for intent in ledger.intents.values() if intent.op == "cancel"}
        absent: list[Finding] = []
        ignored: list[Finding] = []
        for intent in ledger.intents.values():
            answer = ledger.answers.get(intent.id)
            if answer is not None and answer.outcome == "fail":
                continue
            if intent.op == "place":
                if intent.id not in ledger.by_intent and self._lost(ledger, intent, cancelled):
                    absent.append(self._absence(ledger, intent))
            elif (why := _ignored(ledger, intent)) and not _held_unknown(ledger, intent.id):
                told = _told(answer)
                ignored.append(Finding(f"{described(ledger, intent.id)} {told}, but {why}", intent.t, intent.id))
        doubt = unattributed_doubt(history, "order", "reject")
        findings = ignored if doubt else absent + ignored
        return verdict(
            self.name,
            len(ledger.intents),
            findings,
            unknown=doubt,
            summary=f"{plural(len(ledger.intents), 'intent')} accounted for",
            nothing="nothing was asked of the client",
        )

    def _lost(self, ledger: Ledger, intent: Intent, cancelled: set[str]) -> bool:
        if intent.id in ledger.rejects or intent.id in cancelled or ledger.orders_of(intent.id):
            return False
        answer = ledger.answers.get(intent.id)
        belief = ledger.beliefs.get(intent.id)
        if belief is None or ledger.final is None:
            return True
        if belief.state == "unknown":
            return answer is not None and answer.outcome == "ok"
        return not (answer is not None and answer.outcome == "info" and belief.state in NOT_LIVE)

    def _absence(self, ledger: Ledger, intent: Intent) -> Finding:
        answer = ledger.answers.get(intent.id)
        wanted = f"{described(ledger, intent.id)}, wanted at {seconds(intent.t)}"
        what = f"{wanted}, {_told(answer)}, and the venue has no order for it"
        return Finding(what, intent.t, intent.id)


def _told(answer: Answer | None) -> str:
    """What the caller heard, and the exception that it met: a bug in the client shows itself as one."""
    if answer is None:
        return "was never answered"
    met = f" ({answer.detail[:DETAIL_MAX]})" if answer.detail else ""
    return f"was answered {answer.outcome} at {seconds(answer.t)}{met}"


def _held_unknown(ledger: Ledger, intent: str) -> bool:
    belief = ledger.beliefs.get(intent)
    return ledger.final is not None and belief is not None and belief.state == "unknown"


def _ignored(ledger: Ledger, intent: Intent) -> str:
    """Why a cancel or a replace came to nothing, or the empty string."""
    if intent.op not in ("cancel", "replace"):
        return ""  # what a kill or a flatten comes to is a matter of exposure
    orders = ledger.orders_of(ledger.root(intent.id))
    alive = [order for order in orders if not order.terminal]
    if not alive or (intent.op == "replace" and ledger.by_intent.get(intent.id)):
        return ""
    if intent.op == "replace" and any(effect.t >= intent.t for order in orders for effect in order.replaced):
        return ""
    first = alive[0]
    if intent.op == "replace":
        return f"order {first.order} still has its old size and price"
    return f"order {first.order} is still {first.state}"

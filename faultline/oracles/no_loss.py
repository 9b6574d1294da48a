"""The three loss oracles in one, for those who judge from Python. A scenario's ``no_loss`` is expanded instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.oracles.base import Finding, Verdict, verdict
from faultline.oracles.no_lost_ack import NoLostAck
from faultline.oracles.no_lost_events import NoLostEvents
from faultline.oracles.no_lost_intent import NoLostIntent

PARTS = (NoLostIntent, NoLostAck, NoLostEvents)


@dataclass(frozen=True)
class NoLoss:
    """No intent, no promise and no event was lost. Fails if one part fails; a part that had nothing to judge does
    not matter as long as another had."""

    name: ClassVar[str] = "no_loss"
    checks: ClassVar[tuple[str, ...]] = tuple(dict.fromkeys(number for part in PARTS for number in part.checks))

    def judge(self, history: History) -> Verdict:
        """The three verdicts as one."""
        verdicts = [part().judge(history) for part in PARTS]
        findings: list[Finding] = [finding for each in verdicts for finding in each.findings]
        doubts = [f"{each.oracle}: {each.why}" for each in verdicts if each.verdict == "unknown" and each.judged]
        judged = sum(each.judged for each in verdicts)
        summary = "; ".join(each.why for each in verdicts if each.verdict == "pass")
        result = verdict(self.name, judged, findings, unknown="; ".join(doubts), summary=summary)
        return _with_count(result, sum(each.count for each in verdicts))


def _with_count(result: Verdict, count: int) -> Verdict:
    """``result`` with the true number of findings, which the parts may have kept only the first of."""
    return Verdict(result.oracle, result.verdict, result.judged, result.why, result.findings, count)

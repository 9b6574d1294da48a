"""Between two attempts the client waits, longer each time, as it declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.history.event import Received
from faultline.oracles.base import EPSILON_S, NEVER_T, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import Hearing, sent_t
from faultline.oracles.sends import answers, calls, repeats
from faultline.units import Seconds, show_seconds


@dataclass(frozen=True)
class Backoff:
    """The k-th retry of a call is sent at least the k-th of ``delays_s`` after the attempt before it was sent; the last
    of them holds for all later ones. With ``slack_s`` it is also sent at most so much later than its delay after the
    client must have heard of the failure.

    The lower bound is hard, because a wait begins after the send. The upper one has to leave room for queues, so give
    it generously. A refusal that was heard and said how long to wait is not counted as a retry of its own, and a 401 is
    answered by a new token, not by waiting. After an attempt that succeeded the counting begins anew.
    """

    name: ClassVar[str] = "backoff"
    checks: ClassVar[tuple[str, ...]] = ("C24",)

    delays_s: tuple[Seconds, ...] = (0.1,)
    slack_s: Seconds | None = None

    def judge(self, history: History) -> Verdict:
        """Fails on a retry that came too soon, or too late; unknown when nothing was retried."""
        hearing, answered = Hearing(history), answers(history)
        findings: list[Finding] = []
        judged = 0
        for call, attempts in calls(history).items():
            if call.endpoint.startswith("GET "):
                continue
            retries = 0
            for before, again in repeats(attempts):
                answer = answered.get(before.request)
                status = None if answer is None else answer.status
                if status is not None and status < 400:
                    retries = 0
                    continue
                if status == 401 or (answer is not None and answer.retry_after_s is not None):
                    continue
                judged += 1
                delay_s = self.delays_s[min(retries, len(self.delays_s) - 1)]
                retries += 1
                heard_t = NEVER_T if answer is None else hearing.heard_t(answer)
                why = self._why(before, again, delay_s, heard_t)
                if why:
                    findings.append(Finding(f"{call} was sent again {why}", sent_t(again), call.entity))
        return verdict(
            self.name,
            judged,
            findings,
            summary=f"{plural(judged, 'retry', 'retries')} as declared",
            nothing="nothing was retried",
        )

    def _why(self, before: Received, again: Received, delay_s: float, heard_t: float) -> str:
        gap_s = sent_t(again) - sent_t(before)
        pair = f"(requests {before.request} and {again.request}, {seconds(sent_t(again))})"
        if gap_s < delay_s - EPSILON_S:
            return f"after {show_seconds(round(gap_s, 6))}, before the {show_seconds(delay_s)} that are due {pair}"
        if self.slack_s is not None and sent_t(again) > heard_t + delay_s + self.slack_s + EPSILON_S:
            late_s = show_seconds(round(sent_t(again) - heard_t, 6))
            return f"{late_s} after its failure was heard, where {show_seconds(delay_s)} were due {pair}"
        return ""

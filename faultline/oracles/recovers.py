"""Once the faults are over, the client gets going again, and soon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.history.contract import TERMINAL_STATES
from faultline.history.event import Belief, Boot, Crashed, Stuck
from faultline.oracles.base import (
    EPSILON_S,
    NEVER_T,
    Finding,
    Verdict,
    described,
    last_fault_t,
    plural,
    seconds,
    verdict,
)
from faultline.units import Seconds, show_seconds


@dataclass(frozen=True)
class Recovers:
    """Every intent issued before the last fault is answered within ``within_s`` after it, every later one within
    ``within_s`` of being issued, and a client is running at the end.

    Any answer will do, also ``info``: this is about coming back, not about being right. An intent that nobody was
    left to answer also counts once the client believes it ended. The last fault is over when the run says so (or at
    the last strike) and the last crashed process has started again.
    """

    name: ClassVar[str] = "recovers"
    checks: ClassVar[tuple[str, ...]] = ("C17", "C28")

    within_s: Seconds = 30.0

    def judge(self, history: History) -> Verdict:
        """Fails on a late or missing answer; unknown when the run ended before the time was up."""
        ledger = history.ledger
        quiet_t, end_t = last_fault_t(history), history.end_t
        findings = _left_down(history, quiet_t + self.within_s)
        settled: dict[str, float] | None = None
        too_early, last_s = 0, 0.0
        for intent in ledger.intents.values():
            start_t = max(quiet_t, intent.t)
            deadline_t = start_t + self.within_s + EPSILON_S
            answer = ledger.answers_first.get(intent.id)
            if answer is not None and answer.t <= deadline_t:
                last_s = max(last_s, answer.t - quiet_t)
                continue
            if settled is None:
                settled = _settled(history)
            if settled.get(intent.id, NEVER_T) <= deadline_t:
                continue
            if answer is None and end_t < deadline_t and not history.of(Stuck):
                too_early += 1
                continue
            since = "it was issued" if intent.t > quiet_t else f"the last fault at {seconds(quiet_t)}"
            took = "it never was" if answer is None else f"it took {show_seconds(round(answer.t - start_t, 3))}"
            within = f"within {show_seconds(self.within_s)} after {since}"
            what = f"{described(ledger, intent.id)} was not answered {within}: {took}"
            findings.append(Finding(what, min(deadline_t, end_t), intent.id))
        doubt = f"the run ended too early to tell for {plural(too_early, 'intent')} without an answer"
        return verdict(
            self.name,
            len(ledger.intents),
            findings,
            unknown=doubt if too_early else "",
            summary=f"the last answer came {max(last_s, 0.0):.3f} s after the last fault",
            nothing="nothing was asked of the client",
        )


def _left_down(history: History, deadline_t: float) -> list[Finding]:
    """The client's last process, if it was due back and nobody could speak to it when the run was judged."""
    boots, crashes = history.of(Boot), history.of(Crashed)
    if not boots or history.ledger.final is not None or history.phase_t("judgement") is None:
        return []
    last = boots[-1]
    if crashes and crashes[-1].incarnation >= last.incarnation:
        end = crashes[-1]
        what = f"process {end.incarnation} of the client ended at {seconds(end.t)} and none was started again"
        return [Finding(what, end.t)]
    if history.end_t < deadline_t:
        return []
    what = f"process {last.incarnation} of the client, started at {seconds(last.t)}, was not up at the end"
    return [Finding(what, last.t)]


def _settled(history: History) -> dict[str, float]:
    """When the client's last process first believed each intent to have ended."""
    times: dict[str, float] = {}
    incarnation = 0
    for belief in history.of(Belief):
        if belief.incarnation != incarnation:
            incarnation, times = belief.incarnation, {}
        for view in belief.orders:
            if view.state in TERMINAL_STATES:
                times.setdefault(view.intent, belief.t)
    return times

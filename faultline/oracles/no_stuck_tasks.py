"""Nothing in the client waits for ever, and no error disappears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.history.event import Boot, Stuck, Trouble
from faultline.oracles.base import Finding, Verdict, plural, seconds, verdict


@dataclass(frozen=True)
class NoStuckTasks:
    """At judgement no task of the client waits for something that cannot come any more, and none ended in an
    exception that nobody handled or noticed.

    Blocking calls and escapes from the simulated world are the harness's to report, not this oracle's.
    """

    name: ClassVar[str] = "no_stuck_tasks"
    checks: ClassVar[tuple[str, ...]] = ("C17",)

    def judge(self, history: History) -> Verdict:
        """Fails on a stuck task or a lost exception; unknown when the run never reached its judgement."""
        findings = [
            Finding(f"task {task.task} still waited at the end{_where(task)}", task.t) for task in history.of(Stuck)
        ]
        for trouble in history.of(Trouble):
            if trouble.what in ("unhandled", "swallowed"):
                how = "that nobody handled" if trouble.what == "unhandled" else "that was swallowed"
                who = f"process {trouble.incarnation} of the client"
                what = f"{who} had an exception {how} at {seconds(trouble.t)}: {trouble.detail}"
                findings.append(Finding(what, trouble.t))
        processes = len(history.of(Boot)) or 1
        judged = 0 if history.phase_t("judgement") is None else processes
        return verdict(
            self.name,
            judged,
            findings,
            summary=f"{plural(processes, 'client process', 'client processes')} left nothing behind",
            nothing="the run never reached its judgement, when tasks are looked at",
        )


def _where(task: Stuck) -> str:
    return f": {task.waiting_at}" if task.waiting_at else ""

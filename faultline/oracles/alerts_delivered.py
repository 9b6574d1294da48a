"""People hear of what they have to hear of, in time, and once.

A client tells its alerts in its snapshot: which it raised, in that order, and whether one says that the condition is
over. The rules are those of any alerting: a condition is told of within a time; the same one is not told again and
again; another one is never held back by it; and once it is over it can be told of anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar

import msgspec

from faultline.history import History
from faultline.history.event import AlertBelief, Answer, Belief, Boot, Crashed, Effect, Struck
from faultline.oracles.base import EPSILON_S, NEVER_T, Finding, Verdict, plural, seconds, verdict
from faultline.units import Seconds, show_seconds


@dataclass(frozen=True)
class AlertsDelivered:
    """Each condition leads to an alert of its own within ``within_s``, and no key is alerted more than once in
    ``window_s`` at one level unless it was resolved in between.

    ``conditions`` maps what happens to a pattern of the keys that tell of it: a fault by its name (``disconnect``), an
    effect of the venue (``reject``), or an answer (``info``, ``fail``). An alert of that condition which went out less
    than ``window_s`` before, or which the client says is still on, does for it too; one of another key never does. A
    process that ended, or was not up, within ``within_s`` of it is not judged for it; a new process may tell again.
    The window should be the one that the client declares.
    """

    name: ClassVar[str] = "alerts_delivered"
    checks: ClassVar[tuple[str, ...]] = ("C33",)

    conditions: Mapping[str, str] = field(default_factory=dict)
    within_s: Seconds = 60.0
    window_s: Seconds = 60.0

    def judge(self, history: History) -> Verdict:
        """Fails on silence and on repeats; unknown when the client tells no alerts and no condition needed one."""
        raised = _raised(history)
        happened = _happened(history, frozenset(self.conditions))
        lives = _lives(history)
        findings = self._repeated(raised)
        judged = 0
        for t, condition in happened:
            life = next((number for number, (start, end) in lives.items() if start <= t <= end), None)
            if life is None or lives[life][1] < t + self.within_s or history.end_t < t + self.within_s:
                continue
            judged += 1
            pattern = self.conditions[condition]
            if not self._told(raised, life, pattern, t):
                tells = "" if raised else ", and the client tells no alerts at all (docs/targets.md)"
                missed = f"{condition} at {seconds(t)} led to no alert {pattern!r}"
                what = f"{missed} within {show_seconds(self.within_s)}{tells}"
                findings.append(Finding(what, t + self.within_s))
        findings.sort(key=lambda finding: finding.t)
        return verdict(
            self.name,
            judged + len(raised),
            findings,
            summary=f"{plural(judged, 'condition')} and {plural(len(raised), 'alert')}",
            nothing="the client told no alerts, and no condition of those named had time to lead to one",
        )

    def _told(self, raised: list[_Raised], life: int, pattern: str, t: float) -> bool:
        standing: dict[str, float] = {}
        resolves: set[str] = set()
        for event in raised:
            key = event.alert.key
            if event.incarnation != life or not fnmatchcase(key, pattern):
                continue
            if event.alert.resolved:
                resolves.add(key)
                if event.t < t:
                    standing.pop(key, None)
            elif event.t + EPSILON_S < t:
                standing[key] = event.t
            elif event.t <= t + self.within_s + EPSILON_S:
                return True
        # Who says when a condition is over has said until then that it is on.
        return any(key in resolves or told_t >= t - self.window_s for key, told_t in standing.items())

    def _repeated(self, raised: list[_Raised]) -> list[Finding]:
        last: dict[tuple[int, str, str], float] = {}
        findings: list[Finding] = []
        for event in raised:
            where = event.incarnation, event.alert.key, event.alert.level
            if event.alert.resolved:
                for known in [known for known in last if known[:2] == where[:2]]:
                    del last[known]
                continue
            before_t = last.get(where)
            last[where] = event.t
            if before_t is not None and event.t - before_t < self.window_s - EPSILON_S:
                again = f"at {seconds(before_t)} and again at {seconds(event.t)}"
                what = f"alert {event.alert.key!r} ({event.alert.level}) went out {again}"
                findings.append(Finding(f"{what}, within {show_seconds(self.window_s)}", event.t))
        return findings


class _Raised(msgspec.Struct, frozen=True):
    t: float
    incarnation: int
    alert: AlertBelief


def _raised(history: History) -> list[_Raised]:
    return [
        _Raised(belief.t, belief.incarnation, alert)
        for belief in history.of(Belief)
        if belief.alerts is not msgspec.UNSET
        for alert in belief.alerts
    ]


def _happened(history: History, names: frozenset[str]) -> list[tuple[float, str]]:
    """When each of the named conditions was there."""
    found: list[tuple[float, str]] = []
    found += [(struck.t, struck.fault.partition("#")[0]) for struck in history.of(Struck)]
    found += [(effect.t, effect.what) for effect in history.of(Effect)]
    found += [(answer.t, answer.outcome) for answer in history.of(Answer)]
    return sorted(pair for pair in found if pair[1] in names)


def _lives(history: History) -> dict[int, tuple[float, float]]:
    """From when to when each process lived; one that nobody booted lived all the time."""
    boots = history.of(Boot)
    ends = {event.incarnation: event.t for event in history.of(Crashed)}
    return {boot.incarnation: (boot.t, ends.get(boot.incarnation, NEVER_T)) for boot in boots} or {1: (0.0, NEVER_T)}

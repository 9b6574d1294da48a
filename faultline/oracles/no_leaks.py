"""What faults make a client hold on to, it lets go again.

One task too many after a reconnect is nothing; one after every reconnect ends the process in a week. So this looks at
the trend over the faults of a run, by the slope of Theil and Sen (the median of the slopes between any two samples),
which a few high samples do not move.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import ClassVar, Final

from faultline.history import History
from faultline.history.event import Answer, Gauge, Intent, Struck
from faultline.oracles.base import Finding, Verdict, plural, verdict

SAMPLES_MAX: Final = 100
"""Of more cycles, so many are looked at, evenly spaced: the number of slopes grows with the square."""

_GAUGES: Final = ("tasks", "timers", "connections")


@dataclass(frozen=True)
class NoLeaks:
    """Over the cycles of fault and recovery in the life of one process, tasks, timers and connections do not grow by
    ``slope_max`` or more per cycle, nor by ``growth_min`` or more in all.

    A cycle ends with the last sample before the next fault, when the client has had the most time to recover, and the
    last one at the end of the run. The first ``warm_up`` cycles are ignored: pools and caches fill. What a client
    holds for each order that is open or intent that is unanswered is work in hand, no leak, so both the plain figure
    and the one without these must grow. Fewer than ``cycles_min`` cycles show no trend. Nobody can see into a client
    that is a process of its own.
    """

    name: ClassVar[str] = "no_leaks"
    checks: ClassVar[tuple[str, ...]] = ("C29",)
    gauged: ClassVar[bool] = True

    slope_max: float = 0.3
    growth_min: int = 4
    warm_up: int = 2
    cycles_min: int = 5

    def judge(self, history: History) -> Verdict:
        """Fails on steady growth; unknown when too few faults struck in the life of any process."""
        findings: list[Finding] = []
        judged = 0
        for samples in _cycles(history):
            samples = samples[self.warm_up :]
            if len(samples) < self.cycles_min:
                continue
            judged += len(samples)
            samples = _thinned(samples)
            work = _work_in_hand(history, samples)
            for name in _GAUGES:
                held = [getattr(sample, name) for sample in samples]
                idle = [value - busy for value, busy in zip(held, work, strict=True)]
                if self._grows(held) and self._grows(idle):
                    findings.append(_finding(name, samples, held))
        return verdict(
            self.name,
            judged,
            findings,
            summary=f"no growth over {plural(judged, 'cycle')}",
            nothing=f"no process lived through {self.warm_up + self.cycles_min} faults with samples in between",
        )

    def _grows(self, values: Sequence[int]) -> bool:
        slopes = [(values[j] - values[i]) / (j - i) for i, j in combinations(range(len(values)), 2)]
        third = max(1, len(values) // 3)
        growth = min(median(values[-third:]), values[-1]) - median(values[:third])
        return median(slopes) >= self.slope_max and growth >= self.growth_min


def _cycles(history: History) -> list[list[Gauge]]:
    """For each process, the last sample before each fault that had one, and the last of all."""
    struck = [event.t for event in history.of(Struck)]
    by_process: dict[int, list[Gauge]] = {}
    for gauge in history.of(Gauge):
        samples = by_process.setdefault(gauge.incarnation, [])
        # No fault between two samples: the later one is the more settled of the two.
        if samples and bisect_right(struck, samples[-1].t) == bisect_right(struck, gauge.t):
            samples.pop()
        samples.append(gauge)
    return list(by_process.values())


def _thinned(samples: list[Gauge]) -> list[Gauge]:
    if len(samples) <= SAMPLES_MAX:
        return samples
    last = len(samples) - 1
    return [samples[last * number // (SAMPLES_MAX - 1)] for number in range(SAMPLES_MAX)]


def _work_in_hand(history: History, samples: Sequence[Gauge]) -> list[int]:
    """How many intents were unanswered and orders open at each sample."""
    began = sorted(order.accepted_t for order in history.ledger.orders.values())
    ended = sorted(order.ended_t for order in history.ledger.orders.values() if order.ended_t is not None)
    asked = sorted({intent.id: intent.t for intent in reversed(history.of(Intent))}.values())
    answered = sorted({answer.intent: answer.t for answer in reversed(history.of(Answer))}.values())
    return [
        bisect_right(began, t) - bisect_right(ended, t) + bisect_right(asked, t) - bisect_right(answered, t)
        for t in (sample.t for sample in samples)
    ]


def _finding(name: str, samples: Sequence[Gauge], held: Sequence[int]) -> Finding:
    over = f"over {len(samples)} cycles of fault and recovery, from {samples[0].t:.3f} s to {samples[-1].t:.3f} s"
    process = f"process {samples[0].incarnation} of the client"
    return Finding(f"{process} went from {held[0]} to {held[-1]} {name} {over}", samples[-1].t)

"""When a fault acts: ``at``, ``for``, ``during``, ``every`` with ``jitter``, and ``after`` something happened.

Times count from the start of the run, or from the mark that ``after`` names: a phase, the first strike of another
fault, an effect kind (``fill``), an endpoint's first arrival (``POST /orders``), ``crash`` or ``boot``.

A time without a length (``at``, ``every``) is an *occasion*: faults that act by the clock strike then, the others
strike the first match from then on, once for each occasion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from faultline.faults.chance import Chance
from faultline.units import Seconds, show_seconds


@dataclass(frozen=True, kw_only=True)
class When:
    """An interval, a time, or a repetition of either. With nothing given it is always.

    ================== =====================================================================
    given              means
    ================== =====================================================================
    ``during: [a, b]`` from a to b
    ``at: a, for: d``  from a to a + d
    ``for: d``         from the start (or the mark of ``after``) for d
    ``at: a``          a strike at a (by the clock), or the first match from a on; a condition: from a on
    ``every: p``       a strike each p; with ``for: d`` an interval of d each p
    ``jitter: j``      each repetition up to j later or earlier, drawn from the seed
    ``after: mark``    all of these count from the first time that ``mark`` happened
    ================== =====================================================================

    The first repetition comes one period after the start of ``during``, or exactly at ``at``. Raises ValueError
    for times that contradict each other.
    """

    at_s: Seconds | None = None
    for_s: Seconds | None = None
    during_s: tuple[Seconds, Seconds] | None = None
    every_s: Seconds | None = None
    every_jitter_s: Seconds = 0.0
    after: str | None = None

    def __post_init__(self) -> None:
        during = self.during_s or (0.0, math.inf)
        given = (self.at_s, self.for_s, self.every_s, self.every_jitter_s, during[0])
        if any(time_s is not None and not 0 <= time_s < math.inf for time_s in given):
            raise ValueError("a time is negative or not a number; times are zero or more")
        if not during[0] < during[1]:
            shown = ", ".join(show_seconds(time_s) for time_s in during)
            raise ValueError(f"during [{shown}] ends before it begins; write the earlier time first")
        if self.during_s is not None and not math.isfinite(during[1]):
            raise ValueError("during has no end; use at, which without for lasts for ever")
        if self.during_s is not None and self.at_s is not None:
            raise ValueError("at and during both say when it begins; give one of them")
        if self.during_s is not None and self.for_s is not None and self.every_s is None:
            raise ValueError("during says how long it lasts; leave out for, or use at with for")
        if self.for_s == 0:
            raise ValueError("for is zero, so it would never act; give it a length or leave it out")
        self._check_repetition()

    def _check_repetition(self) -> None:
        if self.every_s is None:
            if self.every_jitter_s:
                raise ValueError("jitter moves the repetitions of every; give every as well")
            return
        if self.every_s == 0:
            raise ValueError("every is zero; give the period between two repetitions")
        if self.for_s is not None and self.for_s >= self.every_s:
            raise ValueError(
                f"for ({show_seconds(self.for_s)}) is not shorter than every ({show_seconds(self.every_s)}), "
                "so it would never pause; use during or at with for"
            )
        if self.every_jitter_s > self.every_s / 2:
            raise ValueError(
                f"jitter ({show_seconds(self.every_jitter_s)}) is more than half of every "
                f"({show_seconds(self.every_s)}), so repetitions could change places"
            )

    def active(self, t_s: float, marks: Mapping[str, float], chance: Chance) -> bool:
        """Whether ``t_s`` lies in the interval. ``chance`` belongs to the rule and only places the repetitions."""
        if self.after is not None:
            start_s = marks.get(self.after)
            if start_s is None:
                return False
            t_s -= start_s
        if self.during_s is not None and not self.during_s[0] <= t_s < self.during_s[1]:
            return False
        if self.every_s is not None:
            ordinal = self._latest(t_s, chance)
            if ordinal is None or self.for_s is None:
                return ordinal is not None
            return t_s < self._repetition_s(ordinal, chance) + self.for_s
        if self.at_s is not None and t_s < self.at_s:
            return False
        return self.for_s is None or t_s < (self.at_s or 0.0) + self.for_s

    def occasion(self, t_s: float, marks: Mapping[str, float], chance: Chance) -> int:
        """The ordinal, from 1, of the occasion that an active ``t_s`` belongs to; 0 inside an interval."""
        if self.for_s is not None:
            return 0
        if self.every_s is not None:
            start_s = 0.0 if self.after is None else marks[self.after]
            return (self._latest(t_s - start_s, chance) or 0) + 1 - self._ordinal_first
        return 0 if self.at_s is None else 1

    def window_end_s(self, t_s: float, marks: Mapping[str, float], chance: Chance) -> float | None:
        """When the interval that an active ``t_s`` lies in ends, as time of the run; None when it never does."""
        start_s = 0.0 if self.after is None else marks[self.after]
        end_s = math.inf if self.during_s is None else self.during_s[1]
        if self.for_s is not None:
            if self.every_s is None:
                end_s = min(end_s, (self.at_s or 0.0) + self.for_s)
            else:
                end_s = min(end_s, self._repetition_end_s(t_s - start_s, chance))
        return None if end_s == math.inf else start_s + end_s

    def _repetition_end_s(self, t_s: float, chance: Chance) -> float:
        # Jitter can let a repetition begin before the last one is over: they are one interval then.
        assert self.for_s is not None
        ordinal = self._latest(t_s, chance) or 0
        end_s = self._repetition_s(ordinal, chance) + self.for_s
        while (next_s := self._repetition_s(ordinal + 1, chance)) <= end_s:
            ordinal += 1
            end_s = next_s + self.for_s
        return end_s

    def _latest(self, t_s: float, chance: Chance) -> int | None:
        """The last repetition that began by ``t_s``."""
        assert self.every_s is not None
        nearest = round((t_s - self._origin_s()) / self.every_s)
        for ordinal in (nearest + 1, nearest, nearest - 1):
            if ordinal < self._ordinal_first:
                return None
            if self._repetition_s(ordinal, chance) <= t_s:
                return ordinal
        return None

    @property
    def _ordinal_first(self) -> int:
        return 1 if self.at_s is None else 0

    def _origin_s(self) -> float:
        if self.at_s is not None:
            return self.at_s
        return self.during_s[0] if self.during_s is not None else 0.0

    def _repetition_s(self, ordinal: int, chance: Chance) -> float:
        assert self.every_s is not None
        start_s = self._origin_s() + ordinal * self.every_s
        if self.every_jitter_s:
            start_s += chance.child("every", ordinal).uniform(-self.every_jitter_s, self.every_jitter_s)
        return max(0.0, start_s)

    def clock(self, chance: Chance, start_s: float) -> Iterator[tuple[int, float]]:
        """The times at which a clocked fault strikes: (ordinal from 1, time), endless for an open ``every``.

        ``start_s`` is what times count from: 0, or when the mark of ``after`` happened.
        """
        if self.every_s is None:
            if self.at_s is not None:
                yield 1, start_s + self.at_s
            return
        ordinal = self._ordinal_first
        while True:
            at_s = self._repetition_s(ordinal, chance)
            if self.during_s is not None and at_s >= self.during_s[1]:
                return
            if self.during_s is None or at_s >= self.during_s[0]:
                yield ordinal + 1 - self._ordinal_first, start_s + at_s
            ordinal += 1

    @property
    def ends_s(self) -> float | None:
        """When it has had its time, counted from its start; None when its times say nothing about that.

        That is the end of its interval; for ``at`` alone, the earliest that it can strike or begin.
        """
        if self.during_s is not None:
            return self.during_s[1]
        if self.every_s is not None or (self.at_s is None and self.for_s is None):
            return None
        return (self.at_s or 0.0) + (self.for_s or 0.0)

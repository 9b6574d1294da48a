"""When a fault acts: ``at``, ``for``, ``during``, ``every`` with ``jitter``, and ``after`` something happened.

Times count from the start of the run, or from the mark that ``after`` names: a phase, the first strike of another
fault, an effect kind (``fill``), an endpoint's first arrival (``POST /orders``), ``crash`` or ``boot``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from faultline.faults.chance import Chance
from faultline.units import Seconds


@dataclass(frozen=True, kw_only=True)
class When:
    """An interval, a time, or a repetition of either. With nothing given it is always.

    ================== =====================================================================
    given              means
    ================== =====================================================================
    ``during: [a, b]`` from a to b
    ``at: a, for: d``  from a to a + d
    ``at: a``          a strike at a (by the clock), or the first match from a on
    ``every: p``       a strike each p; with ``for: d`` an interval of d each p
    ``every_jitter: j`` each repetition up to j later or earlier, drawn from the seed
    ``after: mark``    all of these count from the first time that ``mark`` happened
    ================== =====================================================================
    """

    at_s: Seconds | None = None
    for_s: Seconds | None = None
    during_s: tuple[Seconds, Seconds] | None = None
    every_s: Seconds | None = None
    every_jitter_s: Seconds = 0.0
    after: str | None = None

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
            return self.for_s is None or self._in_repetition(t_s, chance)
        if self.at_s is None:
            return self.for_s is None or 0 <= t_s < self.for_s
        return t_s >= self.at_s and (self.for_s is None or t_s < self.at_s + self.for_s)

    def _in_repetition(self, t_s: float, chance: Chance) -> bool:
        assert self.every_s is not None
        assert self.for_s is not None
        ordinal = int((t_s - self._origin_s()) / self.every_s)
        for candidate in (ordinal - 1, ordinal, ordinal + 1):
            if candidate >= 1 or (candidate == 0 and self.at_s is not None):
                start_s = self._repetition_s(candidate, chance)
                if start_s <= t_s < start_s + self.for_s:
                    return True
        return False

    def _origin_s(self) -> float:
        if self.at_s is not None:
            return self.at_s
        return self.during_s[0] if self.during_s is not None else 0.0

    def _repetition_s(self, ordinal: int, chance: Chance) -> float:
        assert self.every_s is not None
        start_s = self._origin_s() + ordinal * self.every_s
        if self.every_jitter_s:
            start_s += chance.child("every", ordinal).uniform(-self.every_jitter_s, self.every_jitter_s)
        return start_s

    def clock(self, chance: Chance, start_s: float) -> Iterator[tuple[int, float]]:
        """The times at which a clocked fault strikes: (ordinal from 1, time), endless for an open ``every``.

        ``start_s`` is what times count from: 0, or when the mark of ``after`` happened.
        """
        if self.every_s is None:
            if self.at_s is not None:
                yield 1, start_s + self.at_s
            return
        ordinal = 0 if self.at_s is not None else 1
        while True:
            at_s = max(0.0, self._repetition_s(ordinal, chance))
            if self.during_s is not None and at_s >= self.during_s[1]:
                return
            if self.during_s is None or at_s >= self.during_s[0]:
                yield max(ordinal, 1) if self.at_s is None else ordinal + 1, start_s + at_s
            ordinal += 1

    @property
    def ends_s(self) -> float | None:
        """When it is over for good, counted from its start; None when it has no end of its own."""
        if self.during_s is not None:
            return self.during_s[1]
        if self.every_s is not None:
            return None
        if self.at_s is not None:
            return self.at_s + (self.for_s or 0.0)
        return self.for_s

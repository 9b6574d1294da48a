"""The explicit list of what happens in a run: what is saved, replayed and shrunk.

Seeds rot when code changes; a schedule does not. A strike names its point and its action, a condition keeps the
fault itself with its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from faultline.faults.actions import Action
from faultline.faults.base import Fault
from faultline.faults.points import Point


@dataclass(frozen=True, slots=True)
class ScheduledStrike:
    """``action`` at ``point``; for a strike by the clock, at ``at_s`` of the run.

    ``rank`` is the place of its fault in the scenario: what strikes the same point acts in that order.
    """

    fault: str
    point: Point
    action: Action
    at_s: float | None = None
    rank: int = 0

    def __str__(self) -> str:
        when = "" if self.at_s is None else f" at {self.at_s:.3f} s"
        return f"{self.fault}: {self.action!r} on {self.point}{when}"


@dataclass(frozen=True, slots=True)
class ScheduledCondition:
    """``spec``, a fault that holds over an interval. ``kind`` is its name in the table of faults.

    Its chance hangs on the label ``fault``, so it makes the same draws alone as among others. ``rank`` as for a strike.
    """

    fault: str
    kind: str
    spec: Fault
    rank: int = 0

    def __str__(self) -> str:
        return f"{self.fault}: {self.spec!r}"


Entry = ScheduledStrike | ScheduledCondition


@dataclass(frozen=True, slots=True)
class Schedule:
    """Entries in the order in which they first acted."""

    entries: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def of(cls, struck: Iterable[ScheduledStrike], faults: Mapping[str, Fault]) -> Schedule:
        """The schedule that repeats what was struck. ``faults`` are the rules by label, in scenario order.

        A condition is kept once, whole.
        """
        ranks = {label: rank for rank, label in enumerate(faults)}
        entries: dict[Entry, None] = {}
        for strike in struck:
            fault = faults.get(strike.fault)
            rank = ranks.get(strike.fault, len(ranks))
            if fault is not None and fault.shape == "condition":
                entries[ScheduledCondition(strike.fault, fault.kind, fault, rank)] = None
            else:
                entries[replace(strike, rank=rank)] = None
        return cls(tuple(entries))

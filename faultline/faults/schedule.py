"""The explicit list of what happens in a run: what is saved, replayed and shrunk.

Seeds rot when code changes; a schedule does not. A strike names its point and its action, a condition keeps the
fault itself with its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from faultline.faults.actions import Action
from faultline.faults.base import Fault
from faultline.faults.points import Point


@dataclass(frozen=True, slots=True)
class ScheduledStrike:
    """``action`` at ``point``; for a strike by the clock, at ``at_s`` of the run."""

    fault: str
    point: Point
    action: Action
    at_s: float | None = None

    def __str__(self) -> str:
        when = "" if self.at_s is None else f" at {self.at_s:.3f} s"
        return f"{self.fault}: {self.action!r} on {self.point}{when}"


@dataclass(frozen=True, slots=True)
class ScheduledCondition:
    """``spec``, a fault that holds over an interval. ``kind`` is its name in the table of faults."""

    fault: str
    kind: str
    spec: Fault

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
        """The schedule that repeats what was struck. ``faults`` are the rules by label.

        A condition is kept once, whole.
        """
        entries: dict[Entry, None] = {}
        for strike in struck:
            fault = faults.get(strike.fault)
            if fault is not None and fault.shape == "condition":
                entries[ScheduledCondition(strike.fault, fault.kind, fault)] = None
            else:
                entries[strike] = None
        return cls(tuple(entries))

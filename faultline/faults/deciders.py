"""Who decides: rules drawn from a scenario, an explicit schedule, or a recorder that only notes the points.

Random runs, enumeration, replay and shrinking are one run with another decider. Rules are indexed by endpoint, so
that a moment costs only the rules that can strike it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from faultline.faults.actions import Action
from faultline.faults.base import Fault, State
from faultline.faults.chance import Chance
from faultline.faults.injector import Decision
from faultline.faults.points import Moment, Plane, Point
from faultline.faults.schedule import Schedule, ScheduledCondition


@dataclass(frozen=True, slots=True)
class Tick:
    """A strike by the clock: at ``at_s`` of the run carry out ``action`` on whatever ``point.endpoint`` names."""

    at_s: float
    fault: str
    point: Point
    action: Action


class Decider(Protocol):
    """Asked at each fault point, and once for what comes by the clock."""

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """What happens at this moment."""
        ...

    def ticks(self, mark: str | None, t_s: float) -> Sequence[Iterator[Tick]]:
        """Strikes by the clock whose times count from ``mark``, which happened at ``t_s`` (None: from the start)."""
        ...


class _Rule:
    """A fault with its label, its chance and the state it has reached."""

    __slots__ = ("chance", "fault", "label", "state")

    def __init__(self, label: str, fault: Fault, seed: int) -> None:
        self.label = label
        self.fault = fault
        self.chance = Chance(seed, "rule", label)
        self.state = State()

    def decisions(self, moment: Moment) -> list[Decision]:
        self.state, actions = self.fault.step(self.state, moment, self.chance)
        holds = self.fault.shape == "condition"
        return [Decision(self.label, action, holds) for action in actions]

    def ticks(self, start_s: float) -> Iterator[Tick]:
        fault = self.fault
        for ordinal, at_s in fault.ticks(self.chance, start_s):
            point = Point(fault.plane, fault.on, self.label, ordinal, "tick")
            moment = Moment(point, at_s)
            for action in fault.tick_actions(moment, self.chance.child(point)):
                yield Tick(at_s, self.label, point, action)


class Rules:
    """Decides by the faults of a scenario and keyed chance."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._rules = [_Rule(label, fault, seed) for label, fault in zip(labels(faults), faults, strict=True)]
        self._index: dict[tuple[Plane, str, str], list[_Rule]] = {}

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """Every rule's actions at this moment, in scenario order."""
        point = moment.point
        where = (point.plane, point.endpoint, point.phase)
        rules = self._index.get(where)
        if rules is None:
            rules = self._index[where] = [
                rule for rule in self._rules if not rule.fault.by_the_clock and rule.fault.about(*where)
            ]
        return tuple(decision for rule in rules for decision in rule.decisions(moment)) if rules else ()

    def ticks(self, mark: str | None, t_s: float) -> Sequence[Iterator[Tick]]:
        """The strikes of the clocked rules that count from ``mark``."""
        return [rule.ticks(t_s) for rule in self._rules if rule.fault.by_the_clock and rule.fault.after == mark]


class Scheduled:
    """Decides by an explicit schedule and nothing else. Points that it does not list pass."""

    def __init__(self, schedule: Schedule, seed: int) -> None:
        self._strikes: dict[Point, list[Decision]] = {}
        self._ticks: list[Tick] = []
        self._conditions: list[_Rule] = []
        for entry in schedule.entries:
            if isinstance(entry, ScheduledCondition):
                self._conditions.append(_Rule(entry.fault, entry.spec, seed))
            elif entry.at_s is None:
                self._strikes.setdefault(entry.point, []).append(Decision(entry.fault, entry.action))
            else:
                self._ticks.append(Tick(entry.at_s, entry.fault, entry.point, entry.action))

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """The listed actions of this point, and what the listed conditions ask for."""
        decisions = list(self._strikes.get(moment.point, ()))
        point = moment.point
        for rule in self._conditions:
            if rule.fault.about(point.plane, point.endpoint, point.phase):
                decisions += rule.decisions(moment)
        return tuple(decisions)

    def ticks(self, mark: str | None, t_s: float) -> Sequence[Iterator[Tick]]:
        """The listed ticks, at their own times."""
        return [iter([tick]) for tick in self._ticks] if mark is None else []


class Recorder:
    """Decides nothing and notes every point it is asked about: the fault space of a run."""

    def __init__(self) -> None:
        self.points: dict[Point, float] = {}

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """Nothing; notes the point and when it came first."""
        self.points.setdefault(moment.point, moment.t_s)
        return ()

    def ticks(self, mark: str | None, t_s: float) -> Sequence[Iterator[Tick]]:
        """None."""
        return []


def labels(faults: Sequence[Fault]) -> list[str]:
    """A name for each fault, stable when another kind is added or removed: ``disconnect``, ``disconnect#2``."""
    counts: dict[str, int] = {}
    names: list[str] = []
    for fault in faults:
        count = counts[fault.kind] = counts.get(fault.kind, 0) + 1
        names.append(fault.kind if count == 1 else f"{fault.kind}#{count}")
    return names

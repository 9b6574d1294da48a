"""Who decides: rules drawn from a scenario, an explicit schedule, or a recorder that only notes the points.

Random runs, enumeration, replay and shrinking are one run with another decider. Rules are indexed by endpoint, so
that a moment costs only the rules that can strike it.

Every rule is asked at every moment that it is about, also where the action of an earlier one will win. So no rule's
count of moments depends on another rule, and removing one moves no decision of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from faultline.faults import injector
from faultline.faults.actions import Action, Cut
from faultline.faults.base import Fault, State
from faultline.faults.chance import Chance
from faultline.faults.injector import Decision
from faultline.faults.points import Moment, Plane, Point
from faultline.faults.schedule import Schedule, ScheduledCondition, ScheduledStrike


@dataclass(frozen=True, slots=True)
class Tick:
    """A strike by the clock: at ``at_s`` of the run carry out ``action`` on whatever ``point.endpoint`` names."""

    at_s: float
    fault: str
    point: Point
    action: Action


class Decider(injector.Decider, Protocol):
    """Asked at each fault point, and once for what comes by the clock."""

    def ticks(self, mark: str | None, t_s: float) -> Sequence[Iterator[Tick]]:
        """Strikes by the clock whose times count from ``mark``, which happened at ``t_s`` (None: from the start)."""
        ...


class _Rule:
    """A fault with its label, its place among the others, its chance and the state it has reached."""

    __slots__ = ("chance", "fault", "label", "rank", "state")

    def __init__(self, label: str, fault: Fault, seed: int, rank: int) -> None:
        self.label = label
        self.fault = fault
        self.rank = rank
        self.chance = Chance(seed, "rule", label)
        self.state = State()

    def decisions(self, moment: Moment) -> list[Decision]:
        self.state, actions = self.fault.step(self.state, moment, self.chance)
        holds = self.fault.shape == "condition"
        return [Decision(self.label, action, holds) for action in actions]

    def ticks(self, start_s: float) -> Iterator[Tick]:
        fault = self.fault
        for ordinal, at_s in fault.ticks(self.chance, start_s):
            point = Point(fault.plane, fault.whole or fault.on, self.label, ordinal, "tick")
            moment = Moment(point, at_s)
            for action in fault.tick_actions(moment, self.chance.child(point)):
                yield Tick(at_s, self.label, point, action)


class _Index:
    """Rules by the points that they can strike."""

    def __init__(self, rules: Iterable[_Rule]) -> None:
        self._rules = [rule for rule in rules if not rule.fault.by_the_clock]
        self._about: dict[tuple[Plane, str, str], list[_Rule]] = {}

    @property
    def planes(self) -> frozenset[Plane]:
        """The planes of the points that any of them can strike."""
        return frozenset(plane for rule in self._rules for plane in rule.fault.point_planes)

    def about(self, point: Point) -> list[_Rule]:
        """The rules that can strike this point, in scenario order."""
        where = (point.plane, point.endpoint, point.phase)
        rules = self._about.get(where)
        if rules is None:
            rules = self._about[where] = [rule for rule in self._rules if rule.fault.about(*where)]
        return rules


class Rules:
    """Decides by the faults of a scenario and keyed chance.

    A rule's chance hangs on its label. To run without one rule and leave the others as they were, give the others
    under the labels that they had: a mapping from label to fault.
    """

    def __init__(self, faults: Sequence[Fault] | Mapping[str, Fault], seed: int) -> None:
        named = faults if isinstance(faults, Mapping) else dict(zip(labels(faults), faults, strict=True))
        self._rules = [_Rule(label, fault, seed, rank) for rank, (label, fault) in enumerate(named.items())]
        self._index = _Index(self._rules)
        self.planes = self._index.planes

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """Every rule's actions at this moment, in scenario order."""
        rules = self._index.about(moment.point)
        return tuple(decision for rule in rules for decision in rule.decisions(moment)) if rules else ()

    def concern(self, plane: Plane, endpoint: str) -> bool:
        """Whether any rule is about requests to ``endpoint``, before or after their effect."""
        return any(self._index.about(Point(plane, endpoint, "-", 1, phase)) for phase in ("before", "after"))

    def ticks(self, mark: str | None, t_s: float) -> Sequence[Iterator[Tick]]:
        """The strikes of the clocked rules that count from ``mark``."""
        return [rule.ticks(t_s) for rule in self._rules if rule.fault.by_the_clock and rule.fault.after == mark]


class Scheduled:
    """Decides by an explicit schedule and nothing else. Points that it does not list pass."""

    def __init__(self, schedule: Schedule, seed: int) -> None:
        self._strikes: dict[Point, list[ScheduledStrike]] = {}
        self._bytes: dict[tuple[str, str, str], list[ScheduledStrike]] = {}
        self._ticks: list[Tick] = []
        conditions: list[_Rule] = []
        for entry in schedule.entries:
            if isinstance(entry, ScheduledCondition):
                conditions.append(_Rule(entry.fault, entry.spec, seed, entry.rank))
            elif entry.at_s is not None:
                self._ticks.append(Tick(entry.at_s, entry.fault, entry.point, entry.action))
            elif entry.point.plane is Plane.STREAM and isinstance(entry.action, Cut):
                self._bytes.setdefault(_link(entry.point), []).append(entry)
            else:
                self._strikes.setdefault(entry.point, []).append(entry)
        self._index = _Index(conditions)
        struck = {point.plane for point in self._strikes} | ({Plane.STREAM} if self._bytes else set())
        self.planes = self._index.planes | struck

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """The listed actions of this point, and what the listed conditions ask for."""
        point = moment.point
        ranked = [(strike.rank, Decision(strike.fault, strike.action)) for strike in self._strikes.get(point, ())]
        if point.plane is Plane.STREAM:
            ranked += self._cuts(moment)
        for rule in self._index.about(point):
            ranked += [(rule.rank, decision) for decision in rule.decisions(moment)]
        if len(ranked) > 1:
            ranked.sort(key=lambda pair: pair[0])
        return tuple(decision for _, decision in ranked)

    def _cuts(self, moment: Moment) -> Iterator[tuple[int, Decision]]:
        # A cut belongs to a byte, not to the segment that carried it: segments change when another entry goes.
        begin = moment.point.nth
        for strike in self._bytes.get(_link(moment.point), ()):
            assert isinstance(strike.action, Cut)
            byte = strike.point.nth + strike.action.after_bytes
            if begin <= byte < begin + moment.size_bytes:
                action = msgspec.structs.replace(strike.action, after_bytes=byte - begin)
                yield strike.rank, Decision(strike.fault, action)

    def ticks(self, mark: str | None, t_s: float) -> Sequence[Iterator[Tick]]:
        """The listed ticks, at their own times."""
        return [iter([tick]) for tick in self._ticks] if mark is None else []


def _link(point: Point) -> tuple[str, str, str]:
    return point.endpoint, point.entity, point.phase


class Recorder:
    """Notes every point it is asked about: the fault space of a run. Decides nothing, or what ``decider`` does.

    ``planes`` are those whose points it notes.
    """

    def __init__(self, decider: Decider | None = None, planes: frozenset[Plane] = frozenset(Plane)) -> None:
        self._decider = decider
        self._noted = planes
        self.planes = planes if decider is None else planes | decider.planes
        self.moments: dict[Point, Moment] = {}

    @property
    def points(self) -> dict[Point, float]:
        """Each point and when it came first, in that order."""
        return {point: moment.t_s for point, moment in self.moments.items()}

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """What the other decider says; notes the moment at which the point came first, without the run's marks."""
        if moment.point.plane in self._noted and moment.point not in self.moments:
            # Headers and marks are views of what goes on in the run; a moment that is kept is sent between processes.
            self.moments[moment.point] = msgspec.structs.replace(moment, headers=dict(moment.headers), marks={})
        return () if self._decider is None else self._decider.decide(moment)

    def ticks(self, mark: str | None, t_s: float) -> Sequence[Iterator[Tick]]:
        """Those of the other decider."""
        return [] if self._decider is None else self._decider.ticks(mark, t_s)


def labels(faults: Sequence[Fault]) -> list[str]:
    """A name for each fault, stable when another kind is added or removed: ``disconnect``, ``disconnect#2``."""
    counts: dict[str, int] = {}
    names: list[str] = []
    for fault in faults:
        count = counts[fault.kind] = counts.get(fault.kind, 0) + 1
        names.append(fault.kind if count == 1 else f"{fault.kind}#{count}")
    return names

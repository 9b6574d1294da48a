"""What a fault is: a pure decision about a moment.

Every fault shares one way of saying *where* (``on``, ``header``, ``topic``, ``connection``) and *when*
(:class:`~faultline.faults.timing.When`), so a new fault is one small class: which moments it is about, and
:meth:`Fault.actions`, what it asks for there. It owns no clock, socket or state; whoever runs it keeps the state
between steps.

A *strike* hits points (this response is lost). A *condition* holds over an interval (100 ms of latency from 10 s
to 20 s). A *clocked* fault may also strike by the clock, with ``at`` or ``every``, where nothing arrives to be hit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Literal, NamedTuple

from faultline.faults.actions import Action
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane
from faultline.faults.timing import When
from faultline.units import Fraction

Shape = Literal["strike", "condition"]


class State(NamedTuple):
    """What a fault remembers between steps: how many moments matched, and how many of them it struck."""

    matched: int = 0
    struck: int = 0


@dataclass(frozen=True, kw_only=True)
class Fault(When, ABC):
    """Base of all faults: where and how often. :class:`When` says at what times.

    ``on`` is a pattern over endpoints: ``POST /orders``, ``* /orders*``, ``stream user``, or for stream-plane
    faults a host label, ``rest`` or ``stream``. ``header`` is ``name: pattern`` of a request header. ``nth`` picks
    the nth matching moments of the run, ``attempt`` the nth arrival of one intent (its second try is 2), ``first``
    stops after so many strikes, ``probability`` decides each matching moment by itself.
    """

    kind: ClassVar[str]
    """Name in a scenario file."""
    plane: ClassVar[Plane]
    phases: ClassVar[frozenset[str]]
    """Phases of the points it is about."""
    shape: ClassVar[Shape] = "strike"
    clocked: ClassVar[bool] = False

    on: str = "*"
    header: str | None = None
    topic: str | None = None
    connection: int | None = None
    nth: int | tuple[int, ...] | None = None
    attempt: int | None = None
    first: int | None = None
    probability: Fraction = 1.0

    @abstractmethod
    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """What it asks for at a moment that matches. ``chance`` is this point's own draws."""

    def step(self, state: State, moment: Moment, chance: Chance) -> tuple[State, tuple[Action, ...]]:
        """One decision: the state after it, and the actions (most often none).

        ``chance`` belongs to the rule; draws about this moment come from its child for the point, so that no
        decision depends on how many were taken before.
        """
        if not self.matches(moment) or not self.active(moment.t_s, moment.marks, chance):
            return state, ()
        state = State(state.matched + 1, state.struck)
        if not self._counts(state):
            return state, ()
        here = chance.child(moment.point)
        if not here.hits(self.probability):
            return state, ()
        actions = self.actions(moment, here)
        if actions:
            state = State(state.matched, state.struck + 1)
        return state, actions

    def about(self, plane: Plane, endpoint: str, phase: str) -> bool:
        """Whether it can ever strike such points: what rules are indexed by."""
        return plane is self.plane and phase in self.phases and fnmatchcase(endpoint, self.on)

    def matches(self, moment: Moment) -> bool:
        """Whether the moment is one that ``header``, ``topic``, ``connection`` and ``attempt`` ask for."""
        if self.attempt is not None and moment.point.nth != self.attempt:
            return False
        if self.connection is not None and moment.connection != self.connection:
            return False
        if self.topic is not None and not fnmatchcase(moment.topic, self.topic):
            return False
        if self.header is not None:
            name, _, pattern = self.header.partition(":")
            value = moment.headers.get(name.strip().lower())
            return value is not None and fnmatchcase(value, pattern.strip() or "*")
        return True

    def _counts(self, state: State) -> bool:
        if self.first is not None and state.struck >= self.first:
            return False
        if self.nth is None:
            return self.clock_once or state.struck == 0
        wanted = (self.nth,) if isinstance(self.nth, int) else self.nth
        return state.matched in wanted

    @property
    def clock_once(self) -> bool:
        """False for ``at`` without ``for`` on a fault that hits points: it strikes the first match from then on."""
        return self.at_s is None or self.for_s is not None or self.shape == "condition"

    @property
    def by_the_clock(self) -> bool:
        """Whether its strikes come at times instead of at points."""
        return self.clocked and self.shape == "strike" and (self.at_s is not None or self.every_s is not None)

    def ticks(self, chance: Chance, start_s: float) -> Iterator[tuple[int, float]]:
        """Its own strikes by the clock: (ordinal from 1, time). ``start_s`` is what times count from."""
        count = 0
        for ordinal, at_s in self.clock(chance, start_s):
            if chance.child("tick", ordinal).hits(self.probability):
                count += 1
                yield ordinal, at_s
            if self.first is not None and count >= self.first:
                return

    def tick_actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """What it asks for at a tick; by default the same as at a point."""
        return self.actions(moment, chance)

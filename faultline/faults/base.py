"""What a fault is: a pure decision about a moment.

Every fault shares one way of saying *where* (``on``, ``header``, ``topic``, ``connection``) and *when*
(:class:`~faultline.faults.timing.When`), so a new fault is one small class: which moments it is about, and
:meth:`Fault.actions`, what it asks for there. It owns no clock, socket or state; whoever runs it keeps the state
between steps.

A *strike* hits points (this response is lost). A *condition* holds over an interval (100 ms of latency from 10 s
to 20 s). A *clocked* fault may also strike by the clock, with ``at`` or ``every``, where nothing arrives to be hit.

The classes between :class:`Fault` and the kinds are in ``families.py``: one for each sort of point.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, get_args

import msgspec

from faultline.faults.actions import Action
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane
from faultline.faults.timing import When
from faultline.units import Fraction

Shape = Literal["strike", "condition"]


class State(NamedTuple):
    """What a fault remembers between steps.

    How many moments matched, how many of them it struck, and the last occasion (``at``, ``every``) it used up.
    """

    matched: int = 0
    struck: int = 0
    occasion: int = 0


@dataclass(frozen=True, kw_only=True)
class Fault(When, ABC):
    """Base of all faults: where and how often. :class:`When` says at what times.

    ``on`` is a pattern over endpoints: ``POST /orders``, ``* /orders*``, ``stream user``, or for stream-plane
    faults a host label, ``rest`` or ``stream``. ``header`` is ``name: pattern`` of a request header, ``topic`` a
    pattern over the topics of stream messages, ``connection`` the number of a connection. ``nth`` picks the nth
    matching moments of the run, ``attempt`` the nth arrival of one intent (its second try is 2), ``first`` stops
    after so many strikes, ``probability`` decides each matching moment by itself (of a condition on connections:
    each connection).

    All of them narrow: what is left after where, when, ``nth`` and ``first`` is decided by ``probability``. Raises
    ValueError, in the words of a scenario file, for values that contradict each other or could never match.
    """

    kind: ClassVar[str]
    """Name in a scenario file."""
    plane: ClassVar[Plane]
    """What carries out its actions: a world that lacks this plane cannot carry the fault."""
    planes: ClassVar[frozenset[Plane]] = frozenset()
    """Planes of the points it is asked at, where they are not only ``plane``."""
    phases: ClassVar[frozenset[str]]
    """Phases of the points it is about."""
    shape: ClassVar[Shape] = "strike"
    clocked: ClassVar[bool] = False
    once: ClassVar[bool] = False
    """Strikes once when nothing says how often or for how long: a crash at every request would never end."""
    until_end: ClassVar[bool] = False
    """Whether it needs ``Moment.until_s``."""
    whole: ClassVar[str] = ""
    """What a strike by the clock hits where that is not the endpoints of ``on``: ``client``, ``tokens``."""
    lacks: ClassVar[frozenset[str]] = frozenset()
    """Fields of this base that its points do not carry; giving one is an error instead of a fault that never fires."""
    synonyms: ClassVar[Mapping[str, str]] = {"jitter": "every_jitter_s"}
    """Further keys of a scenario file, with the field each stands for. The key of a field is its name without unit."""

    on: str = "*"
    header: str | None = None
    topic: str | None = None
    connection: int | None = None
    nth: int | tuple[int, ...] | None = None
    attempt: int | None = None
    first: int | None = None
    probability: Fraction = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in sorted(self.given & self.lacks):
            raise ValueError(f"{self.kind} has no {name}: the points that it acts on do not carry one")
        for name in sorted(self.given & _COUNTS if self.shape == "condition" else ()):
            raise ValueError(f"{self.kind} holds over an interval and counts nothing: leave out {name}")
        counts = (self.nth,) if isinstance(self.nth, int) else self.nth
        if counts is not None and (not counts or min(counts) < 1):
            raise ValueError("nth counts from 1; give a number such as 3, or several such as [1, 3]")
        for name, count in (("attempt", self.attempt), ("first", self.first), ("connection", self.connection)):
            if count is not None and count < 1:
                raise ValueError(f"{name} is {count}; it counts from 1")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {self.probability}; it lies between 0% and 100%")
        if self.header is not None and not (":" in self.header and self.header.partition(":")[0].strip()):
            raise ValueError(f"header {self.header!r} is not a name and a pattern; write it like 'x-account: a*'")
        self._check_shape()

    def _check_shape(self) -> None:
        if self.shape == "condition" and self.every_s is not None and self.for_s is None:
            raise ValueError(f"{self.kind} holds over an interval: say how long after each every with for")
        if self.every_s is not None and self.for_s is None and self.nth is not None:
            raise ValueError("every strikes once a period and nth counts moments; give one of them")
        if self.by_the_clock:
            for name in sorted(self.given & {"header", "topic", "connection", "nth", "attempt"}):
                raise ValueError(f"at and every strike {self.kind} by the clock, where there is no {name} to match")

    @cached_property
    def given(self) -> frozenset[str]:
        """Names of the fields that differ from their default."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name) != field.default)

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
        if self.shape == "condition":
            return state, self._asked(moment, chance)
        occasion = self._occasion(moment, chance)
        if occasion and occasion <= state.occasion:
            return state, ()
        state = State(state.matched + 1, state.struck, occasion or state.occasion)
        actions = self._asked(moment, chance) if self._counts(state) else ()
        if actions:
            state = State(state.matched, state.struck + 1, state.occasion)
        return state, actions

    def _asked(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        if self.probability < 1 and not chance.child("hit", self.lot(moment)).hits(self.probability):
            return ()
        if self.until_end:
            until_s = self.window_end_s(moment.t_s, moment.marks, chance)
            moment = msgspec.structs.replace(moment, until_s=until_s)
        return self.actions(moment, chance.child(moment.point))

    def about(self, plane: Plane, endpoint: str, phase: str) -> bool:
        """Whether it can ever strike such points: what rules are indexed by."""
        return phase in self.phases and plane in self.point_planes and fnmatchcase(endpoint, self.on)

    @cached_property
    def point_planes(self) -> frozenset[Plane]:
        """The planes of the points that it is asked at."""
        return self.planes or frozenset({self.plane})

    def misfit(self, venue: str) -> str:
        """Why it cannot strike the venue with this name, or the empty string; for checks before a run."""
        return ""

    def can_strike(self, endpoints: Mapping[Plane, Iterable[str]]) -> bool:
        """Whether ``on`` names one of these endpoints, or it needs none; for checks before a run."""
        if self.by_the_clock and self.whole:
            return True
        return any(fnmatchcase(endpoint, self.on) for plane in self.point_planes for endpoint in endpoints[plane])

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

    def _occasion(self, moment: Moment, chance: Chance) -> int:
        if self.at_s is not None and self.every_s is None and (self.nth is not None or self.first is not None):
            return 0  # `at` is where the counting begins, then
        if self.once and not self.given & _HOW_OFTEN:
            return 1
        return self.occasion(moment.t_s, moment.marks, chance)

    def _counts(self, state: State) -> bool:
        if self.first is not None and state.struck >= self.first:
            return False
        if self.nth is None:
            return True
        return state.matched == self.nth if isinstance(self.nth, int) else state.matched in self.nth

    def lot(self, moment: Moment) -> object:
        """What ``probability`` is drawn for: each point by itself. A condition may draw once for a connection."""
        return moment.point

    @cached_property
    def by_the_clock(self) -> bool:
        """Whether its strikes come at times instead of at points.

        A fault that hits the whole client hits points when ``on`` says which: ``crash: {on: POST /orders, at: 9s}``
        is at the first order from then on.
        """
        timed = self.at_s is not None or self.every_s is not None
        return self.clocked and timed and self.for_s is None and not (self.whole and "on" in self.given)

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


def why_no_fault(name: str, found: object) -> str:
    """Why ``found`` cannot be the fault called ``name``, or the empty string."""
    if not (isinstance(found, type) and issubclass(found, Fault)):
        return "is no subclass of faultline.faults.Fault"
    lacking = [each for each in ("kind", "plane", "phases") if not hasattr(found, each)]
    if lacking or getattr(found, "__abstractmethods__", None):
        return f"is not complete: it has no {', '.join([*lacking, *sorted(found.__abstractmethods__)])}"
    return "" if found.kind == name else f"calls itself {found.kind!r} (kind); both names must be the same"


_COUNTS = frozenset({"nth", "attempt", "first"})
_HOW_OFTEN = frozenset({"nth", "first", "probability", "at_s", "every_s", "for_s", "during_s"})


def one_of(name: str, value: object, options: object) -> None:
    """Check that ``value`` is one of the values of the Literal ``options``. Raises ValueError that lists them."""
    known = get_args(options)
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(str(option) for option in known)}")


def at_least(name: str, value: float, least: float) -> None:
    """Check a number's lower bound. Raises ValueError that names it."""
    if not least <= value < float("inf"):
        raise ValueError(f"{name} is {value:g}; it is at least {least:g}")

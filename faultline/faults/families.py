"""What kinds of faults have in common that act on the same sort of point.

A kind derives from one of these and says what it does there. Each family knows which fields of the base its points
carry, so that a field that could never match is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from faultline.faults.actions import Action, Cut, How
from faultline.faults.base import Fault, Shape, at_least, one_of
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane
from faultline.units import Bytes

Direction = Literal["up", "down", "both"]
"""Which way bytes flow: ``up`` from the client to the venue, ``down`` from the venue to the client."""

Side = Literal["before", "after"]
"""Before the venue acts on a request, or after: the effect is there and only the answer is struck."""

Way = Literal["up", "down"]
"""A direction where only one makes sense."""


def only_requests(fault: Fault) -> None:
    """Check that ``on`` does not name a stream. Raises ValueError."""
    if fault.on.startswith("stream"):
        raise ValueError(f"{fault.kind} does not act on streams; write on like POST /orders or * /orders*")


@dataclass(frozen=True, kw_only=True)
class RequestFault(Fault, ABC):
    """Acts on HTTP requests and their responses. ``POST *`` unless ``on`` says otherwise: what has an effect."""

    plane = Plane.MESSAGE
    lacks: ClassVar[frozenset[str]] = frozenset({"topic"})

    on: str = "POST *"

    def __post_init__(self) -> None:
        super().__post_init__()
        only_requests(self)


@dataclass(frozen=True, kw_only=True)
class MessageFault(Fault, ABC):
    """Acts on messages of a stream that carry data; heartbeats and other control messages are no points."""

    plane = Plane.MESSAGE
    phases = frozenset({"out"})
    lacks: ClassVar[frozenset[str]] = frozenset({"header"})

    on: str = "stream *"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.on.startswith(("stream", "*")):
            raise ValueError(f"{self.kind} acts on the messages of a stream; write on like stream user")


@dataclass(frozen=True, kw_only=True)
class VenueFault(Fault, ABC):
    """A decision of the venue's own. Needs a simulated venue: a real one cannot be told what to decide."""

    plane = Plane.VENUE
    phases = frozenset({"decide"})
    lacks: ClassVar[frozenset[str]] = frozenset({"header", "topic", "connection"})


@dataclass(frozen=True, kw_only=True)
class LinkFault(Fault, ABC):
    """Acts on connections and the bytes on them. ``on`` is a host label: ``rest``, ``stream``, or ``*`` for both."""

    plane = Plane.STREAM
    phases: ClassVar[frozenset[str]] = frozenset({"up", "down"})
    lacks: ClassVar[frozenset[str]] = frozenset({"header", "topic", "attempt"})
    closings: ClassVar[bool] = False
    """Whether it is about the end of a stream. A proxy delays bytes and not their end, unless the fault is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.on or " " in self.on or "/" in self.on:
            raise ValueError(f"{self.kind} acts on connections; on is the label of a host: rest, stream or *")

    def lot(self, moment: Moment) -> object:
        """A connection as a whole: half of the connections are slow, not half of the bytes of each."""
        return (moment.point.endpoint, moment.point.entity)

    def matches(self, moment: Moment) -> bool:
        """Whether it is the connection that was asked for; its number is the point's entity."""
        return self.connection is None or moment.point.entity == str(self.connection)


@dataclass(frozen=True, kw_only=True)
class LinkCondition(LinkFault, ABC):
    """Holds for connections over an interval. ``probability`` is drawn once for each connection."""

    shape: ClassVar[Shape] = "condition"


@dataclass(frozen=True, kw_only=True)
class DirectedCondition(LinkCondition, ABC):
    """A :class:`LinkCondition` on the bytes that flow one way, or both."""

    direction: Direction = "both"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("direction", self.direction, Direction)

    def about(self, plane: Plane, endpoint: str, phase: str) -> bool:
        """As for every fault, and the direction is right."""
        return self.direction in (phase, "both") and super().about(plane, endpoint, phase)


@dataclass(frozen=True, kw_only=True)
class LinkStrike(LinkFault, ABC):
    """Ends a connection: at its byte number ``offset`` in one ``direction``, or by the clock.

    ``nth`` and ``first`` count connections that get that far. By the clock every open connection of ``on`` is hit.
    """

    clocked = True
    once = True

    direction: Way = "down"
    offset_bytes: Bytes = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("direction", self.direction, Way)
        at_least("offset", self.offset_bytes, 0)
        for name in sorted(self.given & {"direction", "offset_bytes"} if self.by_the_clock else ()):
            key = name.removesuffix("_bytes")
            raise ValueError(f"at and every strike {self.kind} by the clock, wherever the bytes are: leave out {key}")

    def about(self, plane: Plane, endpoint: str, phase: str) -> bool:
        """As for every fault, and the direction is right."""
        return phase == self.direction and super().about(plane, endpoint, phase)

    def matches(self, moment: Moment) -> bool:
        """Whether the byte is among those that are being sent."""
        begin = moment.point.nth
        return begin <= self.offset_bytes < begin + moment.size_bytes and super().matches(moment)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Let what comes before the byte through, then cut."""
        return (Cut(after_bytes=self.offset_bytes - moment.point.nth, how=self.ending),)

    def tick_actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Cut at once."""
        return (Cut(how=self.ending),)

    @property
    @abstractmethod
    def ending(self) -> How:
        """How the connection ends."""

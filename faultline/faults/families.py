"""What kinds of faults have in common that act on the same sort of point.

A kind derives from one of these and says what it does there. Each family knows which fields of the base its points
carry, so that a field that could never match is refused.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from faultline.faults.base import Fault, Shape, one_of
from faultline.faults.points import Plane

Direction = Literal["up", "down", "both"]
"""Which way bytes flow: ``up`` from the client to the venue, ``down`` from the venue to the client."""

Side = Literal["before", "after"]
"""Before the venue acts on a request, or after: the effect is there and only the answer is struck."""

_COUNTS: Final = frozenset({"nth", "attempt", "first"})


@dataclass(frozen=True, kw_only=True)
class RequestFault(Fault, ABC):
    """Acts on HTTP requests and their responses. ``POST *`` unless ``on`` says otherwise: what has an effect."""

    plane = Plane.MESSAGE
    lacks: ClassVar[frozenset[str]] = frozenset({"topic"})

    on: str = "POST *"


@dataclass(frozen=True, kw_only=True)
class MessageFault(Fault, ABC):
    """Acts on messages of a stream that carry data; heartbeats and other control messages are no points."""

    plane = Plane.MESSAGE
    phases = frozenset({"out"})
    lacks: ClassVar[frozenset[str]] = frozenset({"header"})

    on: str = "stream *"


@dataclass(frozen=True, kw_only=True)
class VenueFault(Fault, ABC):
    """A decision of the venue's own. Needs a simulated venue: a real one cannot be told what to decide."""

    plane = Plane.VENUE
    phases = frozenset({"decide"})
    lacks: ClassVar[frozenset[str]] = frozenset({"header", "topic", "connection"})


@dataclass(frozen=True, kw_only=True)
class LinkCondition(Fault, ABC):
    """Holds for connections and the bytes on them. ``on`` is a host label: ``rest``, ``stream`` or ``*`` for both.

    ``probability`` is drawn once for each connection.
    """

    plane = Plane.STREAM
    phases = frozenset({"up", "down"})
    shape: ClassVar[Shape] = "condition"
    per_connection: ClassVar[bool] = True
    lacks: ClassVar[frozenset[str]] = frozenset({"header", "topic"}) | _COUNTS


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

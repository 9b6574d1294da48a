"""Where a strike can land, and what a fault sees there.

A point's identity must survive another fault being removed, or replay and shrinking would judge a different run.
So its entity is the *intent*, never an id that the venue minted, and ``nth`` counts arrivals on the wire, because
HTTP clients re-send silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec


class Plane(StrEnum):
    """Which part of the path a fault acts on. A world says which planes it carries."""

    STREAM = "stream"
    MESSAGE = "message"
    VENUE = "venue"
    TARGET = "target"


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One place in a run where something can go wrong.

    ================ ======================= ======================== ============== ==========================
    plane            endpoint                entity                   nth            phase
    ================ ======================= ======================== ============== ==========================
    message          ``POST /orders``        intent, or ``-``         nth arrival    ``before`` / ``after`` effect
    message          ``stream user``         ``intent/kth effect``    nth delivery   ``out``
    stream           ``rest`` / ``stream``   connection ordinal       byte offset    ``connect`` / ``up`` / ``down``
    stream           ``rest`` / ``stream``   look-up ordinal          0              ``resolve``
    venue            ``match`` / ``accept``  intent                   nth order      ``decide``
    venue            ``read``                intent, or ``-``         nth read       ``decide``
    target           ``store``               intent, or ``-``         statement      ``before`` / ``after`` commit
    any              the fault's ``on``      rule                     nth tick       ``tick`` (by the clock)
    ================ ======================= ======================== ============== ==========================
    """

    plane: Plane
    endpoint: str
    entity: str
    nth: int
    phase: str

    def __str__(self) -> str:
        who = "" if self.entity in ("", "-") else f" [{self.entity}]"
        return f"{self.endpoint}{who} #{self.nth} {self.phase}"


NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Moment(msgspec.Struct, frozen=True):
    """What a fault sees: the point, the time, and what is on the wire there.

    ``t_s`` is the world's clock in seconds since the start of the run. ``marks`` holds when each named thing first
    happened in this run (a phase, a fault's first strike, the first arrival at an endpoint, an effect kind).
    ``size_bytes`` is the size of what is being sent, zero where nothing is. ``wall_s`` is the world's wall clock in
    seconds since 1970, for what must be written as a date. ``until_s`` is the end of the interval in which the
    fault that is asked holds, None while that is open; only faults that ask for it (``Fault.until_end``) see it.
    """

    point: Point
    t_s: float
    headers: Mapping[str, str] = NO_HEADERS
    topic: str = ""
    connection: int = 0
    marks: Mapping[str, float] = msgspec.field(default_factory=dict)
    size_bytes: int = 0
    wall_s: float = 0.0
    until_s: float | None = None

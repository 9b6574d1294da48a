"""What a run needs of the place where it happens.

A world has a clock, puts a venue on a wire, keeps the client's processes and their stores, and carries out the
actions of the planes it knows. The runner and the driver speak only to this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from faultline.faults.actions import Action, Cut
from faultline.faults.injector import Injector
from faultline.venues.base import Context, Venue
from faultline.venues.interceptor import Interceptor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the client reaches the venue."""

    rest_url: str
    stream_url: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something in the client's code that this world saw and a history should tell: see ``history.event.Trouble``.

    An unhandled exception without an incarnation is none of a client's that the driver booted. ``error`` is the
    exception itself, where there is one.
    """

    what: Literal["unhandled", "blocking", "escape", "swallowed"]
    detail: str
    incarnation: int = 0
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Gauges:
    """What a client process holds on to: unfinished tasks, timers that are due later, open connections."""

    tasks: int
    timers: int
    connections: int


class World(Protocol):
    """One run's world. Used once.

    ``repeatable`` says whether the same seed gives the same history.
    """

    name: str
    repeatable: bool

    def run(self, main: Callable[[], Awaitable[T]], ended: Callable[[], None] = lambda: None) -> T:
        """Run ``main`` to its end, then tear everything down, whatever happened.

        ``ended`` is called in between, once or more: what the teardown does is no part of the run. Raises what
        ``main`` raised, or what kept it from its end.
        """
        ...

    def now_s(self) -> float:
        """Seconds since the run began."""
        ...

    def context(self) -> Context:
        """What the venue may know of this world."""
        ...

    def arm(self, injector: Injector, upon: Callable[[Action], object]) -> None:
        """Ask ``injector`` at the points of the planes that the world itself carries (stream, store).

        ``upon`` carries out what is not the world's own doing (a crash at a store point).
        """
        ...

    async def listen(self, venue: Venue, interceptor: Interceptor) -> Addresses:
        """Put the venue on the wire."""
        ...

    def idle(self) -> bool:
        """No request or message is on its way."""
        ...

    def cut(self, on: str, cut: Cut) -> int:
        """End the open connections to the hosts that ``on`` names. Returns how many there were."""
        ...

    def step_clock(self, by_s: float) -> bool:
        """The wall clock of the client's machine jumps. False where it cannot be set."""
        ...

    def store_path(self) -> Path:
        """The file in which the next client process keeps its state."""
        ...

    def spawn(self, work: Coroutine[Any, Any, T], incarnation: int, intent: str = "") -> asyncio.Task[T]:
        """Start ``work`` as part of the client process ``incarnation``, on behalf of ``intent``."""
        ...

    def enter(self, incarnation: int, call: Callable[[], T]) -> T:
        """Call ``call`` as part of the client process ``incarnation``."""
        ...

    def crash(self, incarnation: int, how: Literal["fin", "silence"]) -> None:
        """End a client process without giving it another instruction. Its store stays as it was at this moment."""
        ...

    def crashed(self, incarnation: int) -> bool:
        """Whether that process is gone."""
        ...

    def left_running(self, incarnation: int) -> list[str]:
        """The unfinished tasks of a client process, each in a line that says where it waits."""
        ...

    def gauges(self, incarnation: int) -> Gauges | None:
        """What that client process holds on to now; None where nobody can see into it."""
        ...

    def died(self, incarnation: int) -> list[str]:
        """The tasks of a client process that ended in an exception at which nobody has looked yet, one line each."""
        ...

    def complaints(self) -> list[Complaint]:
        """What it has seen since it was last asked."""
        ...

    def digest(self) -> str:
        """Hash of everything that was on the wire; empty where that is not repeatable."""
        ...

"""What happens to the client's own process."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Literal

from faultline.faults.actions import Action, StepClock
from faultline.faults.actions import Crash as CrashNow
from faultline.faults.actions import Pause as PauseNow
from faultline.faults.actions import Restart as RestartNow
from faultline.faults.base import Fault, at_least, one_of
from faultline.faults.chance import Chance
from faultline.faults.families import Side, only_requests
from faultline.faults.points import Moment, Plane
from faultline.units import Seconds

Direction = Literal["forward", "back"]
Death = Literal["fin", "silence"]
"""What the peers of a dead process see: its system closes the connections, or the whole machine is gone."""


@dataclass(frozen=True, kw_only=True)
class _OfProcess(Fault, ABC):
    plane = Plane.TARGET
    planes = frozenset({Plane.TARGET, Plane.MESSAGE})
    phases = frozenset({"before", "after"})
    clocked = True
    once = True
    whole = "client"
    lacks = frozenset({"topic"})

    on: str = "POST *"
    phase: Side = "after"

    def __post_init__(self) -> None:
        super().__post_init__()
        only_requests(self)
        one_of("phase", self.phase, Side)

    def about(self, plane: Plane, endpoint: str, phase: str) -> bool:
        """As for every fault, on its own side of the effect or of the commit."""
        return phase == self.phase and super().about(plane, endpoint, phase)


@dataclass(frozen=True, kw_only=True)
class _Ending(_OfProcess, ABC):
    down_s: Seconds = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("down", self.down_s, 0)


@dataclass(frozen=True, kw_only=True)
class Crash(_Ending):
    """The client's process dies at once and comes back with nothing but its store.

    In the real world: an out-of-memory kill, a power cut, ``kill -9`` in a deploy. No ``finally`` runs, nothing is
    flushed.
    ``down`` (a duration, default 500ms) is how long it stays away. ``how`` is ``fin`` (default: the system closes its
    connections) or ``silence`` (the machine is gone and its peers learn nothing).
    With ``at`` or ``every`` it happens at that time; otherwise at a request of ``on`` (default ``POST *``) or, with
    ``on: store``, at a statement of its store. ``phase`` is ``before`` or ``after`` (default) the effect of the
    request, or the commit of the statement. Given neither a time nor a number it strikes once.

    Proves that what matters is stored before it is sent, and that a restarted client finishes what its predecessor
    began, once.
    """

    kind = "crash"

    how: Death = "fin"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("how", self.how, Death)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Crash."""
        return (CrashNow(self.down_s, self.how),)


@dataclass(frozen=True, kw_only=True)
class Restart(_Ending):
    """The client is stopped the orderly way and started again.

    In the real world: every deploy. Clean-up code runs, and what it forgets to write down is lost all the same.
    ``down`` (a duration, default 500ms) is how long it stays away. With ``at`` or ``every`` it happens at that time;
    otherwise at a request of ``on`` (default ``POST *``) or, with ``on: store``, at a statement of its store.
    ``phase`` is ``before`` or ``after`` (default) the effect of the request, or the commit of the statement. Given
    neither a time nor a number it strikes once.

    Proves that a client can be stopped at any point and carries on from its store.
    """

    kind = "restart"

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Stop it and start it again."""
        return (RestartNow(self.down_s),)


@dataclass(frozen=True, kw_only=True)
class Pause(_OfProcess):
    """The client's process stands still and later goes on, with no idea of the time in between.

    In the real world: a laptop lid, a virtual machine that is moved, a long garbage collection, a container that has
    used up its share of the processor, a debugger. Connections stay open and nobody is told.
    ``lasts`` (a duration, default 1s) is for how long. With ``at`` or ``every`` it happens at that time; otherwise at
    a request of ``on`` (default ``POST *``). ``phase`` is ``before`` or ``after`` (default) the effect of the request.
    Given neither a time nor a number it strikes once. Only a target that runs as a command has a process of its own
    that can be stopped.

    Proves that a client that wakes up late does not act on what it knew before, and that its own timeouts, which all
    expire at once then, make it ask instead of send again.
    """

    kind = "pause"
    planes = frozenset({Plane.MESSAGE})

    lasts_s: Seconds = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("lasts", self.lasts_s, 0.001)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Stop it for a while."""
        return (PauseNow(self.lasts_s),)


@dataclass(frozen=True, kw_only=True)
class ClockStep(_OfProcess):
    """The wall clock of the client's machine jumps, and is wrong from then on.

    In the real world: a time server that was unreachable for long, a virtual machine that was resumed, an operator, a
    leap second. ``time.time()`` and ``datetime.now()`` jump; ``time.monotonic()`` and timers do not, and neither does
    the venue. A process that starts later finds the clock as wrong as it was left.
    ``by`` (a duration, default 5min) is how far, ``direction`` is ``forward`` (default) or ``back``. With ``at`` or
    ``every`` it happens at that time (``at: 0s`` is a clock that was wrong all along); otherwise at a request of ``on``
    (default ``POST *``). ``phase`` is ``before`` or ``after`` (default) the effect of the request. Given neither a time
    nor a number it strikes once. Only the simulated world has a clock that can be set.

    Proves that a client measures time by the monotonic clock, and that a token's end, a signature's time and a rate
    limit do not hang on its own idea of the date.
    """

    kind = "clock_step"
    planes = frozenset({Plane.MESSAGE})

    by_s: Seconds = 300.0
    direction: Direction = "forward"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("by", self.by_s, 0.001)
        one_of("direction", self.direction, Direction)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Set the clock."""
        return (StepClock(self.by_s if self.direction == "forward" else -self.by_s),)

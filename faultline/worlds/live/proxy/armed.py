"""A fault that is armed in a proxy: who decides, and which connections it hits.

Whether a connection is hit is drawn once, from (seed, proxy, name, connection): another fault, an update or a later
connection changes nothing about it, and the same seed hits the same connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from faultline.errors import UnsupportedFault
from faultline.faults.actions import Action
from faultline.faults.base import Fault, State
from faultline.faults.chance import Chance
from faultline.faults.families import LinkFault
from faultline.faults.points import Moment, Plane
from faultline.worlds.live.proxy.stage import Decider

_CARRIED: Final = frozenset({"connect", "up", "down"})


class FaultDecider:
    """Decides by fault objects, in their order. What they count, they count over all connections of the proxy."""

    def __init__(self, faults: Sequence[Fault], chance: Chance, endpoint: str) -> None:
        for fault in faults:
            check_carried(fault)
        self._chance = chance
        self._states = [State() for _ in faults]
        self._asked = {
            phase: [each for each in enumerate(faults) if each[1].about(Plane.STREAM, endpoint, phase)]
            for phase in _CARRIED
        }
        self._closing = [
            number for number, fault in enumerate(faults) if isinstance(fault, LinkFault) and fault.closings
        ]
        self.closings = bool(self._closing)

    def acts_on(self, phase: str) -> bool:
        """See :class:`~faultline.worlds.live.proxy.stage.Decider`."""
        return bool(self._asked[phase])

    def decide(self, moment: Moment) -> tuple[Action, ...]:
        """See :class:`~faultline.worlds.live.proxy.stage.Decider`."""
        actions: tuple[Action, ...] = ()
        is_end = not moment.size_bytes and moment.point.phase != "connect"
        for number, fault in self._asked[moment.point.phase]:
            if is_end and number not in self._closing:
                continue
            chance = self._chance.child("rule", number)
            self._states[number], asked = fault.step(self._states[number], moment, chance)
            actions += asked
        return actions


class CallDecider:
    """Decides by a function that is asked at every point, the ends of streams included: a run's injector."""

    closings = True

    def __init__(self, decide: Callable[[Moment], tuple[Action, ...]]) -> None:
        self.decide = decide

    def acts_on(self, phase: str) -> bool:
        """See :class:`~faultline.worlds.live.proxy.stage.Decider`."""
        return True


class Armed:
    """A decider with its name, its toxicity, and how many of the connections from now on it is for (None: all).

    ``closes_when_removed``: what it swallowed cannot be given back, so the connections that it hit end with it.
    """

    __slots__ = ("_after", "_chance", "closes_when_removed", "decider", "first", "name", "toxicity")

    def __init__(
        self, name: str, decider: Decider, chance: Chance, *, toxicity: float = 1.0, first: int | None = None,
        after: int = 0, closes_when_removed: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.decider = decider
        self.toxicity = toxicity
        self.first = first
        self.closes_when_removed = closes_when_removed
        self._chance = chance
        self._after = after  # how many connections the proxy had seen when it was armed

    def hits(self, ordinal: int) -> bool:
        """Whether connection number ``ordinal`` is hit."""
        if self.first is not None and not self._after < ordinal <= self._after + self.first:
            return False
        return self.toxicity >= 1 or self._chance.child("connection", ordinal).random() < self.toxicity


def check_carried(fault: Fault) -> None:
    """Raises UnsupportedFault for a fault that a proxy cannot carry out."""
    if fault.plane is not Plane.STREAM:
        raise UnsupportedFault(
            f"a proxy cannot carry {fault.kind}: it sees connections and their bytes; use the gateway"
        )
    if not fault.phases & _CARRIED:
        raise UnsupportedFault(f"a proxy cannot carry {fault.kind}: no name is looked up through it")
    if fault.after is not None:
        raise UnsupportedFault(f"a proxy does not know when {fault.after!r} happens; leave out after")

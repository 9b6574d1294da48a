"""Where a run takes place. The table of worlds; each is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from faultline.faults.base import Fault
from faultline.faults.points import Plane
from faultline.worlds.base import World


def _carries_all(fault: Fault, as_command: bool) -> str:
    return ""


def _sim_refuses(fault: Fault, as_command: bool) -> str:
    if fault.kind == "pause":
        return "the simulated world has no process to stop; run the target as a command in the live world"
    return ""


class WorldKind(NamedTuple):
    """A world that a scenario can name: what makes one from a root seed and a limit of its clock in seconds, and the
    planes whose faults it carries.

    ``repeatable`` says whether the same seed gives the same history. ``refuses`` gives the reason why it cannot carry
    a fault of its planes all the same, or the empty string; it is told whether the target runs as a command.
    ``commands`` says whether a target can run as a command, as a process of its own, in it. ``prepared`` gives the kind
    for a run's faults by label and the address of a server (None: its own), where it has to know them beforehand;
    it raises UsageError where it cannot run at all. ``waits`` says whether a run takes real time and mostly waits, so
    that many can go on at once.
    """

    make: Callable[[int, float], World]
    planes: frozenset[Plane]
    repeatable: bool = True
    refuses: Callable[[Fault, bool], str] = _carries_all
    commands: bool = False
    prepared: Callable[[Mapping[str, Fault], str | None], WorldKind] | None = None
    waits: bool = False


def _sim(seed: int, time_limit_s: float) -> World:
    from faultline.worlds.sim.world import SimWorld

    return SimWorld(seed, time_limit_s=time_limit_s)


def _live(seed: int, time_limit_s: float) -> World:
    from faultline.worlds.live.world import LiveWorld

    return LiveWorld(seed, time_limit_s=time_limit_s)


def _live_refuses(fault: Fault, as_command: bool) -> str:
    from faultline.worlds.live.world import refuses

    return refuses(fault, as_command=as_command)


def _toxiproxy(seed: int, time_limit_s: float) -> World:
    return _toxiproxy_for({}, None).make(seed, time_limit_s)


def _toxiproxy_for(faults: Mapping[str, Fault], url: str | None) -> WorldKind:
    from faultline.worlds.toxiproxy.planning import kind_for

    return kind_for(faults, url)


WORLDS: Final[Mapping[str, WorldKind]] = MappingProxyType(
    {
        "sim": WorldKind(_sim, frozenset(Plane), refuses=_sim_refuses),
        "live": WorldKind(_live, frozenset(Plane), repeatable=False, refuses=_live_refuses, commands=True, waits=True),
        "toxiproxy": WorldKind(
            _toxiproxy,
            frozenset(Plane),
            repeatable=False,
            refuses=_live_refuses,
            commands=True,
            prepared=_toxiproxy_for,
            waits=True,
        ),
    }
)
"""Every world by name."""

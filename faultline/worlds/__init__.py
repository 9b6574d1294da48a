"""Where a run takes place. The table of worlds; each is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from faultline.faults.points import Plane
from faultline.worlds.base import World


class WorldKind(NamedTuple):
    """A world that a scenario can name: what makes one from a root seed and a limit of its clock in seconds, and the
    planes whose faults it carries."""

    make: Callable[[int, float], World]
    planes: frozenset[Plane]


def _sim(seed: int, time_limit_s: float) -> World:
    from faultline.worlds.sim.world import SimWorld

    return SimWorld(seed, time_limit_s=time_limit_s)


WORLDS: Final[Mapping[str, WorldKind]] = MappingProxyType({"sim": WorldKind(_sim, frozenset(Plane))})
"""Every world by name."""

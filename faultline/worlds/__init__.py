"""Where a run takes place. The table of worlds; each is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from faultline.worlds.base import World


def _sim(seed: int, time_limit_s: float) -> World:
    from faultline.worlds.sim.world import SimWorld

    return SimWorld(seed, time_limit_s=time_limit_s)


WORLDS: Final[Mapping[str, Callable[[int, float], World]]] = {"sim": _sim}
"""By name: what makes a world from a root seed and a limit of its clock in seconds."""

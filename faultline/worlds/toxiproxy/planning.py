"""What the toxiproxy world says before anything runs: whether it can, and which faults it refuses."""

from __future__ import annotations

from collections.abc import Mapping

from faultline.errors import UsageError
from faultline.faults.base import Fault
from faultline.faults.points import Plane
from faultline.worlds import WorldKind
from faultline.worlds.base import World
from faultline.worlds.live.world import refuses as live_refuses
from faultline.worlds.toxiproxy import toxics
from faultline.worlds.toxiproxy.server import LACKING, is_installed


def kind_for(faults: Mapping[str, Fault], url: str | None) -> WorldKind:
    """The world for a run with ``faults`` by label, on the server at ``url`` (None: the embedded one).

    Neither repeats: real time takes part in both. Raises UsageError where toxiproxy-python is not installed.
    """
    if not is_installed():
        raise UsageError(LACKING)

    def make(seed: int, time_limit_s: float) -> World:
        from faultline.worlds.toxiproxy.world import ToxiproxyWorld

        return ToxiproxyWorld(seed, time_limit_s=time_limit_s, faults=faults, url=url)

    def refuses(fault: Fault, as_command: bool) -> str:
        why = live_refuses(fault, as_command=as_command)
        return why.replace("the live world", "the toxiproxy world") or toxics.refuses(fault, stock=url is not None)

    return WorldKind(make, frozenset(Plane), repeatable=False, refuses=refuses, commands=True)

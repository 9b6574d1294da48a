"""The one library that has to be told where it is.

aiohttp resolves names with c-ares when ``aiodns`` is installed: real sockets, and real DNS, in a thread of C. For the
time of a run its resolver is the one that asks the loop.
"""

from __future__ import annotations

import sys
from typing import Any

from faultline.worlds.sim.patches import Patches

_told: set[str] = set()


def add_to(patches: Patches) -> None:
    """Declare the replacement once aiohttp is loaded. Called at each run, because that may be late."""
    resolver: Any = sys.modules.get("aiohttp.resolver")
    if resolver is None or "aiohttp" in _told:
        return
    _told.add("aiohttp")

    class LoopResolver(resolver.ThreadedResolver):  # type: ignore[misc]
        """Takes the arguments of the resolver that it stands for, and asks the loop."""

        def __init__(self, loop: Any = None, *args: Any, **options: Any) -> None:
            super().__init__(loop)

    patches.add_class(resolver, "AsyncResolver", LoopResolver)

"""What libraries have to be told about where they are.

aiohttp resolves names with c-ares when ``aiodns`` is installed: real sockets, and real DNS, in a thread of C. For the
time of a run its resolver is the one that asks the loop.

websockets and httpx go through the proxies that the environment names (``HTTP_PROXY`` and the like), which they ask
:mod:`urllib.request` for. Those are hosts of this machine's network and not of the simulated one, and a run must be the
same on every machine: in a run there are none.
"""

from __future__ import annotations

import sys
import urllib.request
from typing import Any

from faultline.worlds.sim.patches import Patches

_told: set[str] = set()


def add_to(patches: Patches) -> None:
    """Declare the replacements. Called at each run, because aiohttp may be loaded late."""
    if "proxies" not in _told:
        _told.add("proxies")
        patches.add(urllib.request, "getproxies_environment", _no_proxies)
        if urllib.request.getproxies is not urllib.request.getproxies_environment:
            # macOS and Windows ask the system as well.
            patches.add(urllib.request, "getproxies", lambda: _no_proxies())
    resolver: Any = sys.modules.get("aiohttp.resolver")
    if resolver is not None and "aiohttp" not in _told:
        _told.add("aiohttp")
        _ask_the_loop(resolver, patches)


def _no_proxies() -> dict[str, str]:
    return {}


def _ask_the_loop(resolver: Any, patches: Patches) -> None:
    class LoopResolver(resolver.ThreadedResolver):  # type: ignore[misc]
        """Takes the arguments of the resolver that it stands for, and asks the loop."""

        def __init__(self, loop: Any = None, *args: Any, **options: Any) -> None:
            super().__init__(loop)

    patches.add_class(resolver, "AsyncResolver", LoopResolver)

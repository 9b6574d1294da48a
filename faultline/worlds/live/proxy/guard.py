"""Bounds for the connections of the control API: who connects and never finishes a request is cut off.

The HTTP server bounds the sizes of heads and bodies by itself, and idle time after an answer; not the time that a
first head may take.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

IDLE_S: Final = 60.0
"""How long a connection may be without a request that is being answered."""
CONNECTIONS_MAX: Final = 2_000
_SWEEP_S: Final = 1.0

_Handler = RequestHandler


class ConnectionGuard:
    """Sweeps the connections of a server. The oldest idle ones go first when there are too many."""

    def __init__(self, server: web.Server, *, idle_s: float = IDLE_S, sweep_s: float = _SWEEP_S) -> None:
        self._server = server
        self._idle_s = idle_s
        self._sweep_s = sweep_s
        self._idle_since_s: dict[_Handler, float] = {}
        self._busy: set[_Handler] = set()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(sweep_s, self._sweep)

    def began(self, connection: _Handler) -> None:
        """A request on it is being answered."""
        self._busy.add(connection)
        self._idle_since_s.pop(connection, None)

    def ended(self, connection: _Handler) -> None:
        """It was answered."""
        self._busy.discard(connection)
        self._idle_since_s[connection] = self._loop.time()

    def _sweep(self) -> None:
        now_s = self._loop.time()
        there = self._server.connections
        since_s = {each: self._idle_since_s.get(each, now_s) for each in there if each not in self._busy}
        oldest_first = sorted(since_s, key=since_s.__getitem__)
        too_many = max(0, len(there) - CONNECTIONS_MAX)
        for number, each in enumerate(oldest_first):
            if number < too_many or now_s - since_s[each] >= self._idle_s:
                del since_s[each]
                each.force_close()
        self._idle_since_s = since_s
        self._timer = self._loop.call_later(self._sweep_s, self._sweep)

    def stop(self) -> None:
        """No more sweeping."""
        self._timer.cancel()

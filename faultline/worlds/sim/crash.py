"""Ending a client's process without letting it run another line.

Cancelling a task, or dropping it, runs its ``finally`` blocks: state is flushed, connections are closed politely, and
the bug that a real crash shows stays hidden. So a crash *fences* the incarnation instead. From that moment the loop
puts every handle of the incarnation into a graveyard; its sockets are closed by their kernel (FIN, or RST when data
was unread) or fall silent with the whole machine; what the process had not yet handed to the kernel is gone; bytes
in flight arrive; nobody calls its protocols. Strong references keep its tasks from being collected, which would run
their ``finally`` blocks too. A crash may happen inside the client's own running step: that step ends in the void.

After judgement the dead must be buried: a task whose wake-up lies in the graveyard would never notice that it was
cancelled. So the fence is lifted, the graveyard replayed, the lost connections reported, and only then are the tasks
cancelled.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, Literal

from faultline.worlds.context import INCARNATION

if TYPE_CHECKING:
    from faultline.worlds.sim.loop import SimLoop
    from faultline.worlds.sim.network import Network

How = Literal["fin", "silence"]


class Crashes:
    """The fences of one simulation."""

    def __init__(self, loop: SimLoop, network: Network) -> None:
        self._loop = loop
        self._network = network
        self._fenced: set[int] = set()
        self._tasks: list[asyncio.Task[Any]] = []
        self._lost: list[tuple[asyncio.BaseProtocol, Context]] = []

    def crash(self, incarnation: int, how: How) -> None:
        """Fence ``incarnation``. Crashing it again does nothing."""
        if incarnation in self._fenced:
            return
        self._fenced.add(incarnation)
        self._loop.fenced.add(incarnation)
        dead = self._loop.tasks_of(incarnation)
        for task in dead:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # in case the loop is closed first
        self._tasks += dead
        for server in self._network.listeners():
            if server.context.get(INCARNATION) == incarnation:
                server.close()
        for transport in self._network.transports():
            if transport.context.get(INCARNATION) == incarnation:
                protocol = transport.die(how)
                if protocol is not None:
                    self._lost.append((protocol, transport.context))

    def is_fenced(self, incarnation: int) -> bool:
        """Whether this incarnation has crashed; true after the revival too."""
        return incarnation in self._fenced

    @property
    def any(self) -> bool:
        """Whether anything has crashed in this run."""
        return bool(self._fenced)

    def revive(self) -> list[asyncio.Task[Any]]:
        """Lift the fences so that the dead can end. Returns their unfinished tasks, cancelled, for waiting on."""
        loop = self._loop
        tasks, self._tasks = self._tasks, []
        # A task made in the void, by the last step of a crashed process, was not there when the fence went up.
        for incarnation in sorted(loop.fenced):
            tasks += [task for task in loop.tasks_of(incarnation) if task not in tasks]
        loop.fenced.clear()
        for handle in loop.graveyard:
            loop._ready.append(handle)
        loop.graveyard.clear()
        lost, self._lost = self._lost, []
        for protocol, context in lost:
            loop.call_soon(protocol.connection_lost, ConnectionResetError("the process crashed"), context=context)
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            loop.call_soon(task.cancel)
        return unfinished

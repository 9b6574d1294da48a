"""A debugger's help in a session: wait for a moment of virtual time or for a fault, or stop as one strikes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from faultline.faults.injector import Injector
from faultline.history.event import Struck


class Stops:
    """Knows the faults of a session as they strike. ``now_s`` is its clock."""

    def __init__(self, injector: Injector, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._struck: list[Struck] = []
        self._waiting: list[tuple[str | None, int, Callable[[Struck], object]]] = []
        injector.on_receipt(self._on_receipt)

    def _on_receipt(self, struck: Struck) -> None:
        self._struck.append(struck)
        for stop in list(self._waiting):
            fault, nth, call = stop
            if len(self._those_of(fault)) == nth and _is(struck, fault):
                self._waiting.remove(stop)
                call(struck)

    def _those_of(self, fault: str | None) -> list[Struck]:
        return [struck for struck in self._struck if _is(struck, fault)]

    def at(self, fault: str | None, nth: int, call: Callable[[Struck], object] | None) -> None:
        """As the ``nth`` strike of ``fault`` (None: of any) begins, call ``call``; without one, a debugger."""
        self._waiting.append((fault, nth, call or _debugger))

    async def until(self, t_s: float) -> None:
        """Wait until the clock reads ``t_s``."""
        await asyncio.sleep(max(0.0, t_s - self._now_s()))

    async def until_struck(self, fault: str | None, nth: int) -> Struck:
        """Wait for the ``nth`` strike of ``fault`` (None: of any), unless it has been already. Returns it."""
        there = self._those_of(fault)
        if len(there) >= nth:
            return there[nth - 1]
        came: asyncio.Future[Struck] = asyncio.get_running_loop().create_future()

        def tell(struck: Struck) -> None:
            if not came.done():
                came.set_result(struck)

        self.at(fault, nth, tell)
        return await came


def _is(struck: Struck, fault: str | None) -> bool:
    return fault is None or fault in (struck.fault, struck.fault.partition("#")[0])


def _debugger(struck: Struck) -> None:
    # Whoever looks around takes their time, and no watchdog is to end the run for it.
    timer: Any = signal.setitimer(signal.ITIMER_REAL, 0) if hasattr(signal, "setitimer") else None
    try:
        breakpoint()
    finally:
        if timer is not None:
            signal.setitimer(signal.ITIMER_REAL, *timer)

"""The watchdog of a run: for code of a client that never returns to the event loop.

It uses SIGALRM, so it works in the main thread on Unix and does nothing elsewhere. pytest-timeout uses the same signal
and timer: its handler and what was left of its time are put back afterwards, and when its time runs out in here, its
handler is called.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from faultline.errors import SimHang
from faultline.worlds.real import REAL


class Turning(Protocol):
    """What the watchdog needs of a loop: ``turns`` grows while it lives, ``fail`` ends its run."""

    turns: int

    def fail(self, error: BaseException) -> None:
        """End the run with ``error``."""
        ...


class Watchdog:
    """Ends a callback that has kept the processor for ``limit_s`` of real time, with SimHang."""

    _TICKS = 4

    def __init__(self, loop: Turning, limit_s: float) -> None:
        self._loop = loop
        self._limit_s = limit_s
        self._turns = -1
        self._quiet_ticks = 0
        self._previous: Any = None
        self._deadline_s: float | None = None
        self._repeat_s = 0.0
        self._on = False

    def start(self) -> None:
        """Arm the timer, if this is the main thread of a system that has SIGALRM."""
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            return
        self._previous = signal.signal(signal.SIGALRM, self._tick)
        left_s, self._repeat_s = signal.setitimer(signal.ITIMER_REAL, 0)
        self._deadline_s = REAL.perf_counter_s() + left_s if left_s else None
        self._on = True
        self._arm()

    def _arm(self) -> None:
        wait_s = self._limit_s / self._TICKS
        if self._deadline_s is not None:
            wait_s = min(wait_s, max(self._deadline_s - REAL.perf_counter_s(), 1e-3))
        signal.setitimer(signal.ITIMER_REAL, wait_s)

    def stop(self) -> None:
        """Give the signal and what is left of its timer back to whoever had them."""
        if not self._on:
            return
        self._on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._previous)
        if self._deadline_s is not None:
            left_s = max(self._deadline_s - REAL.perf_counter_s(), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left_s, self._repeat_s)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        if self._deadline_s is not None and REAL.perf_counter_s() >= self._deadline_s:
            self._deadline_s = None
            self._pass_on(self._previous, number, frame)
        if self._loop.turns != self._turns:
            self._turns = self._loop.turns
            self._quiet_ticks = 0
        else:
            self._quiet_ticks += 1
        self._arm()
        if self._quiet_ticks >= self._TICKS:
            where = "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
            hang = SimHang(
                f"one callback has kept the loop busy for {self._limit_s:g} s of real time, at {where}. "
                "Look for a loop without an await, or a blocking call into C; raise wall_limit_s if it is real work."
            )
            self._loop.fail(hang)
            raise hang

    def _pass_on(self, handler: Callable[[int, FrameType | None], Any] | int | None, number: int, frame: Any) -> None:
        """Somebody else's time is up: let their handler act, and make sure that the run ends."""
        if not callable(handler):
            return
        try:
            handler(number, frame)
        except BaseException as error:
            self._loop.fail(error)
            raise

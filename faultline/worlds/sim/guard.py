"""What keeps a simulation from touching the real world, and from hanging.

An audit hook sees blocking code before it acts: a real connect or look-up, a subprocess, a new thread. It raises
SimEscape at that very line, and notes it, because clients swallow exceptions. Audit hooks cannot be taken out again;
this one does nothing while no simulation runs. Imports may do what they like: libraries probe the machine then.

The watchdog is for code that never returns to the loop. It uses SIGALRM, so it works in the main thread on Unix and
does nothing elsewhere. pytest-timeout uses the same signal and timer: its handler and what was left of its time are
put back afterwards, and when its time runs out in here, its handler is called.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol

from faultline.errors import SimHang
from faultline.worlds.sim.active import running
from faultline.worlds.sim.clock import REAL
from faultline.worlds.sim.frames import importing
from faultline.worlds.sim.patches import Patches

_BLOCKING_CLIENT: Final = "use an asyncio client (aiohttp, httpx.AsyncClient, websockets), or run it in the live world"
_NO_PROCESS: Final = "start it outside of the simulation, or run this part in the live world"
_NO_THREAD: Final = "use asyncio.to_thread() or loop.run_in_executor(), which are simulated"
_FORBIDDEN: Final = {
    "socket.connect": ("a real connection", _BLOCKING_CLIENT),
    "socket.sendto": ("a real datagram", _BLOCKING_CLIENT),
    "socket.getaddrinfo": ("a real name look-up", f"use loop.getaddrinfo(); {_BLOCKING_CLIENT}"),
    "socket.gethostbyname": ("a real name look-up", f"use loop.getaddrinfo(); {_BLOCKING_CLIENT}"),
    "socket.gethostbyaddr": ("a real name look-up", _BLOCKING_CLIENT),
    "subprocess.Popen": ("a subprocess", _NO_PROCESS),
    "os.system": ("a shell command", _NO_PROCESS),
    "os.exec": ("replacing this process", _NO_PROCESS),
    "os.fork": ("a fork", _NO_PROCESS),
    "os.forkpty": ("a fork", _NO_PROCESS),
    "os.posix_spawn": ("a subprocess", _NO_PROCESS),
    "os.spawn": ("a subprocess", _NO_PROCESS),
    "_thread.start_new_thread": ("a thread", _NO_THREAD),
    "_thread.start_joinable_thread": ("a thread", _NO_THREAD),
}


def _audit(event: str, args: tuple[Any, ...]) -> None:
    forbidden = _FORBIDDEN.get(event)
    if forbidden is None:
        return
    sim = running()
    if sim is None or importing():
        return
    what, instead = forbidden
    raise sim.escaped(f"{what} ({event}{_shown(event, args)})", instead)


def _shown(event: str, args: tuple[Any, ...]) -> str:
    if event == "socket.connect":
        return f" to {args[-1]!r}"
    if event.startswith("_thread"):
        owner = getattr(args[0], "__self__", None)
        return f" {_runs(owner) if isinstance(owner, threading.Thread) else args[0]!r}"
    return f" {args[0]!r}" if args else ""


def _runs(thread: threading.Thread) -> str:
    work = getattr(thread, "_target", None) or thread.run
    return f"for {getattr(work, '__qualname__', type(work).__name__)}"


class NoThreads:
    """``Thread.start`` for the time of a run. The audit event for new threads is younger than Python 3.11."""

    def __init__(self) -> None:
        self._real = threading.Thread.start
        real = self._real

        def start(thread: threading.Thread) -> None:
            sim = running()
            if sim is not None and not importing():
                what, instead = _FORBIDDEN["_thread.start_new_thread"]
                # Not by its default name: that counts the threads of the whole process, and a run is to repeat.
                raise sim.escaped(f"{what} ({_runs(thread)})", instead)
            real(thread)

        self._virtual = start

    def put_in_place(self) -> None:
        """Refuse threads."""
        threading.Thread.start = self._virtual  # type: ignore[method-assign,assignment]

    def take_out(self) -> None:
        """Allow them again."""
        threading.Thread.start = self._real  # type: ignore[method-assign]


def add_to(patches: Patches) -> None:
    """Declare the refusal of threads."""
    patches.add_other(NoThreads())


def watch() -> None:
    """Add the audit hook. Called once per process."""
    sys.addaudithook(_audit)


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

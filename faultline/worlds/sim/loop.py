"""The event loop of the simulated world: a ready queue, a heap of timers, and a clock that jumps.

When nothing is ready, the clock jumps to the next timer; when there is no timer either, the tasks would wait for
ever, and that is an error, not a hang. ``call_soon`` stays first in, first out, as asyncio documents.

Three details come from real loops and bugs they hide or show:

* Virtual time starts at 0 for the harness; the code under test reads 1000 s more. A monotonic clock near zero makes
  "was it used in the last 15 s" checks against a default of 0.0 come out wrong.
* Timers fire a microsecond late, as real ones do. At exactly their time, code that re-arms a timer when
  ``now <= deadline`` turns for ever (aiohttp's keep-alive did).
* A loop that only polls (``await sleep(0)`` until some time has come) makes no timer due, so after many turns without
  progress the clock creeps forward by itself.

What it schedules is in :mod:`~faultline.worlds.sim.handles`. A fenced incarnation (see ``crash.py``) has its handles
collected instead of run. Everything a real loop does with the operating system is an error; see
:class:`~faultline.worlds.sim.escapes.NoOperatingSystem`.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
from asyncio import events, format_helpers
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeVar

from faultline.errors import SimDeadlock, SimLivelock, SimTimeLimit
from faultline.worlds.context import INCARNATION
from faultline.worlds.sim.active import STATE
from faultline.worlds.sim.endpoints import SimulatedEndpoints
from faultline.worlds.sim.handles import Arrival, Handle, SimFuture, SimTask, Timer, every_task
from faultline.worlds.waiting import describe_waiting

if TYPE_CHECKING:
    import socket

    from faultline.worlds.sim.network import Network
    from faultline.worlds.sim.simulation import Simulation
    from faultline.worlds.sim.transport import SimTransport

T = TypeVar("T")
MONOTONIC_START_S: Final = 1000.0
TIMER_LATENESS_S: Final = 1e-6
IDLE_TURNS_FREE: Final = 10_000
IDLE_TURNS_MAX: Final = 500_000
READS_FREE: Final = 10_000
_CREEP_S: Final = 1e-6
_COLLECT_EVERY_TURNS: Final = 1 << 16
_TURNS_AT_ONCE: Final = 64


class SimLoop(SimulatedEndpoints, asyncio.BaseEventLoop):  # type: ignore[misc]
    """An asyncio event loop in virtual time. Made by :class:`~faultline.worlds.sim.simulation.Simulation`."""

    _ready: deque[events.Handle]
    _closed: bool
    _stopping: bool

    def __init__(self, simulation: Simulation, time_limit_s: float) -> None:
        super().__init__()
        self.simulation = simulation
        self.network: Network
        self.now_s = 0.0
        self.executor_offset_s = 0.0
        self.in_executor = False
        self.turns = 0
        self.fenced: set[int] = set()
        self.graveyard: list[events.Handle] = []
        self.time_limit_s = time_limit_s
        self._tokens: dict[int, tuple[socket.socket, SimTransport]] = {}
        self._heap: list[tuple[float, int, Any]] = []
        self._sequence = 0
        self._cancelled_count = 0
        self._idle_turns = 0
        self._reads_in_turn = 0
        self._read_turn = -1
        self._fatal: BaseException | None = None
        self._ordinals: dict[int | None, int] = {}
        self._tasks_named = 0
        self._clock_resolution = 1e-9
        self.set_task_factory(self._make_task)

    # Identity

    def next_ordinal(self, incarnation: int | None) -> int:
        """The next number for the hash of a task or future of that client process, or of the harness."""
        count = self._ordinals[incarnation] = self._ordinals.get(incarnation, 0) + 1
        return count + (((incarnation or 0) + 1) << 32)

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return SimFuture(loop=self)

    def next_task_name(self) -> str:
        """A default name; asyncio's own number goes on from run to run."""
        self._tasks_named += 1
        return f"Task-{self._tasks_named}"

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], **options: Any
    ) -> asyncio.Task[T]:
        return SimTask(coro, loop=loop, **options)

    def tasks_of(self, incarnation: int) -> list[asyncio.Task[Any]]:
        """The unfinished tasks of one incarnation, oldest first."""
        return [task for task in every_task(self) if getattr(task, "incarnation", None) == incarnation]

    def timers_of(self, incarnation: int) -> int:
        """How many timers of one incarnation are still to come."""
        return sum(
            isinstance(handle, Timer) and not handle._cancelled and handle._context.get(INCARNATION) == incarnation
            for _, _, handle in self._heap
        )

    # Time

    def time(self) -> float:
        """The monotonic clock of the code under test."""
        return self.now_s + MONOTONIC_START_S

    def read_clock_s(self) -> float:
        """:meth:`now_s` for code that reads the clock itself; creeps when it is read over and over in one step."""
        if self._read_turn != self.turns:
            self._read_turn = self.turns
            self._reads_in_turn = 0
        self._reads_in_turn += 1
        if self._reads_in_turn > READS_FREE:
            self.now_s += min(_CREEP_S * (self._reads_in_turn // READS_FREE), 1e-3)
        return self.now_s + self.executor_offset_s

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self.call_at(self.now_s + MONOTONIC_START_S + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See asyncio. ``when`` is in :meth:`time`'s scale."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        timer = Timer(when, callback, args, self, context)
        self._sequence += 1
        heapq.heappush(self._heap, (when - MONOTONIC_START_S + TIMER_LATENESS_S, self._sequence, timer))
        return timer

    def deliver_at(self, at_s: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        """Run ``callback`` in ``context`` at exactly ``at_s`` (:attr:`now_s`'s scale): for what the network does."""
        self._sequence += 1
        heapq.heappush(self._heap, (at_s, self._sequence, Arrival(callback, args, self, context)))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if not handle._scheduled:  # type: ignore[attr-defined]
            return
        self._cancelled_count += 1
        if self._cancelled_count > 256 and self._cancelled_count * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2]._cancelled]
            heapq.heapify(self._heap)
            self._cancelled_count = 0

    # Running

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See asyncio."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        handle = Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See asyncio. Raises SimEscape in any other thread: when it would take effect cannot be replayed."""
        if STATE.sim is self.simulation and get_ident() != STATE.thread_id:
            raise self.simulation.escaped(
                "call_soon_threadsafe() from another thread", "run blocking work with asyncio.to_thread()"
            )
        return self.call_soon(callback, *args, context=context)

    def is_in_the_void(self) -> bool:
        """Whether the running code belongs to a process that has crashed."""
        return bool(self.fenced) and INCARNATION.get() in self.fenced

    def fail(self, error: BaseException) -> None:
        """End the run with ``error`` at the next turn, whatever the code under test does with its own exceptions."""
        if self._fatal is None:
            self._fatal = error

    def raise_if_failed(self) -> None:
        """Raise the error of :meth:`fail` that no turn has come to raise."""
        if self._fatal is not None:
            fatal, self._fatal = self._fatal, None
            raise fatal

    def _run_once(self) -> None:
        """Some of a real loop's turns: until one of them stops the loop, or for a while."""
        ready, fenced = self._ready, self.fenced
        for _ in range(_TURNS_AT_ONCE):
            if self._fatal is not None:
                self.raise_if_failed()
            if ready:
                self._idle_turns += 1
                if self._idle_turns > IDLE_TURNS_FREE:
                    self._creep()
            elif not self._jump():
                return
            self._make_due()
            self.turns += 1
            if not self.turns % _COLLECT_EVERY_TURNS:
                gc.collect(1)  # automatic collection is off: when it would run depends on the whole process
            for _ in range(len(ready)):
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                if fenced and handle._context.get(INCARNATION) in fenced:  # type: ignore[attr-defined]
                    self.graveyard.append(handle)
                    continue
                # Handle._run, without the call.
                try:
                    handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self._report(handle, error)
            if self._stopping:
                return

    def _make_due(self) -> None:
        """Move the timers whose time has come to the ready queue."""
        heap, now_s, ready = self._heap, self.now_s, self._ready
        while heap and heap[0][0] <= now_s:
            handle = heapq.heappop(heap)[2]
            if handle._cancelled:
                self._cancelled_count -= 1
            else:
                handle._scheduled = False
                ready.append(handle)

    def _report(self, handle: events.Handle, error: BaseException) -> None:
        what = format_helpers._format_callback_source(handle._callback, handle._args)  # type: ignore[attr-defined]
        self.call_exception_handler({"message": f"Exception in callback {what}", "exception": error, "handle": handle})

    def _jump(self) -> bool:
        """Move the clock to the next timer. False when the loop is stopping and there is none."""
        heap = self._heap
        while heap and heap[0][2]._cancelled:
            heapq.heappop(heap)
            self._cancelled_count -= 1
        if not heap:
            if self._stopping:
                return False
            raise SimDeadlock(
                f"at {self.now_s:g} s nothing is ready and no timer is set; these tasks wait for something that "
                f"cannot come any more:\n{describe_waiting(self)}\n"
                "Give what they wait for a timeout, or make sure that somebody answers."
            )
        at_s = heap[0][0]
        if at_s > self.time_limit_s:
            raise SimTimeLimit(
                f"the run passed its limit of {self.time_limit_s:g} s of virtual time; these tasks are unfinished:\n"
                f"{describe_waiting(self)}\nRaise time_limit_s, or find out what never ends."
            )
        if at_s > self.now_s:
            self.now_s = at_s
            self._idle_turns = 0
        return True

    def _creep(self) -> None:
        self.now_s += min(_CREEP_S * (self._idle_turns // IDLE_TURNS_FREE), 1e-3)
        if self._idle_turns > IDLE_TURNS_MAX:
            self._idle_turns = 0
            raise SimLivelock(
                f"the loop turned {IDLE_TURNS_MAX} times and nobody waited for anything; these tasks are unfinished:\n"
                f"{describe_waiting(self)}\nPoll with a real pause (asyncio.sleep(0.1)) or wait for an event."
            )

    def close(self) -> None:
        """Drop everything that is still scheduled."""
        if not self._closed:
            super().close()
            self._heap.clear()
            self._tokens.clear()
            self.graveyard.clear()

    def __del__(self) -> None:
        """Nothing to warn of when it was never used: it holds nothing of the operating system."""

    def _process_events(self, event_list: object) -> None:
        """Nothing to do: there is no selector."""

    def _write_to_self(self) -> None:
        """Nothing to wake: there is no selector."""

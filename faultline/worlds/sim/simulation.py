"""One simulated run: virtual time, seeded entropy, an in-memory network, and everything put back afterwards.

``run`` is the whole life of it. ``enter`` and ``exit`` are for hosts that drive the loop themselves (a pytest
fixture): between the two, this thread's time and entropy are the simulation's.

Importing this changes nothing in the process. A run puts the replacements of :mod:`clock` and :mod:`entropy` in place
and takes them out again; what stays after the first run (an audit hook, a watch on new PRNGs) does nothing outside.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio import tasks
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from faultline.errors import HarnessError, SimError, SimEscape
from faultline.worlds.sim import active, adapters, clock, entropy, guard, handles
from faultline.worlds.sim.crash import Crashes, How
from faultline.worlds.sim.frames import calling_line
from faultline.worlds.sim.loop import MONOTONIC_START_S, SimLoop
from faultline.worlds.sim.network import Decide, Network
from faultline.worlds.sim.patches import Patches
from faultline.worlds.sim.tls import Mode
from faultline.worlds.sim.trace import Trace, TraceEvent
from faultline.worlds.watchdog import Watchdog

T = TypeVar("T")
TEARDOWN_S: Final = 60.0
INTERRUPTIONS_MAX: Final = 100
"""How often a teardown goes on after a KeyboardInterrupt or a SystemExit."""
_made: Patches | None = None


@dataclass(frozen=True, slots=True)
class BlockingSleep:
    """``time.sleep`` on the event loop: at ``t_s`` the whole client stood still for ``seconds``."""

    t_s: float
    seconds: float
    where: str


def _patches() -> Patches:
    """What is put in place for each run. Made on the first one, so that importing this module changes nothing."""
    global _made
    if _made is None:
        _made = Patches()
        clock.add_to(_made)
        entropy.add_to(_made)
        entropy.watch_instances()
        guard.add_to(_made)
        handles.add_to(_made)
        guard.watch()
    adapters.add_to(_made)
    return _made


class Simulation:
    """One run, used once. ``time_limit_s`` bounds virtual time, ``wall_limit_s`` the real time of one callback.

    ``decide`` answers at the points of the stream plane; ``trace_keep`` keeps that many of the last trace events.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        time_limit_s: float = 86_400.0 * 30,
        wall_limit_s: float = 60.0,
        start_wall_s: float = 1_767_225_600.0,
        latency_s: float = 0.0005,
        jitter_s: float = 0.0,
        decide: Decide | None = None,
        tls: Mode = "elided",
        trace_keep: int = 0,
    ) -> None:
        self.seed = seed
        self.start_wall_s = start_wall_s
        self.wall_offset_s = 0.0
        """How far the wall clock of the code under test is ahead of the true one."""
        self.entropy = entropy.Entropy(entropy.seed_for(seed, "entropy"))
        self.instance_seed = entropy.seed_for(seed, "instances")
        self.escapes: list[SimEscape] = []
        self.blocking_sleeps: list[BlockingSleep] = []
        self.stuck_tasks: list[str] = []
        self.loop = SimLoop(self, time_limit_s)
        self._trace = Trace(trace_keep)
        self.network = Network(
            self.loop, self._trace, seed, latency_s=latency_s, jitter_s=jitter_s, decide=decide, tls=tls
        )
        self.loop.network = self.network
        self._crashes = Crashes(self.loop, self.network)
        self._watchdog = Watchdog(self.loop, wall_limit_s)
        self._undo = ExitStack()
        self._state: str = "new"

    # The run

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run ``main()`` to its end in virtual time, tear down, and put everything back, whatever happened.

        Raises what ``main`` raised; SimDeadlock, SimLivelock, SimTimeLimit or SimHang when it could not end;
        HarnessError when the simulation was used before or another one is running.
        """

        async def body() -> T:
            return await main()

        with self.active():
            result = self.loop.run_until_complete(body())
            self.loop.raise_if_failed()
            return result

    @contextmanager
    def active(self) -> Iterator[SimLoop]:
        """:meth:`enter` and :meth:`exit` around a block that drives :attr:`loop`."""
        self.enter()
        try:
            yield self.loop
        finally:
            self.exit()

    def enter(self) -> None:
        """Make this thread's time and entropy the simulation's. Raises HarnessError when that cannot be."""
        if active.STATE.sim is not None:
            raise HarnessError("a simulation is already running in this process: simulations cannot be nested")
        if self._state != "new":
            raise HarnessError("a Simulation is used once; make a new one (the same seed gives the same run)")
        clock.refuse_other_time_patches()
        patches = _patches()
        self._state = "active"
        with ExitStack() as undo:
            undo.callback(entropy.restore, entropy.reseed(self.instance_seed))
            if gc.isenabled():
                gc.disable()  # when it runs depends on the whole process; the loop collects by its own count
                undo.callback(gc.enable)
            undo.callback(patches.take_out)
            patches.put_in_place()
            active.activate(self)
            undo.callback(active.deactivate)
            self._watchdog.start()
            undo.callback(self._watchdog.stop)
            self._undo = undo.pop_all()

    def exit(self) -> None:
        """Tear down what still runs, close the loop, and put this thread's time and entropy back."""
        if self._state != "active":
            return
        self._state = "over"
        with self._undo:
            self._trace.seal()
            self._tear_down()

    def _tear_down(self) -> None:
        loop = self.loop
        if loop.is_closed():
            return
        loop.time_limit_s = float("inf")
        self.network.decide = None
        try:
            for _ in range(INTERRUPTIONS_MAX):
                # A task that ended in one of these ends the loop, and so does everybody who waited for it, in turn.
                with suppress(KeyboardInterrupt, SystemExit):
                    loop.run_until_complete(self._end_everything())
                    break
            loop.run_until_complete(loop.shutdown_asyncgens())
        except SimError as error:  # a task that will not be cancelled must not hide the result of the run
            self.stuck_tasks.append(str(error))
        finally:
            loop.close()

    async def _end_everything(self) -> None:
        if self.loop.fenced:
            self.revive_for_teardown()
        this = asyncio.current_task()
        for _ in range(3):  # a task that ends may start another one
            left = sorted((task for task in asyncio.all_tasks() if task is not this), key=hash)
            if not left:
                return
            for task in left:
                # By the loop: what the revival has put there first must run first.
                self.loop.call_soon(task.cancel)
            await tasks.wait(left, timeout=TEARDOWN_S)
        for task in asyncio.all_tasks():
            if task is not this and not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                self.stuck_tasks.append(repr(task))

    # What a run shows

    def now_s(self) -> float:
        """Virtual seconds since the run began."""
        return self.loop.now_s

    def trace_digest(self) -> str:
        """Hash of virtual time, connection, kind and bytes of every arrival."""
        return self._trace.digest()

    def trace_events(self) -> list[TraceEvent]:
        """The last events, when ``trace_keep`` asked for them."""
        return list(self._trace.events or ())

    # Crashes

    def crash(self, incarnation: int, how: How = "fin") -> None:
        """End a client's process without another instruction; see :mod:`faultline.worlds.sim.crash`."""
        self._crashes.crash(incarnation, how)

    def is_fenced(self, incarnation: int) -> bool:
        """Whether that incarnation has crashed."""
        return self._crashes.is_fenced(incarnation)

    def revive_for_teardown(self) -> list[asyncio.Task[Any]]:
        """After judgement: let the dead end. Returns their unfinished tasks; the trace is sealed from here on."""
        self._trace.seal()
        self.network.decide = None
        if self._crashes.any:
            # The dead find their world gone and say so in every way; nobody is to hear it.
            self.loop.set_exception_handler(lambda loop, context: None)
        return self._crashes.revive()

    # What the dispatchers ask (see active.Running)

    def read_wall_s(self) -> float:
        """The wall clock, as the code under test reads it."""
        return self.start_wall_s + self.wall_offset_s + self.loop.read_clock_s()

    def read_monotonic_s(self) -> float:
        """The monotonic clock, as the code under test reads it."""
        return MONOTONIC_START_S + self.loop.read_clock_s()

    def blocking_sleep(self, seconds: float) -> None:
        """``time.sleep``: the loop stands still while virtual time goes on. In an executor only its result is late."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        loop = self.loop
        if loop.in_executor:
            loop.executor_offset_s += seconds
        elif seconds and not loop.is_in_the_void():
            self.blocking_sleeps.append(BlockingSleep(loop.now_s, seconds, calling_line()))
            loop.now_s += seconds

    def escaped(self, what: str, instead: str) -> SimEscape:
        """Note an escape and give the error to raise."""
        escape = SimEscape(f"{what} inside a simulation, at {calling_line()}. What to do: {instead}.")
        self.escapes.append(escape)
        return escape

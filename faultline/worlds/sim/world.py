"""The simulated world as a run sees it: virtual time, an in-memory network, stores in a private folder.

Three hosts: the venue's REST (``rest``) and stream (``stream``) and the client's. The simulation proper
(:mod:`~faultline.worlds.sim.simulation`) knows nothing of venues or targets; this is where the two meet.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context as VariableContext
from contextvars import copy_context
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

from faultline.faults.actions import Action, Cut
from faultline.faults.chance import Chance
from faultline.faults.injector import Injector
from faultline.faults.points import Moment, Plane
from faultline.venues.base import Context, Venue
from faultline.venues.hub import stream_front
from faultline.venues.interceptor import Interceptor
from faultline.venues.raw import RawFront
from faultline.venues.rest import AiohttpFront
from faultline.venues.stream import StreamFront
from faultline.worlds.base import Addresses, Complaint, Gauges
from faultline.worlds.context import INCARNATION
from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.simulation import Simulation
from faultline.worlds.store import INTENT, StoreGuard, memory_folder
from faultline.worlds.tasks import died_of, owner_of, tells_its_owner
from faultline.worlds.waiting import place

T = TypeVar("T")
FRONTS: Final[Mapping[str, type[RawFront] | type[AiohttpFront]]] = MappingProxyType(
    {"raw": RawFront, "aiohttp": AiohttpFront}
)
"""HTTP servers that can stand in front of a venue."""


class SimContext:
    """The venue's view of the simulated world. Ids count per kind; chance is keyed by the root seed."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._simulation = simulation
        self._seed = seed
        self._ids: dict[str, int] = {}

    def now_s(self) -> float:
        """Seconds since the run began."""
        return self._simulation.now_s()

    def wall_s(self) -> float:
        """Virtual wall clock, seconds since 1970."""
        return self._simulation.start_wall_s + self._simulation.now_s()

    def new_id(self, kind: str) -> str:
        """``kind`` with the next number."""
        count = self._ids[kind] = self._ids.get(kind, 0) + 1
        return f"{kind}{count}"

    def chance(self, *key: object) -> Chance:
        """Draws for one purpose."""
        return Chance(self._seed, "venue", *key)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` after ``delay_s``."""
        self._simulation.loop.call_later(delay_s, callback)


class SimWorld:
    """One simulated run. ``front`` picks the HTTP server in front of the venue: ``raw`` (fast) or ``aiohttp``."""

    name = "sim"
    repeatable = True

    def __init__(self, seed: int, *, time_limit_s: float, front: Literal["raw", "aiohttp"] = "raw") -> None:
        self._seed = seed
        self._simulation = Simulation(seed=seed, time_limit_s=time_limit_s)
        self._front_class = FRONTS[front]
        self._fronts: list[RawFront | AiohttpFront | StreamFront] = []
        self._contexts: dict[int, VariableContext] = {}
        self._client_ip = self._simulation.network.add_host("client.test")
        self._outside = copy_context()
        self._store = StoreGuard(self._crashed_here, self._as_the_world, self._simulation.escaped, self._stand_still)
        self._folder: Path | None = None
        self._generation = 0
        self._complaints: list[Complaint] = []
        self._told = (0, 0)

    def run(self, main: Callable[[], Awaitable[T]], ended: Callable[[], None] = lambda: None) -> T:
        """Run ``main`` in virtual time; afterwards nothing of the run is left, in memory or on disk."""

        async def body() -> T:
            asyncio.get_running_loop().set_exception_handler(self._unhandled)
            try:
                with self._store.installed():
                    return await main()
            finally:
                ended()
                await self._tear_down()

        try:
            with self._simulation.active() as loop:
                try:
                    return loop.run_until_complete(body())
                finally:
                    # When the loop itself gave up, the body has not ended, and will only be cancelled.
                    ended()
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _as_the_world(self, call: Callable[[], T]) -> T:
        """Call ``call`` outside of every client process, whoever is running.

        Faults are asked for inside the client's own step, at its writes and its store. What follows from them (the
        next boot, a timer of the clock) must not belong to a process that may be dead by then. A copy each time,
        because a context cannot be entered twice and one fault can lead to another.
        """
        return self._outside.copy().run(call)

    async def _tear_down(self) -> None:
        self._simulation.loop.set_exception_handler(lambda loop, context: None)
        self._simulation.revive_for_teardown()
        for front in self._fronts:
            await front.stop()

    def now_s(self) -> float:
        """Virtual seconds since the run began."""
        return self._simulation.now_s()

    def context(self) -> Context:
        """What the venue may know of this world."""
        return SimContext(self._simulation, self._seed)

    def arm(self, injector: Injector, upon: Callable[[Action], object]) -> None:
        """Ask ``injector`` for every segment and connection, and at every store statement."""

        def decide(moment: Moment) -> tuple[Action, ...]:
            strikes = self._as_the_world(lambda: injector.strike(moment))
            for receipt, _ in strikes:
                # Bytes have no effect of their own; what they carried is judged on the message plane.
                injector.resolve(receipt, "unknown")
            return tuple(action for _, action in strikes)

        # Asking at every segment costs more than carrying it, so only where anything can come of it.
        self._simulation.network.decide = decide if injector.concerns(Plane.STREAM) else None
        self._store.arm(injector, upon)

    async def listen(self, venue: Venue, interceptor: Interceptor) -> Addresses:
        """REST at api.venue.test, the stream at stream.venue.test."""
        network = self._simulation.network
        network.add_host("api.venue.test", label="rest")
        network.add_host("stream.venue.test", label="stream")
        rest = self._front_class(venue, interceptor)
        stream = stream_front(venue, interceptor)
        self._fronts += [rest, stream]
        return Addresses(await rest.start("api.venue.test", 80), await stream.start("stream.venue.test", 80))

    def idle(self) -> bool:
        """No request is being answered."""
        return all(front.in_flight == 0 for front in self._fronts)

    def cut(self, on: str, cut: Cut) -> int:
        """End the open connections to the hosts that ``on`` names."""
        ended = 0
        for connection in self._simulation.network.connections():
            if fnmatchcase(connection.label, on):
                connection.cut(cut.how)
                ended += 1
        return ended

    def step_clock(self, by_s: float) -> bool:
        """The client's wall clock jumps; the venue's does not."""
        self._simulation.wall_offset_s += by_s
        return True

    # The client's processes

    def store_path(self) -> Path:
        """The state file of the client in its present generation."""
        if self._folder is None:
            self._folder = memory_folder()
            self._new_store()
        return self._folder / str(self._generation) / "state.db"

    def _new_store(self) -> None:
        self._generation += 1
        self.store_path().parent.mkdir()

    def _stand_still(self, seconds: float) -> None:
        """The client waits for its store, and everything in it with it. Its peers do not."""
        sleeps = self._simulation.blocking_sleeps
        before = len(sleeps)
        self._simulation.blocking_sleep(seconds)
        del sleeps[before:]  # a fault made it wait, not its own code

    def _context_of(self, incarnation: int) -> VariableContext:
        context = self._contexts.get(incarnation)
        if context is None:
            context = self._contexts[incarnation] = copy_context()
            context.run(INCARNATION.set, incarnation)
            context.run(HOST.set, self._client_ip)
        return context

    def spawn(self, work: Coroutine[Any, Any, T], incarnation: int, intent: str = "") -> asyncio.Task[T]:
        """Start ``work`` in the client process ``incarnation``."""
        context = self._context_of(incarnation).copy()
        context.run(INTENT.set, intent)
        return self._simulation.loop.create_task(work, context=context)

    def enter(self, incarnation: int, call: Callable[[], T]) -> T:
        """Call ``call`` in the client process ``incarnation``."""
        return self._context_of(incarnation).copy().run(call)

    def crash(self, incarnation: int, how: Literal["fin", "silence"]) -> None:
        """Fence the process and keep a copy of its store as the disk had it."""
        if self._simulation.is_fenced(incarnation):
            return
        before = self.store_path().parent
        self._new_store()
        shutil.copytree(before, self.store_path().parent, dirs_exist_ok=True)
        self._simulation.crash(incarnation, how)

    def crashed(self, incarnation: int) -> bool:
        """Whether that process is fenced."""
        return self._simulation.is_fenced(incarnation)

    def _crashed_here(self) -> bool:
        incarnation = INCARNATION.get()
        return incarnation is not None and self._simulation.is_fenced(incarnation)

    def left_running(self, incarnation: int) -> list[str]:
        """Its unfinished tasks, each by the place where it waits."""
        return [place(task) for task in self._simulation.loop.tasks_of(incarnation) if not task.done()]

    def gauges(self, incarnation: int) -> Gauges | None:
        """What that client process holds on to now."""
        loop, network = self._simulation.loop, self._simulation.network
        tasks = sum(not task.done() for task in loop.tasks_of(incarnation))
        connections = sum(open_.client.context.get(INCARNATION) == incarnation for open_ in network.connections())
        return Gauges(tasks, loop.timers_of(incarnation), connections)

    def died(self, incarnation: int) -> list[str]:
        """Its tasks that ended in an exception at which nobody has looked yet; each is told once."""
        return died_of(incarnation, self._simulation.loop)

    # What it saw

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        what = context.get("message", "").removeprefix("Sim")  # asyncio names the class of a task
        owner = owner_of(context)
        if owner is None and (error is None or not tells_its_owner(context)):
            return  # something that was forgotten, and nobody knows by whom
        detail = f"{what}: {type(error).__name__}: {error}" if error is not None else str(what)
        self._complaints.append(Complaint("unhandled", detail, owner or 0, error))

    def complaints(self) -> list[Complaint]:
        """Unhandled exceptions, blocking calls and escapes since the last call."""
        simulation = self._simulation
        escapes, sleeps = self._told
        found, self._complaints = self._complaints, []
        found += [Complaint("escape", str(escape)) for escape in simulation.escapes[escapes:]]
        found += [
            Complaint("blocking", f"time.sleep({sleep.seconds:g}) at {Path(sleep.where).name}")
            for sleep in simulation.blocking_sleeps[sleeps:]
        ]
        self._told = (len(simulation.escapes), len(simulation.blocking_sleeps))
        return found

    def digest(self) -> str:
        """Hash of virtual time, link and bytes of everything on the wire."""
        return self._simulation.trace_digest()

"""The live world: the simulated venue on real sockets, the real clock, and a fault proxy before each front.

::

    client class -- 127.0.0.1 --> fault proxy --> front --> interceptor --> venue      (all in this process)

Requests, messages, the venue's decisions and the client's store are struck by the very code that strikes them in the
simulation; bytes and connections by the embedded proxy. What differs is said while planning (:func:`refuses`):

* a Python class shares the process of the runner, so it cannot die alone; a command can (``process.py``);
* the client connects to an address, so no name is ever looked up;
* a proxy has accepted a connection before it can refuse or hold it, so a refused connection looks reset here.

Runs are not repeatable: the kernel, the clock and the machine's load take part. The seed still decides where faults
strike. Everything that a run opened is closed at its end, whatever happened, within :data:`TEARDOWN_S`.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack, suppress
from contextvars import Context as VariableContext
from contextvars import copy_context
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from faultline.errors import HarnessError, SimHang, UnsupportedFault
from faultline.faults.actions import Action, Cut
from faultline.faults.base import Fault
from faultline.faults.injector import Injector
from faultline.faults.points import Moment, Plane
from faultline.faults.target import ClockStep, Crash, Pause
from faultline.venues.base import Context, Venue
from faultline.venues.hub import stream_front
from faultline.venues.interceptor import Interceptor
from faultline.venues.raw import RawFront
from faultline.venues.stream import StreamFront
from faultline.worlds.base import Addresses, Complaint, Gauges
from faultline.worlds.context import INCARNATION
from faultline.worlds.live.context import LiveContext
from faultline.worlds.live.front import LiveFront, Sent
from faultline.worlds.live.process import PROCESSES, Processes
from faultline.worlds.live.proxy import FaultProxy
from faultline.worlds.live.pulse import Pulse
from faultline.worlds.store import INTENT, StoreGuard, memory_folder
from faultline.worlds.tasks import OwnedTask, died_of, owned_task, owner_of, tells_its_owner
from faultline.worlds.waiting import place
from faultline.worlds.watchdog import Watchdog

T = TypeVar("T")
LOOPBACK: Final = "127.0.0.1"

TEARDOWN_S: Final = 5.0
"""How long tasks may take to end once they were cancelled; then they are abandoned."""

INTERRUPTIONS_MAX: Final = 100
"""How often the teardown begins again after a KeyboardInterrupt or a SystemExit."""

HANG_S: Final = 60.0
"""One step of the client that takes longer ends the run: everything here shares its thread."""


def refuses(fault: Fault, *, as_command: bool = False) -> str:
    """Why the live world cannot carry ``fault``, or the empty string. ``as_command``: the client is a process."""
    if isinstance(fault, Crash | Pause) and not as_command:
        what = "kill" if isinstance(fault, Crash) else "stop"
        return (
            f"the live world cannot {what} a Python class alone, because it shares the process of the runner; "
            "run it as a command (docs/any-language.md)"
        )
    if isinstance(fault, ClockStep):
        return "the clock here is that of the whole machine; only the simulated world can set it"
    if as_command and (fault.kind == "store_error" or fault.on == "store"):
        return "the store of a command is in another process, where no statement can be struck"
    if as_command and isinstance(fault, Crash) and fault.how == "silence":
        return "the system of this machine closes the connections of a killed process; how: silence works in sim"
    if fault.phases == {"resolve"}:
        return f"the live world looks no name up: the client connects to {LOOPBACK}"
    return ""


class LiveWorld:
    """One live run. ``time_limit_s`` and every other time are real seconds."""

    name = "live"
    repeatable = False

    def __init__(self, seed: int, *, time_limit_s: float) -> None:
        self._seed = seed
        self._time_limit_s = time_limit_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began_s = 0.0
        self._main: asyncio.Task[Any] | None = None
        self._broke: BaseException | None = None
        self._fronts: list[RawFront | StreamFront] = []
        self._proxies: list[FaultProxy] = []
        self._decide: Callable[[Moment], tuple[Action, ...]] | None = None
        self._sent: dict[tuple[str, int], Sent] = {}
        self._contexts: dict[int, VariableContext] = {}
        self._outside = copy_context()
        self._gone: set[int] = set()
        self._processes = Processes(seed, self._outside)
        self._store = StoreGuard(self._gone_here, self._as_the_world, _no_class_of_its_own, time.sleep)
        self._undo = ExitStack()
        self._folder: Path | None = None
        self._generation = 0
        self._complaints: list[Complaint] = []

    # The run

    def run(self, main: Callable[[], Awaitable[T]], ended: Callable[[], None] = lambda: None) -> T:
        """Run ``main`` in real time; afterwards no port, task or file of the run is left.

        Raises HarnessError when the time limit is over, SimHang when one step of the client never ends.
        """
        if self._loop is not None:
            raise HarnessError("a world runs once; make another one")
        loop = self._loop = asyncio.new_event_loop()
        loop.set_task_factory(owned_task)
        loop.set_exception_handler(self._unhandled)
        pulse = Pulse(loop, self._fail)
        watchdog = Watchdog(pulse, HANG_S)
        self._began_s = loop.time()
        try:
            pulse.start()
            watchdog.start()
            try:
                return loop.run_until_complete(self._until_the_limit(main))
            finally:
                watchdog.stop()
                ended()
        finally:
            self._undo.close()
            self._close(loop)

    async def _until_the_limit(self, main: Callable[[], Awaitable[T]]) -> T:
        self._main = asyncio.current_task()
        limit = asyncio.timeout(self._time_limit_s)
        try:
            async with limit:
                return await main()
        except TimeoutError:
            if not limit.expired():
                raise
            raise HarnessError(
                f"the run passed its limit of {self._time_limit_s:g} s of real time; raise time_limit in the scenario "
                "if it needs longer"
            ) from None
        except asyncio.CancelledError:
            if self._broke is not None:
                raise self._broke from None
            raise

    def _fail(self, error: BaseException) -> None:
        """End the run with ``error``."""
        self._broke = self._broke or error
        if self._main is not None:
            self._main.cancel()

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(lambda loop, context: None)
        teardown: asyncio.Task[None] | None = None
        try:
            for _ in range(INTERRUPTIONS_MAX):
                # A task that ended in one of these ends the loop, and so does everybody who waited for it. The
                # teardown that was interrupted goes on: two of them would cancel each other.
                with suppress(KeyboardInterrupt, SystemExit):
                    if teardown is None or teardown.done():
                        teardown = loop.create_task(self._tear_down())
                    loop.run_until_complete(teardown)
                    break
        finally:
            loop.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            # What the client did not close ends here, and not at some later time in another run.
            gc.collect()

    async def _tear_down(self) -> None:
        await self._processes.close()
        for stop in (*(front.stop for front in self._fronts), *(proxy.stop for proxy in self._proxies)):
            with suppress(TimeoutError):
                await asyncio.wait_for(stop(), TEARDOWN_S)
        for proxy in self._proxies:
            proxy.cut("rst")
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            _, abandoned = await asyncio.wait(rest, timeout=TEARDOWN_S)
            for task in abandoned:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
        await asyncio.get_running_loop().shutdown_asyncgens()

    def _as_the_world(self, call: Callable[[], T]) -> T:
        """Call ``call`` outside of every client process: what follows from a fault is none of the client's doing."""
        return self._outside.copy().run(call)

    def now_s(self) -> float:
        """Real seconds since the run began."""
        return 0.0 if self._loop is None else time.monotonic() - self._began_s

    def context(self) -> Context:
        """What the venue may know of this world."""
        return LiveContext(self.now_s, self._seed)

    # The wire

    def arm(self, injector: Injector, upon: Callable[[Action], object]) -> None:
        """Ask ``injector`` for every chunk and connection, and at every store statement, where anything can strike."""

        def decide(moment: Moment) -> tuple[Action, ...]:
            self._note_sent(moment)
            strikes = self._as_the_world(lambda: injector.strike(moment))
            for receipt, _ in strikes:
                # Bytes have no effect of their own; what they carried is judged on the message plane.
                injector.resolve(receipt, "unknown")
            return tuple(action for _, action in strikes)

        self._decide = decide if injector.concerns(Plane.STREAM) else None
        if injector.concerns(Plane.TARGET):
            self._store.arm(injector, upon)
            self._undo.enter_context(self._store.installed())

    async def listen(self, venue: Venue, interceptor: Interceptor) -> Addresses:
        """Both fronts, each behind a proxy, on free ports of 127.0.0.1."""
        rest, stream = LiveFront(venue, interceptor, self._sent_on), stream_front(venue, interceptor)
        self._fronts += [rest, stream]
        return Addresses(
            f"http://{await self._behind_a_proxy('rest', await rest.start(LOOPBACK))}",
            f"ws://{await self._behind_a_proxy('stream', await stream.start(LOOPBACK))}",
        )

    async def _behind_a_proxy(self, label: str, url: str) -> str:
        """Where the client reaches the front at ``url``, as ``host:port``."""
        upstream = url.rpartition("/")[2]
        proxy = FaultProxy(upstream, name=label, seed=self._seed, decide=self._decide, epoch_s=self._began_s)
        self._proxies.append(proxy)
        await proxy.start()
        return proxy.listen

    def _note_sent(self, moment: Moment) -> None:
        """Remember when a chunk left the client, for the front that it is on its way to."""
        if moment.point.phase == "up" and moment.size_bytes:
            sent = self._sent.setdefault((moment.point.endpoint, moment.connection), Sent())
            sent.note(moment.point.nth, self.now_s())

    def _sent_on(self, port: int) -> Sent | None:
        """The times of the proxied connection that comes from ``port``; None where no fault can delay it."""
        if self._decide is None:
            return None
        for proxy in self._proxies:
            for connection in proxy.connections:
                transport = connection.server.transport
                if transport is not None and transport.get_extra_info("sockname")[1] == port:
                    return self._sent.setdefault((proxy.name, connection.ordinal), Sent())
        return None

    def idle(self) -> bool:
        """No request is being answered."""
        return all(front.in_flight == 0 for front in self._fronts)

    def cut(self, on: str, cut: Cut) -> int:
        """End the open connections to the fronts that ``on`` names."""
        return sum(proxy.cut(cut.how) for proxy in self._proxies if fnmatchcase(proxy.name, on))

    def step_clock(self, by_s: float) -> bool:
        """False: the clock here is that of the whole machine."""
        return False

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

    def _context_of(self, incarnation: int) -> VariableContext:
        context = self._contexts.get(incarnation)
        if context is None:
            context = self._contexts[incarnation] = self._outside.copy()
            context.run(INCARNATION.set, incarnation)
            context.run(PROCESSES.set, self._processes)
        return context

    def spawn(self, work: Coroutine[Any, Any, T], incarnation: int, intent: str = "") -> asyncio.Task[T]:
        """Start ``work`` in the client process ``incarnation``."""
        context = self._context_of(incarnation).copy()
        context.run(INTENT.set, intent)
        return asyncio.get_running_loop().create_task(work, context=context)

    def enter(self, incarnation: int, call: Callable[[], T]) -> T:
        """Call ``call`` in the client process ``incarnation``."""
        return self._context_of(incarnation).copy().run(call)

    def crash(self, incarnation: int, how: Literal["fin", "silence"]) -> None:
        """End what is left of the process.

        A command is killed, and its successor finds the store as it left it. The tasks of a class are cancelled, which
        a real process would not see; its successor gets a copy of its store, so that what they still write reaches
        nobody.
        """
        if incarnation in self._gone:
            return
        self._gone.add(incarnation)
        if not self._processes.kill(incarnation):
            before = self.store_path().parent
            self._new_store()
            shutil.copytree(before, self.store_path().parent, dirs_exist_ok=True)
        for task in self._unfinished(incarnation):
            task.cancel()

    def crashed(self, incarnation: int) -> bool:
        """Whether that process is gone."""
        return incarnation in self._gone

    def _gone_here(self) -> bool:
        return INCARNATION.get() in self._gone

    def _unfinished(self, incarnation: int) -> list[OwnedTask]:
        return [
            task for task in asyncio.all_tasks(self._loop)
            if isinstance(task, OwnedTask) and task.incarnation == incarnation
        ]  # fmt: skip

    def left_running(self, incarnation: int) -> list[str]:
        """Its unfinished tasks, each by the place where it waits; of a command, the processes that it left behind."""
        return sorted([place(task) for task in self._unfinished(incarnation)] + self._processes.left(incarnation))

    def gauges(self, incarnation: int) -> Gauges | None:
        """What a class holds on to now; None for a command, which is another process."""
        if self._processes.has(incarnation):
            return None
        timers = sum(
            not handle._cancelled and handle._context.get(INCARNATION) == incarnation
            for handle in getattr(self._loop, "_scheduled", ())
        )
        connections = sum(len(proxy.connections) for proxy in self._proxies)
        return Gauges(len(self._unfinished(incarnation)), timers, connections)

    def died(self, incarnation: int) -> list[str]:
        """Its tasks that ended in an exception at which nobody has looked yet; each is told once."""
        return [] if self._loop is None else died_of(incarnation, self._loop)

    # What it saw

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        what = context.get("message", "").replace(OwnedTask.__name__, "Task")  # asyncio names the class of a task
        if isinstance(error, SimHang):
            return  # it ends the run by itself
        owner = owner_of(context)
        if owner is None and (error is None or not tells_its_owner(context)):
            return  # something that was forgotten, and nobody knows by whom
        detail = f"{what}: {type(error).__name__}: {error}" if error is not None else str(what)
        self._complaints.append(Complaint("unhandled", detail, owner or 0, error))

    def complaints(self) -> list[Complaint]:
        """Unhandled exceptions since the last call."""
        found, self._complaints = self._complaints, []
        return found

    def digest(self) -> str:
        """Nothing: what was on the wire does not repeat."""
        return ""


def _no_class_of_its_own(what: str, instead: str) -> UnsupportedFault:
    return UnsupportedFault(f"{what} cannot be struck by faults of the store; use the default classes of sqlite3")

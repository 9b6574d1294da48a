"""Drives the client: boots and crashes its processes, asks it for every intent, and reads what it believes.

The driver is the caller and the supervisor that the client has in real life. After a crash it asks again, under the
same id, for everything that has no answer yet; the answer to a question put to a dead process is never looked at.
A process that cannot start is started again, as a supervisor would, once faults have struck; before that it is simply
broken, and the run ends.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, cast

import msgspec

from faultline.errors import FaultlineError, HarnessError, ProcessEnded, SimError, TargetError
from faultline.faults.actions import Crash, Pause, Restart
from faultline.history.event import Answer, Boot, Crashed, Gauge, Intent, Outcome, Stuck, Trouble
from faultline.shared import Shared
from faultline.targets import OUTCOMES, BeliefReader, OrdersTarget, ProcessTarget, Surroundings, TargetRef
from faultline.worlds.base import Addresses

SAMPLE_S: Final = 1.0
"""How often beliefs are read while nothing else asks for it."""

STOP_MAX_S: Final = 10.0
"""An orderly stop that takes longer is stuck."""

ENDING_S: Final = 0.25
"""How long after its stop a client's tasks may take to end: what was cancelled needs a turn of the loop."""

START_AGAIN_S: Final = 1.0
"""How long after a failed start the next is tried."""


class Driver:
    """The client's processes, one after the other, in the world of ``shared``.

    ``failure`` is the error that ended the run early, if any: a client that does not start, or whose snapshot
    cannot be read.
    """

    def __init__(
        self,
        target: TargetRef,
        addresses: Addresses,
        credentials: tuple[str, str],
        shared: Shared,
        *,
        gauged: bool = False,
    ) -> None:
        self._gauged = gauged
        self._target = target
        self._new_client = target.load()
        self._addresses = addresses
        self._credentials = credentials
        self._shared = shared
        self._world = shared.world
        self._history = shared.history
        self._reader = BeliefReader()
        self._client: OrdersTarget | None = None
        self._incarnation = 0
        self._up = asyncio.Event()
        self._down = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: dict[str, asyncio.Task[None]] = {}
        self.failure: FaultlineError | None = None

    # Processes

    def boot(self) -> None:
        """Start the next process from the store. Intents wait until it is up."""
        self._incarnation += 1
        self._down = asyncio.get_running_loop().create_future()
        self._history.append(Boot(self._world.now_s(), self._incarnation))
        self._shared.injector.mark("boot")
        self._go(self._start(self._incarnation))

    def _go(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a part of the driver beside the others. An exception in it is a bug of ours and ends the run."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._gone)
        return task

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            broke = HarnessError(f"the driver broke: {self._shared.plain(error)}")
            broke.__cause__ = error
            self._fail(broke)

    async def _start(self, incarnation: int) -> None:
        try:
            # The store may kill the process in its constructor; what that returns then is a dead client.
            client = self._world.enter(incarnation, self._make)
            if not self._is_current(incarnation):
                return
            self._client = client
            if self._target.command is not None:
                cast("ProcessTarget", client).on_end(partial(self._ended_by_itself, incarnation))
            if await self._within(_calling(client, "start"), incarnation) is None:
                return
        except asyncio.CancelledError as error:
            _reraise_own_cancellation(error)
            self._did_not_start(error)
        except Exception as error:
            self._did_not_start(error)
        else:
            self._up.set()
            self.observe()

    def _unable(self, what: str, error: BaseException) -> TargetError:
        unable = TargetError(f"{self._target.spec} does not start: {what}")
        unable.__cause__ = error
        return unable

    def _make(self) -> OrdersTarget:
        client_id, client_secret = self._credentials
        store_path = str(self._world.store_path())
        self._shared.aliases.name("store", store_path)
        surroundings = Surroundings(
            rest_url=self._addresses.rest_url,
            stream_url=self._addresses.stream_url,
            store_path=store_path,
            client_id=client_id,
            client_secret=client_secret,
        )
        return self._new_client(**{name: getattr(surroundings, name) for name in surroundings.__slots__})

    def _did_not_start(self, error: BaseException) -> None:
        if self._down.done():
            return  # it was killed in its constructor
        what = self._shared.plain(error)
        if isinstance(error, SimError) or self._shared.injector.struck_last_t is None:
            self._fail(error if isinstance(error, SimError) else self._unable(what, error))
            return
        self._boot_again(f"start(): {what}")

    def _boot_again(self, what: str) -> None:
        """As a supervisor would: what is left of the process ends, and a moment later the next is started."""
        self._history.append(Trouble(self._world.now_s(), "unhandled", what, self._incarnation))
        self._world.crash(self._incarnation, "fin")
        self._ended("exit")
        asyncio.get_running_loop().call_later(START_AGAIN_S, self.boot)

    def _ended_by_itself(self, incarnation: int, error: TargetError) -> None:
        """A client that is a process ended, or cannot be understood. Before any fault has struck it is broken."""
        if not self._is_current(incarnation):
            return
        what = self._shared.plain(error)
        if isinstance(error, ProcessEnded) and self._shared.injector.struck_last_t is not None:
            self._boot_again(what)
            return
        broken = TargetError(f"{self._target.spec}: {what}")
        broken.__cause__ = error
        self._fail(broken)

    async def _within(self, work: Coroutine[Any, Any, Any], incarnation: int, intent: str = "") -> tuple[Any] | None:
        """The result of ``work`` in that process, or None when the process ended first. Raises what it raised."""
        task = self._world.spawn(work, incarnation, intent)
        down = self._down
        try:
            await asyncio.wait({task, down}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        # The fence first: a dead process may still finish the step it was in.
        if not self._is_current(incarnation):
            if not self._world.crashed(incarnation):
                task.cancel()
            return None
        return (task.result(),)

    def _is_current(self, incarnation: int) -> bool:
        return incarnation == self._incarnation and not self._down.done()

    def crash(self, action: Crash) -> bool:
        """The process dies at once; the next boots ``down_s`` later. False when there is none to die."""
        if self._down.done():
            return False
        self._world.crash(self._incarnation, action.how)
        self._ended(action.how)
        self._shared.injector.mark("crash")
        asyncio.get_running_loop().call_later(action.down_s, self.boot)
        return True

    def restart(self, action: Restart) -> bool:
        """The process is stopped the orderly way; the next boots ``down_s`` later. False when there is none."""
        if self._down.done() or self._client is None:
            return False
        client, incarnation = self._client, self._incarnation
        self._ended("stop")
        self._go(self._restart(client, incarnation, action.down_s))
        return True

    def pause(self, action: Pause) -> bool:
        """The process stands still for a while. False when there is none of its own."""
        if self._down.done() or self._client is None or self._target.command is None:
            return False
        return cast("ProcessTarget", self._client).pause(action.lasts_s)

    async def _restart(self, client: OrdersTarget, incarnation: int, down_s: float) -> None:
        await self._stop(client, incarnation)
        # Whatever its stop left running ends with its process.
        self._world.crash(incarnation, "fin")
        await asyncio.sleep(down_s)
        self.boot()

    def _ended(self, how: str) -> None:
        self._up.clear()
        self._client = None
        self._history.append(Crashed(self._world.now_s(), self._incarnation, how))
        self._down.set_result(None)

    # Intents

    def ask(self, intent: Intent) -> None:
        """Put ``intent`` to the client, now, and again after every crash until it is answered."""
        intent = msgspec.structs.replace(intent, t=self._world.now_s())
        self._shared.attribution.announce(intent)
        self._history.append(intent)
        self._asked[intent.id] = self._go(self._ask(intent))

    async def _ask(self, intent: Intent) -> None:
        answer: Answer | None = None
        while answer is None:
            while not self._up.is_set():
                await self._up.wait()
            answer = await self._ask_once(intent, self._incarnation)
        del self._asked[intent.id]
        self._history.append(answer)
        self.observe()

    async def _ask_once(self, intent: Intent, incarnation: int) -> Answer | None:
        """The answer of that process, or None when it ended first."""
        assert self._client is not None
        detail = ""
        outcome: Outcome = "info"
        try:
            said = await self._within(_asking(self._client, intent), incarnation, intent.id)
            if said is None:
                return None
            outcome = _outcome(said[0])
        except asyncio.CancelledError as error:
            # The client may cancel its own work; that is an answer.
            _reraise_own_cancellation(error)
            detail = self._shared.plain(error)
        except TargetError as error:
            self._fail(error)
            detail = self._shared.plain(error)
        except Exception as error:
            detail = self._shared.plain(error)
        return Answer(self._world.now_s(), intent.id, outcome, incarnation, detail)

    @property
    def unanswered(self) -> list[str]:
        """Intents that were put to the client and have no answer yet."""
        return list(self._asked)

    @property
    def up(self) -> bool:
        """A process is running and has started."""
        return self._up.is_set()

    # Beliefs

    def observe(self, *, final: bool = False) -> None:
        """Read what the client believes now, if it is up."""
        if (ours := self._shared.hear()) is not None:
            self._fail(ours)
        if self._client is None or not self._up.is_set():
            return
        try:
            belief = self._reader.read(self._client, self._incarnation, self._world.now_s(), final=final)
        except TargetError as error:
            self._fail(TargetError(self._shared.plain(str(error))))
        else:
            if belief is not None:
                self._history.append(belief)
        if final:
            self._gauge()

    def _gauge(self) -> None:
        """Write down what the process holds on to, where an oracle asks for it."""
        if self._gauged and self._up.is_set() and (held := self._world.gauges(self._incarnation)) is not None:
            now = self._world.now_s()
            self._history.append(Gauge(now, self._incarnation, held.tasks, held.timers, held.connections))

    def keep_observing(self) -> asyncio.Task[None]:
        """Read beliefs every :data:`SAMPLE_S`, until the task is cancelled."""
        return self._go(self._sample())

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            self.observe()
            self._gauge()

    # The end

    async def finish(self) -> None:
        """Write down what is stuck, stop the client, and write down what its stop left running."""
        now = self._world.now_s()
        for intent, task in self._asked.items():
            self._history.append(Stuck(now, f"intent {intent}", "it was never answered"))
            task.cancel()
        client, incarnation = self._client, self._incarnation
        for died in self._world.died(incarnation):
            self._history.append(Trouble(now, "unhandled", self._shared.plain(died), incarnation))
        if client is not None and not self._up.is_set():
            self._history.append(Stuck(now, "start()", "it has not returned"))
        elif client is not None:
            await self._stop(client, incarnation)
        if (ours := self._shared.hear()) is not None:
            self._fail(ours)

    async def _stop(self, client: OrdersTarget, incarnation: int) -> None:
        task = self._world.spawn(_calling(client, "stop"), incarnation)
        done, _ = await asyncio.wait({task}, timeout=STOP_MAX_S)
        if not done:
            self._history.append(Stuck(self._world.now_s(), "stop()", f"it takes longer than {STOP_MAX_S:g} s"))
            task.cancel()
        elif task.cancelled() or task.exception() is not None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            assert error is not None
            what = f"stop(): {self._shared.plain(error)}"
            self._history.append(Trouble(self._world.now_s(), "unhandled", what, incarnation))
        await asyncio.sleep(ENDING_S)
        for left in self._world.left_running(incarnation):
            self._history.append(Stuck(self._world.now_s(), left, "it outlived stop()"))

    def _fail(self, error: FaultlineError) -> None:
        self.failure = self.failure or error


async def _calling(client: OrdersTarget, method: str, *args: str, **kwargs: str) -> Any:
    work = getattr(client, method)(*args, **kwargs)
    if not inspect.isawaitable(work):
        raise TargetError(f"{type(client).__name__}.{method}() is not async; write it with async def")
    try:
        return await work
    except SystemExit as left:
        # It must not reach the loop, which it would end, and everything with it.
        raise TargetError(f"{type(client).__name__}.{method}() ended the process (SystemExit: {left})") from left


def _asking(client: OrdersTarget, intent: Intent) -> Coroutine[Any, Any, Any]:
    match intent.op:
        case "place":
            return _calling(
                client,
                "place",
                intent.id,
                symbol=intent.symbol,
                side=intent.side,
                order_type=intent.order_type,
                quantity=intent.quantity,
                price=intent.price,
            )
        case "cancel":
            return _calling(client, "cancel", intent.id, of=intent.of)
        case "kill" | "flatten":
            return _calling(client, intent.op, intent.id)
        case _:
            return _calling(client, "replace", intent.id, of=intent.of, quantity=intent.quantity, price=intent.price)


def _outcome(word: object) -> Outcome:
    outcome = OUTCOMES.get(word) if isinstance(word, str) else None
    if outcome is None:
        raise TargetError(f"the target answered {word!r}; it must be one of {', '.join(OUTCOMES)}")
    return outcome


def _reraise_own_cancellation(error: asyncio.CancelledError) -> None:
    """A task of ours that waits for the client's gets the same error when it is cancelled itself."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error

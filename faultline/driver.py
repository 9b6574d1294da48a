"""Drives the client: boots and crashes its processes, asks it for every intent, and reads what it believes.

The driver is the caller that the client has in real life. After a crash it asks again, under the same id, for
everything that has no answer yet; the answer to a question put to a dead process is never looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, Final

import msgspec

from faultline.errors import FaultlineError, TargetError
from faultline.faults.actions import Crash, Restart
from faultline.faults.injector import Injector
from faultline.history import History
from faultline.history.attribution import Attribution
from faultline.history.event import Answer, Boot, Crashed, Intent, Outcome, Stuck, Trouble
from faultline.targets import OUTCOMES, BeliefReader, OrdersTarget, Surroundings, TargetRef
from faultline.worlds.base import Addresses, World

SAMPLE_S: Final = 1.0
"""How often beliefs are read while nothing else asks for it."""

STOP_MAX_S: Final = 10.0
"""An orderly stop that takes longer is stuck."""


class Driver:
    """The client's processes, one after the other, in ``world``.

    ``failure`` is the error that ended the run early, if any: a client that does not start, or whose snapshot
    cannot be read.
    """

    def __init__(
        self,
        target: TargetRef,
        addresses: Addresses,
        credentials: tuple[str, str],
        world: World,
        history: History,
        attribution: Attribution,
        injector: Injector,
    ) -> None:
        self._target = target
        self._class = target.load()
        self._addresses = addresses
        self._credentials = credentials
        self._world = world
        self._history = history
        self._attribution = attribution
        self._injector = injector
        self._reader = BeliefReader()
        # A crash can strike inside the client's running step; what follows from it must not run in its dead context.
        self._own_context = copy_context()
        self._client: OrdersTarget | None = None
        self._incarnation = 0
        self._up = asyncio.Event()
        self._down = asyncio.get_running_loop().create_future()
        self._booting: asyncio.Task[None] | None = None
        self._asked: dict[str, asyncio.Task[None]] = {}
        self.failure: FaultlineError | None = None

    # Processes

    def boot(self) -> None:
        """Start the next process from the store. Intents wait until it is up."""
        self._incarnation += 1
        self._down = asyncio.get_running_loop().create_future()
        self._history.append(Boot(self._world.now_s(), self._incarnation))
        self._injector.mark("boot")
        self._booting = asyncio.ensure_future(self._start(self._incarnation))

    async def _start(self, incarnation: int) -> None:
        try:
            client = self._client = self._world.enter(incarnation, self._make)
            if await self._within(client.start(), incarnation) is not None:
                self._up.set()
        except Exception as error:
            if self._is_current(incarnation):
                self._fail(TargetError(f"{self._target.spec} does not start: {type(error).__name__}: {error}"))

    def _make(self) -> OrdersTarget:
        client_id, client_secret = self._credentials
        surroundings = Surroundings(
            rest_url=self._addresses.rest_url,
            stream_url=self._addresses.stream_url,
            store_path=str(self._world.store_path()),
            client_id=client_id,
            client_secret=client_secret,
        )
        return self._class(**{name: getattr(surroundings, name) for name in surroundings.__slots__})

    async def _within(self, work: Coroutine[Any, Any, Any], incarnation: int, intent: str = "") -> tuple[Any] | None:
        """The result of ``work`` in that process, or None when the process ended first."""
        task = self._world.spawn(work, incarnation, intent)
        down = self._down
        await asyncio.wait({task, down}, return_when=asyncio.FIRST_COMPLETED)
        # The fence first: a dead process may still finish the step it was in.
        if not self._is_current(incarnation):
            if not self._world.crashed(incarnation):
                task.cancel()
            return None
        return (task.result(),)

    def _is_current(self, incarnation: int) -> bool:
        return incarnation == self._incarnation and not self._down.done()

    def crash(self, action: Crash) -> None:
        """The process dies at once; the next boots ``down_s`` later."""
        if self._down.done():
            return
        self._world.crash(self._incarnation, action.how)
        self._ended(action.how)
        self._injector.mark("crash")
        asyncio.get_running_loop().call_later(action.down_s, self.boot, context=self._own_context)

    def restart(self, action: Restart) -> None:
        """The process is stopped the orderly way; the next boots ``down_s`` later."""
        if self._down.done() or self._client is None:
            return
        client, incarnation = self._client, self._incarnation
        self._ended("stop")
        loop = asyncio.get_running_loop()
        self._stopping = loop.create_task(
            self._restart(client, incarnation, action.down_s), context=self._own_context
        )

    async def _restart(self, client: OrdersTarget, incarnation: int, down_s: float) -> None:
        await self._stop(client, incarnation)
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
        self._attribution.announce(intent)
        self._history.append(intent)
        self._asked[intent.id] = asyncio.ensure_future(self._ask(intent))

    async def _ask(self, intent: Intent) -> None:
        while True:
            await self._up.wait()
            client, incarnation = self._client, self._incarnation
            if client is None:
                continue
            detail = ""
            outcome: Outcome = "info"
            try:
                answer = await self._within(_call(client, intent), incarnation, intent.id)
                if answer is None:
                    continue
                outcome = _outcome(answer[0])
            except Exception as error:
                if not self._is_current(incarnation):
                    continue
                detail = f"{type(error).__name__}: {error}"
                if isinstance(error, TargetError):
                    self._fail(error)
            self._history.append(Answer(self._world.now_s(), intent.id, outcome, incarnation, detail))
            self.observe()
            return

    @property
    def unanswered(self) -> list[str]:
        """Intents that were put to the client and have no answer yet."""
        return [intent for intent, task in self._asked.items() if not task.done()]

    @property
    def up(self) -> bool:
        """A process is running and has started."""
        return self._up.is_set()

    # Beliefs

    def observe(self, *, final: bool = False) -> None:
        """Read what the client believes now, if it is up."""
        for complaint in self._world.complaints():
            self._history.append(Trouble(self._world.now_s(), complaint.what, complaint.detail, complaint.incarnation))
        if self._client is None or not self._up.is_set():
            return
        try:
            belief = self._reader.read(self._client, self._incarnation, self._world.now_s(), final=final)
        except TargetError as error:
            self._fail(error)
        else:
            if belief is not None:
                self._history.append(belief)

    async def keep_observing(self) -> None:
        """Read beliefs every :data:`SAMPLE_S`, until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_S)
            self.observe()

    # The end

    async def finish(self) -> None:
        """Write down what is stuck, stop the client, and write down what its stop left running."""
        now = self._world.now_s()
        for intent in self.unanswered:
            self._history.append(Stuck(now, f"intent {intent}", "it was never answered"))
            self._asked[intent].cancel()
        client, incarnation = self._client, self._incarnation
        if client is None or not self._up.is_set():
            return
        await self._stop(client, incarnation)
        for task in self._world.left_running(incarnation):
            self._history.append(Stuck(self._world.now_s(), task, "it outlived stop()"))

    async def _stop(self, client: OrdersTarget, incarnation: int) -> None:
        task = self._world.spawn(client.stop(), incarnation)
        done, _ = await asyncio.wait({task}, timeout=STOP_MAX_S)
        now = self._world.now_s()
        if not done:
            self._history.append(Stuck(now, "stop()", f"it takes longer than {STOP_MAX_S:g} s"))
            task.cancel()
        elif not task.cancelled() and (error := task.exception()) is not None:
            self._history.append(Trouble(now, "unhandled", f"stop(): {type(error).__name__}: {error}", incarnation))

    def _fail(self, error: FaultlineError) -> None:
        self.failure = self.failure or error


async def _call(client: OrdersTarget, intent: Intent) -> Any:
    match intent.op:
        case "place":
            return await client.place(
                intent.id,
                symbol=intent.symbol,
                side=intent.side,
                order_type=intent.order_type,
                quantity=intent.quantity,
                price=intent.price,
            )
        case "cancel":
            return await client.cancel(intent.id, of=intent.of)
        case _:
            return await client.replace(intent.id, of=intent.of, quantity=intent.quantity, price=intent.price)


def _outcome(word: object) -> Outcome:
    outcome = OUTCOMES.get(word) if isinstance(word, str) else None
    if outcome is None:
        raise TargetError(f"the target answered {word!r}; it must be one of {', '.join(OUTCOMES)}")
    return outcome

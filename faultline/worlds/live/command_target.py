"""What stands in a run for a client that is a process: questions go to it as lines of JSON, and so come its answers.

It has the methods of a target class, so the driver need not know. ``docs/any-language.md`` is the protocol. What the
client believes is asked for every :data:`ASK_S` and after each answer, and what it told last is the snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from faultline.errors import ProcessEnded, TargetError
from faultline.worlds.command import PREFIX, Command
from faultline.worlds.context import INCARNATION
from faultline.worlds.live.process import PROCESSES, Process

ASK_S: Final = 0.5
"""How often it is asked what it believes."""

SHOWN_MAX: Final = 200


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """A line from the client: that it is ready, an answer to ``id``, or its whole view. It may say several at once."""

    ready: bool = False
    id: str | None = None
    answer: str | None = None
    snapshot: dict[str, Any] | None = None


_decoder: Final = msgspec.json.Decoder(_Said)


class CommandTarget:
    """One client process, as an orders target. Made in the context of its own incarnation."""

    def __init__(
        self, command: Command, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str
    ) -> None:
        self._command = command
        self._env = {
            f"{PREFIX}REST_URL": rest_url,
            f"{PREFIX}STREAM_URL": stream_url,
            f"{PREFIX}STORE_PATH": store_path,
            f"{PREFIX}CLIENT_ID": client_id,
            f"{PREFIX}CLIENT_SECRET": client_secret,
        }
        self._loop = asyncio.get_running_loop()
        self._process: Process | None = None
        self._ready = self._loop.create_future()
        self._asked: dict[str, asyncio.Future[str]] = {}
        self._view: Mapping[str, Any] = {}
        self._tell: Callable[[TargetError], None] | None = None
        self._stopping = False
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._snapshot_is_due = False

    # As the driver sees it

    def on_end(self, tell: Callable[[TargetError], None]) -> None:
        """Call ``tell`` when it ends by itself, or says what is not of the protocol."""
        self._tell = tell

    async def start(self) -> None:
        """Start the process and wait until it says that it is ready.

        Raises TargetError when it does not within the command's ``ready_within``, ends before, or says something else.
        """
        processes, incarnation = PROCESSES.get(), INCARNATION.get()
        assert incarnation is not None
        self._process = await processes.start(incarnation, self._command, self._env, self, self._ended)
        limit_s = self._command.ready_within_s
        await asyncio.wait({self._ready}, timeout=limit_s)
        if not self._ready.done():
            words = self._process.last_words()
            raise TargetError(f'it did not say {{"ready": true}} within {limit_s:g} s{words}')
        self._ready.result()
        self._ask_for_snapshot()

    async def stop(self) -> None:
        """Ask it to stop, and wait until its process is gone. Raises ProcessEnded when it does not end with 0."""
        process = self._process
        if process is None:
            return
        self._stopping = True
        self._ask({"do": "stop"})
        process.ask_no_more()
        await asyncio.shield(process.gone)
        if not process.clean:
            raise ProcessEnded(process.why())

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        """Ask it to place an order."""
        order = {"symbol": symbol, "side": side, "order_type": order_type, "quantity": quantity, "price": price}
        return await self._answer_to(intent_id, {"do": "place", "id": intent_id, **order})

    async def cancel(self, intent_id: str, *, of: str) -> str:
        """Ask it to cancel the order of intent ``of``."""
        return await self._answer_to(intent_id, {"do": "cancel", "id": intent_id, "of": of})

    async def replace(self, intent_id: str, *, of: str, quantity: str, price: str) -> str:
        """Ask it to change the order of intent ``of``."""
        question = {"do": "replace", "id": intent_id, "of": of, "quantity": quantity, "price": price}
        return await self._answer_to(intent_id, question)

    async def kill(self, intent_id: str) -> str:
        """Ask it to open nothing more."""
        return await self._answer_to(intent_id, {"do": "kill", "id": intent_id})

    async def flatten(self, intent_id: str) -> str:
        """Ask it to close every position."""
        return await self._answer_to(intent_id, {"do": "flatten", "id": intent_id})

    def snapshot(self) -> Mapping[str, Any]:
        """What it told last of what it believes."""
        return self._view

    def pause(self, lasts_s: float) -> bool:
        """Stop its process for so long."""
        return self._process is not None and self._process.pause(lasts_s)

    # Questions

    def _ask(self, question: Mapping[str, str]) -> None:
        if self._process is not None:
            self._process.ask(msgspec.json.encode(question))

    async def _answer_to(self, intent_id: str, question: Mapping[str, str]) -> str:
        waiting: asyncio.Future[str] = self._loop.create_future()
        self._asked[intent_id] = waiting
        self._ask(question)
        return await waiting

    def _ask_for_snapshot(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._over or self._stopping:
            return
        if not self._snapshot_is_due:
            self._snapshot_is_due = True
            self._ask({"do": "snapshot"})
        self._timer = self._loop.call_later(ASK_S, self._ask_for_snapshot)

    # What it says

    def line(self, line: bytes) -> str:
        """A line from it. Returns what is wrong with it, or the empty string."""
        if not line.strip() or self._over:
            return ""
        try:
            said = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            shown = line[:SHOWN_MAX].decode(errors="replace") + ("..." if len(line) > SHOWN_MAX else "")
            why = f"it wrote a line that is not of the protocol ({error}): {shown!r}; see docs/any-language.md"
            self.wrong(why)
            return why
        if said.ready and not self._ready.done():
            self._ready.set_result(None)
        if said.snapshot is not None:
            self._view = said.snapshot
            self._snapshot_is_due = False
        waiting = self._asked.pop(said.id, None) if said.id is not None and said.answer is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(said.answer or "")
            self._ask_for_snapshot()
        return ""

    def wrong(self, why: str) -> None:
        """What it says cannot be understood, so nothing that it says can be relied on."""
        self._end_with(TargetError(why))

    def lost(self, why: str) -> None:
        """The process decides what that means: see there."""

    def _ended(self, error: ProcessEnded) -> None:
        self._end_with(error)

    def _end_with(self, error: TargetError) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # when nobody waits for it any more, nobody has to
        elif self._tell is not None and not self._stopping:
            self._tell(error)

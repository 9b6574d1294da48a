"""A venue's ledger of one channel, a store that folds it, and a stream and an error handler that a test drives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from targets.resilience.channel_model import Ask, Delta, Page, Snapshot
from targets.resilience.connection_state import ConnectionState
from targets.resilience.errors import StateUnavailableError
from targets.resilience.sequence import Sequence as Numbers

Change = tuple[str, int | None]
"""A key and its new value; None deletes it."""


def fold(changes: Iterable[Change]) -> dict[str, int]:
    """What a collection is after its changes."""
    state: dict[str, int] = {}
    for key, value in changes:
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return state


class Ledger:
    """The truth. A query may trail it by ``lag`` messages, fail, or be held until ``gate`` is set."""

    def __init__(self, *, numbered: bool = True, log: bool = False, page_size: int = 3) -> None:
        self.changes: list[Change] = []
        self.numbered = numbered
        self.log = log
        self.page_size = page_size
        self.snapshots_numbered = numbered
        self.lag = 0
        self.failures: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.asked_s: list[float] = []
        self.asked_since: list[int] = []

    def emit(self, key: str, value: int | None) -> Delta:
        self.changes.append((key, value))
        return self.delta(len(self.changes))

    def delta(self, number: int) -> Delta:
        change = self.changes[number - 1]
        return Delta(change, id=f"e{number}" if self.log else "", sequence=number if self.numbered else None)

    async def snapshot(self, since: int, ask: Ask) -> Snapshot | Page:
        self.asked_s.append(asyncio.get_running_loop().time())
        self.asked_since.append(since)
        return await ask(lambda: self._answer(since), endpoint="snapshot")

    async def _answer(self, since: int) -> Snapshot | Page:
        seen = max(0, len(self.changes) - self.lag)
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if not self.log:
            return Snapshot(tuple(sorted(fold(self.changes[:seen]).items())), seen if self.snapshots_numbered else None)
        start = since if self.numbered else 0
        last = min(seen, start + self.page_size) if self.numbered else seen
        return Page(tuple(map(self.delta, range(start + 1, last + 1))), more=last < seen)


class Store:
    """Folds what it is given. ``broken`` makes the next changes fail; ``history`` is the state after each commit."""

    def __init__(self, *, log: bool = False) -> None:
        self.log = log
        self.numbers: dict[str, Numbers] = {}
        self.state: dict[str, dict[str, int]] = {}
        self.applied: list[tuple[str, int]] = []
        self.events: list[Change] = []
        self.broken = 0
        self.reported = 0
        self.history: list[tuple[Numbers, dict[str, int]]] = []

    def read(self, channel: str) -> Numbers:
        return self.numbers.get(channel, Numbers())

    def knows(self, channel: str, delta: Delta) -> bool:
        return (delta.id, delta.revision) in self.applied

    def short(self, channel: str) -> bool:
        return self.reported > len(self.events)

    async def apply(self, channel: str, deltas: Sequence[Delta], read: Numbers) -> None:
        self._commit(channel, read)
        self._fold(channel, deltas)

    async def replace(self, channel: str, snapshot: Snapshot, after: Sequence[Delta], read: Numbers) -> None:
        self._commit(channel, read)
        self.state[channel] = dict(snapshot.items)  # type: ignore[arg-type]
        self._fold(channel, after)

    def _commit(self, channel: str, read: Numbers) -> None:
        if self.broken:
            self.broken -= 1
            raise StateUnavailableError("the disk is full")
        self.numbers[channel] = read

    def _fold(self, channel: str, deltas: Sequence[Delta]) -> None:
        state = self.state.setdefault(channel, {})
        for delta in deltas:
            assert isinstance(delta.data, tuple)
            key, value = delta.data
            self.events.append((key, value))
            if delta.id:
                self.applied.append((delta.id, delta.revision))
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        self.history.append((self.read(channel), dict(state)))


async def ask(call: Callable[[], Awaitable[Any]], *, endpoint: str = "") -> Any:
    return await call()


class Handler:
    """An error handler that only counts."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int | None]] = []

    async def execute(
        self, call: Callable[[], Awaitable[Any]], *, endpoint: str = "", attempts_max: int | None = None
    ) -> Any:
        self.calls.append((endpoint, attempts_max))
        return await call()


class Stream:
    """A connection manager that a test drives: ``up``, ``down``, ``say``."""

    def __init__(self) -> None:
        self.handlers: dict[str, list[Callable[..., Any]]] = {}
        self.state_handlers: list[Callable[..., None]] = []
        self.hooks: list[Callable[[], Awaitable[None]]] = []
        self.given_up: list[str] = []
        self.state = ConnectionState.DISCONNECTED

    def on(self, event: str, handler: Callable[..., Any]) -> Callable[[], None]:
        return self._add(self.handlers.setdefault(event, []), handler)

    def on_state(self, handler: Callable[..., None]) -> Callable[[], None]:
        return self._add(self.state_handlers, handler)

    def before_level(self, hook: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        return self._add(self.hooks, hook)

    def reconnect(self, reason: str) -> None:
        self.given_up.append(reason)

    async def up(self) -> None:
        self._move(ConnectionState.SYNCHRONIZING)
        for hook in self.hooks:
            await hook()
        self._move(ConnectionState.CONNECTED)

    def down(self) -> None:
        self._move(ConnectionState.RECONNECTING)

    async def say(self, event: str, *arguments: object) -> None:
        for handler in self.handlers.get(event, ()):
            await handler(*arguments)

    def _move(self, state: ConnectionState) -> None:
        old, self.state = self.state, state
        for handler in self.state_handlers:
            handler(old, state, "test")

    @staticmethod
    def _add(handlers: list[Any], handler: Any) -> Callable[[], None]:
        handlers.append(handler)
        return lambda: handlers.remove(handler)

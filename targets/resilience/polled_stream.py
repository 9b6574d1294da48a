"""Stands in for the connection manager where a venue has no stream that can be read.

What a stream would have told comes with the reconciler's sweeps, so their interval is how old the state may be. There
is nothing to connect; it is level once what there is has been fetched, like any stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from targets.resilience.connection_state import ConnectionState
from targets.resilience.errors import ResilienceError

Hook = Callable[[], Awaitable[None]]
StateHandler = Callable[[ConnectionState, ConnectionState, str], None]


class PolledStream:
    """A stream that says nothing. Its methods are those of the connection manager."""

    def __init__(self) -> None:
        self._state = ConnectionState.DISCONNECTED
        self._state_handlers: list[StateHandler] = []
        self._hooks: list[Hook] = []
        self._levelling: asyncio.Task[None] | None = None

    @property
    def state(self) -> ConnectionState:
        """Connected once everything was fetched."""
        return self._state

    @property
    def healthy(self) -> bool:
        """Level."""
        return self._state is ConnectionState.CONNECTED

    def on(self, event: str, handler: Callable[..., Awaitable[None] | None]) -> Callable[[], None]:
        """No event ever comes."""
        return lambda: None

    def on_state(self, handler: StateHandler) -> Callable[[], None]:
        """Call ``handler`` with the old state, the new one, and the reason."""
        self._state_handlers.append(handler)
        return lambda: self._state_handlers.remove(handler)

    def before_level(self, hook: Hook) -> Callable[[], None]:
        """Await ``hook`` before it counts as connected."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    async def connect(self) -> None:
        """Fetch everything; return when level. Cancelling this call does not end that; ``disconnect`` does."""
        if self._levelling is None:
            self._move(ConnectionState.CONNECTING, "connect")
            self._levelling = asyncio.create_task(self._level())
        await asyncio.wait({self._levelling})
        if self._state is not ConnectionState.CONNECTED:
            raise ResilienceError("disconnected before it was level")

    async def disconnect(self) -> None:
        """End."""
        levelling, self._levelling = self._levelling, None
        if levelling is not None:
            levelling.cancel()
            await asyncio.wait({levelling})
            self._move(ConnectionState.DISCONNECTED, "disconnect")

    async def subscribe(self, method: str, *arguments: object) -> None:
        """There is nothing to subscribe to."""

    def reconnect(self, reason: str) -> None:
        """There is no connection that could be at fault."""

    async def _level(self) -> None:
        self._move(ConnectionState.SYNCHRONIZING, "polling")
        for hook in list(self._hooks):
            await hook()
        self._move(ConnectionState.CONNECTED, "level")

    def _move(self, state: ConnectionState, reason: str) -> None:
        old, self._state = self._state, state
        for handler in list(self._state_handlers):
            handler(old, state, reason)

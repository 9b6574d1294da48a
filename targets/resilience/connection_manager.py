"""Keeps one stream connected for as long as somebody wants it: a SignalR hub, or any other WebSocket stream.

What a library's own reconnect leaves out is done here:

* a reconnect is not a resubscribe: every subscription is asked for again on each connection, and its acknowledgement
  is waited for. A lost acknowledgement is a failed connection;
* a resubscribe is not a replay: the hooks of ``before_level`` fetch what was missed, before the state says CONNECTED;
* a connection has proven itself only when it stayed level for a while. Until then its failures count on, so that a
  server that accepts and drops is met with growing delays, and with an end;
* the end is loud: state FAILED, the ``on_failed`` handlers, and MaxReconnectAttemptsError to whoever waits;
* each connection asks for a token of its own, and a token that was not accepted is reported as such.

The WebSocket client is aiohttp's: a ``negotiate`` needs an HTTP client anyway, and it shows pings and pongs to the
one loop that judges whether the connection lives. Each connection has a session of its own, so that nothing of a
dead one is left. Handlers belong to the manager and not to a connection; they are never registered twice. They run
one at a time and in order, in a task of their own: a slow one delays events, never the pings.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeVar, cast

import aiohttp

from targets.resilience.connection_state import LEGAL, ConnectionState, SignalRConfig
from targets.resilience.errors import APIError, ConfigurationError, MaxReconnectAttemptsError, ResilienceError
from targets.resilience.signalr_negotiate import Negotiated, negotiate
from targets.resilience.signalr_protocol import RECORD_CHARS_MAX
from targets.resilience.stream_connection import AbortableSocket, StreamConnection, StreamLostError
from targets.resilience.stream_dialect import Dialect, Event, SignalRDialect

__all__ = ["ConnectionState", "SignalRConfig", "SignalRConnectionManager", "StreamLostError", "TokenSource"]

log = logging.getLogger(__name__)

Remove = Callable[[], None]
EventHandler = Callable[..., Awaitable[None] | None]
StateHandler = Callable[[ConnectionState, ConnectionState, str], None]
FailureHandler = Callable[[ResilienceError], None]
Hook = Callable[[], Awaitable[None]]
H = TypeVar("H")

_REFUSALS: Final = frozenset({401, 403})
_FAILURES: Final = (ResilienceError, aiohttp.ClientError, OSError, TimeoutError)
"""What a connection ends with. Anything else is a bug, and is not met with a reconnect."""


class TokenSource(Protocol):
    """What is needed of a token manager."""

    async def get_valid_token(self) -> str:
        """A token that is good for a connection."""
        ...

    def reject(self, token: str) -> None:
        """The server did not accept ``token``."""
        ...


class SignalRConnectionManager:
    """One stream: connect, subscribe, listen. All methods belong to one event loop.

    ``chance`` draws from [0, 1), for jitter and spread.
    """

    def __init__(
        self,
        config: SignalRConfig,
        token_manager: TokenSource,
        *,
        dialect: Dialect | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._tokens = token_manager
        self._dialect: Dialect = dialect or SignalRDialect()
        self._chance = chance
        self._state = ConnectionState.DISCONNECTED
        # By what they say: arguments may be objects, which cannot be keys.
        self._subscriptions: dict[str, tuple[str, tuple[object, ...]]] = {}
        self._handlers: dict[str, list[EventHandler]] = {}
        self._state_handlers: list[StateHandler] = []
        self._failure_handlers: list[FailureHandler] = []
        self._hooks: list[Hook] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._connection: StreamConnection | None = None
        self._given_up: asyncio.Future[str] | None = None
        self._failures = 0

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._state

    @property
    def healthy(self) -> bool:
        """Level, and something was heard lately."""
        heard = self._connection is not None and self._connection.quiet_s < self._config.stale_after / 1000
        return heard and self._state is ConnectionState.CONNECTED

    # Handlers

    def on(self, event: str, handler: EventHandler) -> Remove:
        """Call ``handler`` with the arguments of each ``event``, on this and every later connection."""
        return _register(self._handlers.setdefault(event, []), handler)

    def on_state(self, handler: StateHandler) -> Remove:
        """Call ``handler`` with the old state, the new one, and the reason."""
        return _register(self._state_handlers, handler)

    def on_failed(self, handler: FailureHandler) -> Remove:
        """Call ``handler`` with the error when the stream is given up."""
        return _register(self._failure_handlers, handler)

    def before_level(self, hook: Hook) -> Remove:
        """Await ``hook`` on each connection after its subscriptions, before it counts as CONNECTED."""
        return _register(self._hooks, hook)

    # What the owner does

    async def connect(self) -> None:
        """Connect; return when level.

        Raises MaxReconnectAttemptsError when given up, StreamLostError when the server wants no reconnect or
        ``disconnect`` came first. Cancelling this call does not end the connecting; ``disconnect`` does.
        """
        if not self._config.url:
            raise ConfigurationError("url: a stream needs an address to connect to")
        if not self._tasks:
            self._move(ConnectionState.CONNECTING, "connect")
            self._failures = 0
            events: asyncio.Queue[Event] = asyncio.Queue(self._config.events_max)
            self._tasks = [asyncio.create_task(self._supervise(events)), asyncio.create_task(self._dispatch(events))]
            self._tasks[0].add_done_callback(self._died)
        if self._state is not ConnectionState.CONNECTED:
            level: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(level)
            try:
                await level
            finally:
                self._waiting.discard(level)

    async def disconnect(self) -> None:
        """End the connection and everything that belongs to it. Subscriptions and handlers are kept."""
        tasks, self._tasks = self._tasks, []
        # A handler may call this; it ends when it returns.
        others = [task for task in tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        try:
            if others:
                await asyncio.wait(others)
        finally:
            # Also when it is called from a hook, which ends with its connection.
            if self._state is not ConnectionState.DISCONNECTED and not self._tasks:
                self._move(ConnectionState.DISCONNECTED, "disconnect")
                self._tell_waiting(StreamLostError("disconnected before the connection was level"))

    async def subscribe(self, method: str, *arguments: object) -> None:
        """Subscribe on this and every later connection.

        Returns when acknowledged, or at once while there is no connection. Raises APIError when there is one and it
        does not acknowledge; the connection is then given up, because its subscriptions are not known.
        """
        self._subscriptions[f"{method} {arguments!r}"] = (method, arguments)
        if (connection := self._connection) is not None:
            try:
                await connection.subscribe(method, arguments)
            except APIError as error:
                if connection is self._connection:
                    self.reconnect(f"not subscribed: {error}")
                raise

    def unsubscribe(self, method: str, *arguments: object) -> None:
        """Do not ask for it on later connections. To end it on this one, ``invoke`` what the server has for that."""
        self._subscriptions.pop(f"{method} {arguments!r}", None)

    async def invoke(self, method: str, *arguments: object) -> object:
        """Call a method of the server; its result.

        Raises APIError: ``effect`` none when there is no connection, unknown when the answer got lost or is an error.
        """
        if self._connection is None:
            raise APIError(f"{method}: not connected", effect="none")
        return await self._connection.invoke(method, arguments)

    def reconnect(self, reason: str) -> None:
        """Give this connection up, for a reason that it does not show by itself. The next one is made as ever."""
        if self._given_up is not None and not self._given_up.done():
            self._given_up.set_result(reason)

    # Connections, one after another

    async def _supervise(self, events: asyncio.Queue[Event]) -> None:
        while True:
            error = await self._until_lost(events)
            reason = f"{type(error).__name__}: {error}"
            log.info("stream ended: %s", reason)
            if isinstance(error, StreamLostError) and not error.allow_reconnect:
                self._fail(StreamLostError(f"the server wants no reconnect: {error}", allow_reconnect=False))
                return
            limit = self._config.max_reconnect_attempts
            if limit is not None and self._failures >= limit:
                self._fail(MaxReconnectAttemptsError(f"gave up after {limit} reconnects; the last: {reason}"))
                return
            if self._state is not ConnectionState.RECONNECTING:
                self._move(ConnectionState.RECONNECTING, reason)
            self._failures += 1
            await asyncio.sleep(self._config.delay_s(self._failures, self._chance(), self._chance()))

    async def _until_lost(self, events: asyncio.Queue[Event]) -> Exception:
        try:
            await self._connect_once(events)
        except _FAILURES as error:
            return error
        raise AssertionError("a connection ended without a reason")

    async def _connect_once(self, events: asyncio.Queue[Event]) -> None:
        """Make a connection and live on it. Ends by raising."""
        async with self._opened() as socket:
            connection = StreamConnection(socket, self._dialect, self._config, events.put)
            self._given_up = asyncio.get_running_loop().create_future()
            reading = asyncio.create_task(connection.run())
            living = asyncio.create_task(self._live(connection))
            ends: tuple[asyncio.Future[Any], ...] = (reading, living, self._given_up)
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                # The reader knows best why it ended; what waited for an answer only knows that it is lost.
                for task in (reading, living):
                    if task.done():
                        task.result()
                raise StreamLostError(self._given_up.result())
            finally:
                self._connection = None
                for end in ends:
                    end.cancel()
                await asyncio.gather(reading, living, return_exceptions=True)

    async def _live(self, connection: StreamConnection) -> None:
        async with asyncio.timeout(self._config.connect_timeout / 1000):
            await connection.ready()
        self._connection = connection
        self._move(ConnectionState.SYNCHRONIZING, "connected")
        for method, arguments in list(self._subscriptions.values()):
            await connection.subscribe(method, arguments)
        for hook in list(self._hooks):
            await hook()
        self._move(ConnectionState.CONNECTED, "level")
        self._tell_waiting(None)
        await asyncio.sleep(self._config.proven_after / 1000)
        self._failures = 0
        await asyncio.Event().wait()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An open socket, closed on leaving."""
        token = await self._tokens.get_valid_token()
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), ws_response_class=AbortableSocket
        ) as session:
            async with asyncio.timeout(self._config.connect_timeout / 1000):
                found, token = await self._negotiated(session, token)
                socket = await self._open(session, found, token)
            try:
                yield socket
            except StreamLostError as error:
                if error.rejected:
                    self._tokens.reject(token)
                raise
            except asyncio.CancelledError:
                # We leave. In every other case the server has left, or does not listen.
                await _say_goodbye(socket, self._config.close_timeout / 1000)
                raise
            finally:
                socket.abort()

    async def _negotiated(self, session: aiohttp.ClientSession, token: str) -> tuple[Negotiated, str]:
        """Where to connect, and the token that it is asked for with: after a refusal, a new one, once."""
        url = self._config.url
        if self._config.skip_negotiation or not self._dialect.negotiates:
            return Negotiated(url, token), token
        try:
            return await negotiate(session, url, token), token
        except APIError as error:
            if error.status_code != 401:
                raise
        self._tokens.reject(token)
        token = await self._tokens.get_valid_token()
        return await negotiate(session, url, token), token

    async def _open(self, session: aiohttp.ClientSession, found: Negotiated, token: str) -> AbortableSocket:
        address = self._dialect.address(found.url, found.token)
        try:
            socket = await session.ws_connect(address, autoping=False, max_msg_size=RECORD_CHARS_MAX)
            return cast("AbortableSocket", socket)
        except aiohttp.WSServerHandshakeError as error:
            if error.status in _REFUSALS and found.token == token:
                self._tokens.reject(token)
            # The error's own text holds the address, and with it the token.
            refusal = f"the stream was refused with {error.status} {error.message}"
            raise APIError(refusal, error.status, effect="none") from None
        except aiohttp.InvalidURL:
            raise ConfigurationError("url: not an address that can be connected to") from None

    # What becomes known

    async def _dispatch(self, events: asyncio.Queue[Event]) -> None:
        mine = asyncio.current_task()
        while mine in self._tasks:
            event = await events.get()
            for handler in list(self._handlers.get(event.name, ())):
                try:
                    result = handler(*event.arguments)
                    if inspect.isawaitable(result):
                        await result
                except Exception:
                    # One handler's bug must not silence the stream for the others.
                    log.exception("a handler of %s failed", event.name)

    def _move(self, state: ConnectionState, reason: str) -> None:
        old, self._state = self._state, state
        if state not in LEGAL[old]:
            raise AssertionError(f"{old} -> {state} is no legal transition ({reason})")
        for handler in list(self._state_handlers):
            _call(handler, old, state, reason)

    def _tell_waiting(self, error: ResilienceError | None) -> None:
        for level in self._waiting:
            if level.done():
                continue
            if error is None:
                level.set_result(None)
            else:
                level.set_exception(error)

    def _fail(self, error: ResilienceError) -> None:
        log.critical("the stream is given up: %s", error)
        dispatching = self._tasks[1:]
        self._tasks = []
        for task in dispatching:
            task.cancel()
        self._move(ConnectionState.FAILED, str(error))
        for handler in list(self._failure_handlers):
            _call(handler, error)
        self._tell_waiting(error)

    def _died(self, supervisor: asyncio.Task[None]) -> None:
        """A bug ended the supervisor: as loud as any other end."""
        if not supervisor.cancelled() and (error := supervisor.exception()) is not None:
            log.critical("the stream died", exc_info=error)
            self._fail(StreamLostError(f"died of {type(error).__name__}: {error}"))


def _register(handlers: list[H], handler: H) -> Remove:
    handlers.append(handler)

    def remove() -> None:
        if handler in handlers:
            handlers.remove(handler)

    return remove


def _call(handler: Callable[..., None], *arguments: Any) -> None:
    try:
        handler(*arguments)
    except Exception:
        log.exception("a handler failed")


async def _say_goodbye(socket: aiohttp.ClientWebSocketResponse, timeout_s: float) -> None:
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(timeout_s):
            await socket.close()

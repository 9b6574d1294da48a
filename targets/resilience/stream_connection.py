"""One WebSocket connection, from its opening to its end; it is never used again.

A connection that is half open looks exactly like a quiet market, so life is proven and not assumed. Two clocks run:

* no sign of life for ``ping_interval``: the server is asked, and must answer within ``ping_timeout``. Where the
  protocol has a question of its own, only a message counts as the answer: a WebSocket pong comes from the server's
  library, and says nothing about its data;
* nothing said for ``stale_after``: dead as well. Where the server promises messages in any case (a hub beats every
  15 s), pings and pongs do not count as something said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, assert_never

import aiohttp

from targets.resilience.connection_state import SignalRConfig
from targets.resilience.errors import APIError, ResilienceError
from targets.resilience.stream_dialect import Answer, Dialect, Event, Goodbye, Heard, Question, Ready, Send

BAD_TOKEN_CODES: Final = frozenset({3000, 4401})
"""Close codes that say that the token is not accepted (3000 is the registered one)."""
_SIGNS: Final = frozenset({aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG})
_DATA: Final = frozenset({aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY})


class StreamLostError(ResilienceError):
    """The connection has ended, or is given up.

    ``rejected``: the server does not accept the token. ``allow_reconnect``: whether it wants to see us again.
    """

    def __init__(self, reason: str, *, rejected: bool = False, allow_reconnect: bool = True) -> None:
        super().__init__(reason)
        self.rejected = rejected
        self.allow_reconnect = allow_reconnect


class _AnsweredError(Exception):
    """The server answered with an error."""


class AbortableSocket(aiohttp.ClientWebSocketResponse):
    """A WebSocket that can be dropped with what is still unsent.

    Closing flushes first, and to a peer that reads nothing that takes for ever; the session would wait for it.
    """

    def __init__(self, reader: Any, writer: Any, *more: Any, **named: Any) -> None:
        super().__init__(reader, writer, *more, **named)
        self._wire: asyncio.Transport = writer.transport

    def abort(self) -> None:
        """Drop the connection at once."""
        self._wire.abort()


class StreamConnection:
    """Speaks ``dialect`` on an open socket. ``on_event`` is awaited for each event, in order."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        dialect: Dialect,
        config: SignalRConfig,
        on_event: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket
        self._dialect = dialect
        self._conversation = dialect.converse()
        self._config = config
        self._on_event = on_event
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._pending: dict[str, list[asyncio.Future[object]]] = {}
        self._lost: StreamLostError | None = None
        self._alive_s = self._said_s = self._beaten_s = self._loop.time()
        self._probe_by_s: float | None = None

    @property
    def quiet_s(self) -> float:
        """How long nothing was heard."""
        return self._loop.time() - self._said_s

    async def run(self) -> None:
        """Read until the connection ends, which it does by raising StreamLostError or ProtocolError.

        Whoever waits for an answer is told that it is lost.
        """
        reason = "the connection is being closed"
        try:
            for frame in self._conversation.hello():
                await self._send(frame)
            if not self._dialect.handshakes:
                self._ready.set_result(None)
            while True:
                await self._take(await self._next())
        except ResilienceError as error:
            reason = str(error)
            raise
        finally:
            self._end(reason)

    async def ready(self) -> None:
        """Until the server has accepted the connection. Raises StreamLostError."""
        await asyncio.shield(self._ready)

    async def subscribe(self, method: str, arguments: tuple[object, ...]) -> None:
        """Subscribe; return when the server acknowledged it. Raises APIError."""
        await self._ask(method, self._conversation.subscribe(method, arguments))

    async def invoke(self, method: str, arguments: tuple[object, ...]) -> object:
        """Call a method of the server; its result. Raises APIError: ``effect`` unknown unless it never left."""
        return await self._ask(method, self._conversation.invoke(method, arguments))

    # Asking

    async def _ask(self, method: str, question: Question) -> object:
        if self._lost is not None:
            raise APIError(f"{method}: not sent: {self._lost}", effect="none")
        answer: asyncio.Future[object] = self._loop.create_future()
        waiting = self._pending.setdefault(question.id, [])
        waiting.append(answer)
        try:
            async with asyncio.timeout(self._config.invoke_timeout / 1000):
                await self._send(question.frame)
                return await answer
        except TimeoutError:
            raise APIError(
                f"{method}: no answer in {self._config.invoke_timeout / 1000:g} s", effect="unknown"
            ) from None
        except StreamLostError as error:
            raise APIError(f"{method}: the answer is lost: {error}", effect="unknown") from error
        except _AnsweredError as error:
            raise APIError(f"{method}: {error}", code="hub_error", effect="unknown") from None
        finally:
            waiting.remove(answer)
            if not waiting:
                self._pending.pop(question.id, None)

    def _answer(self, answer: Answer) -> None:
        for waiting in self._pending.get(answer.id, ()):
            if waiting.done():
                continue
            if answer.error:
                waiting.set_exception(_AnsweredError(answer.error[:200]))
            else:
                waiting.set_result(answer.result)

    async def _send(self, frame: str) -> None:
        await self._sent(self._socket.send_str(frame))

    async def _sent(self, sending: Awaitable[None]) -> None:
        try:
            # A peer that reads nothing lets the send buffer fill up, and would hold us here for ever.
            async with asyncio.timeout(self._config.ping_timeout / 1000):
                await sending
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise StreamLostError(f"cannot send: {error or type(error).__name__}") from error

    # Reading

    async def _next(self) -> aiohttp.WSMessage:
        """The next WebSocket message, with pings sent and deadlines held meanwhile."""
        while True:
            try:
                async with asyncio.timeout_at(self._due_s()):
                    return await self._socket.receive()
            except TimeoutError:
                await self._tick()

    def _due_s(self) -> float:
        """When something has to be done if nothing is heard."""
        config = self._config
        probe_s = self._alive_s + config.ping_interval / 1000 if self._probe_by_s is None else self._probe_by_s
        due_s = min(probe_s, self._said_s + config.stale_after / 1000)
        return due_s if self._dialect.beat is None else min(due_s, self._beaten_s + config.keepalive_interval / 1000)

    async def _tick(self) -> None:
        now_s, config, dialect = self._loop.time(), self._config, self._dialect
        if now_s >= self._said_s + config.stale_after / 1000:
            raise StreamLostError(f"stale: nothing for {config.stale_after / 1000:g} s")
        if self._probe_by_s is not None:
            if now_s >= self._probe_by_s:
                raise StreamLostError(f"half open: no answer to a ping in {config.ping_timeout / 1000:g} s")
        elif now_s >= self._alive_s + config.ping_interval / 1000:
            self._probe_by_s = now_s + config.ping_timeout / 1000
            await (self._sent(self._socket.ping()) if dialect.probe is None else self._send(dialect.probe))
        if dialect.beat is not None and now_s >= self._beaten_s + config.keepalive_interval / 1000:
            self._beaten_s = now_s
            await self._send(dialect.beat)

    async def _take(self, message: aiohttp.WSMessage) -> None:
        if message.type in _SIGNS:
            self._heard(said=not self._dialect.server_beats, answers=self._dialect.probe is None)
            if message.type is aiohttp.WSMsgType.PING:
                await self._sent(self._socket.pong(message.data))
        elif message.type in _DATA:
            self._heard(said=True, answers=True)
            for heard in self._conversation.receive(message.data):
                await self._act(heard)
            # Handlers that are slow hold the reading up; that is no silence of the server's.
            self._heard(said=True, answers=True)
        else:
            raise self._ended(message)

    def _heard(self, *, said: bool, answers: bool) -> None:
        now_s = self._loop.time()
        if said:
            self._said_s = now_s
        if answers:
            self._alive_s, self._probe_by_s = now_s, None

    async def _act(self, heard: Heard) -> None:
        if isinstance(heard, Event):
            await self._on_event(heard)
        elif isinstance(heard, Answer):
            self._answer(heard)
        elif isinstance(heard, Send):
            await self._send(heard.frame)
        elif isinstance(heard, Ready):
            if not self._ready.done():
                self._ready.set_result(None)
        elif isinstance(heard, Goodbye):
            raise StreamLostError(heard.reason[:200], allow_reconnect=heard.allow_reconnect)
        else:
            assert_never(heard)

    def _ended(self, message: aiohttp.WSMessage) -> StreamLostError:
        if message.type is aiohttp.WSMsgType.ERROR:
            return StreamLostError(f"the connection broke: {message.data}")
        # The frame's own code: the socket's turns into 1006 when our answer to it cannot be sent any more.
        code = message.data if message.type is aiohttp.WSMsgType.CLOSE else self._socket.close_code
        reason = str(message.extra or "")[:200]
        return StreamLostError(f"closed with {code} {reason}".rstrip(), rejected=code in BAD_TOKEN_CODES)

    def _end(self, reason: str) -> None:
        self._lost = StreamLostError(reason)
        waiting: list[asyncio.Future[Any]] = [self._ready]
        for answers in self._pending.values():
            waiting += answers
        for future in waiting:
            if not future.done():
                future.set_exception(self._lost)
                # Nobody may be waiting for it any more.
                future.exception()

"""The WebSocket front: a venue's stream over ``websockets``.

Each connection has one ordered queue and one task that empties it, so messages of a connection are struck, delayed
and sent one at a time and in order. Once a connection is over nothing is sent on it, whatever a fault held back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from faultline.faults.actions import How
from faultline.venues.base import Message, Request, Venue
from faultline.venues.http import split_target
from faultline.venues.interceptor import Interceptor
from faultline.venues.kill import finish, reset

ABNORMAL: Final = 1006
"""No close frame was seen (RFC 6455, 7.1.5)."""
GOING_AWAY: Final = 1001
_CLOSE_TIMEOUT_S: Final = 1.0

_log = logging.getLogger("faultline.stream")
_log.addHandler(logging.NullHandler())
# websockets reports each connection that faultline cuts as an error of the server's; they are not.
_log.propagate = False


class StreamFront:
    """Serves the stream of ``venue`` at any path; the venue decides which it knows."""

    def __init__(self, venue: Venue, interceptor: Interceptor) -> None:
        self.venue = venue
        self.interceptor = interceptor
        self.tasks: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._open: set[_Stream] = set()
        self._server: Server | None = None

    async def start(self, host: str, port: int = 0) -> str:
        """Listen. ``port`` 0 takes a free one. Returns the base URL (``ws://host:port``)."""
        self._server = await serve(
            self._serve,
            host,
            port,
            compression=None,
            ping_interval=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            logger=_log,
        )
        port = port or next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://{host}:{port}"

    @property
    def in_flight(self) -> int:
        """Messages on their way out: queued, being sent, or held by a fault. Heartbeats and the like do not count."""
        return sum(stream.waiting for stream in self._open)

    async def stop(self) -> None:
        """Stop listening and drop every connection, also those that have gone silent."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in list(self._open):
            stream.drop()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, socket: ServerConnection) -> None:
        self._accepted += 1
        stream = _Stream(self, socket, self._accepted)
        self._open.add(stream)
        try:
            await stream.serve()
        except Exception as error:
            # websockets would only log it.
            _report(error)
            raise
        finally:
            self._open.discard(stream)


def _report(error: BaseException) -> None:
    # A bug of ours: the run must hear of it.
    context = {"message": "a venue or its interceptor raised", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)


class _Stream:
    """One connection, as the venue sees it (:class:`faultline.venues.base.Connection`)."""

    def __init__(self, front: StreamFront, socket: ServerConnection, ordinal: int) -> None:
        self._front = front
        self._socket = socket
        self._ordinal = ordinal
        path, query = split_target(socket.request.path if socket.request is not None else "/")
        headers = {} if socket.request is None else {k.lower(): v for k, v in socket.request.headers.raw_items()}
        self._request = Request("GET", path, query, headers, b"", ordinal)
        self._queue: deque[Message] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._closing: tuple[int, str] | None = None
        self._over = False
        self.waiting = 0

    @property
    def ordinal(self) -> int:
        return self._ordinal

    @property
    def request(self) -> Request:
        return self._request

    def push(self, message: Message) -> None:
        if self._over or self._closing is not None:
            return
        self._queue.append(message)
        self.waiting += not message.control
        self._wake()

    def close(self, code: int, reason: str = "") -> None:
        if self._closing is None:
            self._closing = (code, reason)
            self._wake()

    async def serve(self) -> None:
        """From the handshake to the end."""
        front, socket = self._front, self._socket
        front.interceptor.opened(front.venue.stream, self._ordinal, self.cut, front.venue.token_of(self._request))
        try:
            front.venue.connected(self)
            async for received in socket:
                if self._over:
                    continue
                text = received if isinstance(received, str) else received.decode("utf-8", "replace")
                front.venue.received(self, text)
        except ConnectionClosed:
            pass
        finally:
            self._end(socket.close_code or ABNORMAL)

    def cut(self, how: How, code: int) -> None:
        """End it as a fault says. For faultline it is over at once, also when its peer is told nothing."""
        if self._over:
            return
        transport = self._socket.transport
        if how == "close":
            code = code if 1000 <= code <= 4999 and code not in (1004, 1005, 1006, 1015) else GOING_AWAY
            self._start(self._socket.close(code))
        elif how == "rst":
            reset(transport)
        elif how == "fin":
            finish(transport)
        else:
            # Not even a pong or the answer to a close frame: what the client sends stays in its socket.
            transport.pause_reading()
        self._end(code if how == "close" else ABNORMAL)

    def drop(self) -> None:
        """End it without ceremony, at teardown."""
        self._over = True
        self._socket.transport.abort()

    def _end(self, code: int) -> None:
        if self._over:
            return
        self._over = True
        self._queue.clear()
        self.waiting = 0
        self._front.venue.disconnected(self, code)
        self._front.interceptor.closed(self._front.venue.stream, self._ordinal, code)

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        def done(task: asyncio.Task[None]) -> None:
            self._front.tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                _report(error)
                self.drop()

        task = asyncio.get_running_loop().create_task(work)
        self._front.tasks.add(task)
        task.add_done_callback(done)
        return task

    def _wake(self) -> None:
        if self._sending is None:
            self._sending = self._start(self._send_all())

    async def _send_all(self) -> None:
        front = self._front
        try:
            while self._queue and not self._over:
                message = self._queue.popleft()
                await front.interceptor.message(front.venue.stream, self._ordinal, message, self._send, self.cut)
                if not self._over:
                    self.waiting -= not message.control
            if self._closing is not None and not self._over:
                await self._socket.close(*self._closing)
        finally:
            self._sending = None

    async def _send(self, body: str) -> None:
        if self._over:
            return
        try:
            await self._socket.send(body)
        except ConnectionClosed:
            self._end(self._socket.close_code or ABNORMAL)

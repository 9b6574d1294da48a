"""The WebSocket front: a venue's stream, spoken with the protocol of ``websockets`` on connections of our own.

``websockets`` knows the handshake, the frames and the closing (its Sans-I/O layer). Its connections are made for
handlers that read; a venue pushes, and here a message costs no lock and no task.

Each connection has one ordered queue, so its messages are struck, delayed and sent one at a time and in order. Once a
connection is over nothing is sent on it, whatever a fault held back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, cast

from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from faultline.faults.actions import How
from faultline.venues.base import Message, Request, Venue
from faultline.venues.eager import begin
from faultline.venues.http import split_target
from faultline.venues.interceptor import Interceptor
from faultline.venues.kill import finish, reset

ABNORMAL: Final = 1006
"""No close frame was seen (RFC 6455, 7.1.5)."""
GOING_AWAY: Final = 1001
_OPEN_TIMEOUT_S: Final = 10.0
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
        self.connected: set[Stream] = set()
        self.accepted = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int = 0) -> str:
        """Listen. ``port`` 0 takes a free one. Returns the base URL (``ws://host:port``)."""
        self._server = await asyncio.get_running_loop().create_server(self._stream, host, port)
        port = port or self._server.sockets[0].getsockname()[1]
        return f"ws://{host}:{port}"

    def _stream(self) -> Stream:
        return Stream(self)

    def stream_of(self, request: Request) -> str:
        """What the stream that a handshake opens is called in fault points."""
        return self.venue.stream

    @property
    def in_flight(self) -> int:
        """Messages on their way out: queued, being sent, or held by a fault. Heartbeats and the like do not count."""
        return sum(stream.waiting for stream in self.connected)

    async def stop(self) -> None:
        """Stop listening and drop every connection, also those that have gone silent."""
        if self._server is None:
            return
        self._server.close()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in list(self.connected):
            stream.drop()
        await self._server.wait_closed()
        self._server = None


class Stream(asyncio.Protocol):
    """One connection, for the wire and (:class:`faultline.venues.base.Connection`) for the venue.

    It is open from the handshake until it is ``_over``, which is when faultline is done with it: what the wire still
    needs for an orderly end goes on after that.
    """

    def __init__(self, front: StreamFront) -> None:
        self._front = front
        self._protocol = ServerProtocol(logger=_log)
        self._timer: asyncio.TimerHandle | None = None
        self._fragments: list[bytes] = []
        self._queue: deque[Message] = deque()
        self._sending = False
        self._full: asyncio.Future[None] | None = None
        self._closing: tuple[int, str] | None = None
        self._over = True
        self.name = ""
        self.ordinal = 0
        self.waiting = 0
        self.ponged = ""

    @property
    def request(self) -> Request:
        """The handshake."""
        return self._request

    # The wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; it has a while for its handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._front.connected.add(self)
        self._give_it(_OPEN_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        """Read the handshake, then frames."""
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        self._flush()
        for event in events:
            self._take(event)

    def eof_received(self) -> None:
        """The client sends no more."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._protocol.receive_eof()
        self.resume_writing()
        if self._timer is not None:
            self._timer.cancel()
        self._front.connected.discard(self)
        self._end(self._protocol.close_code or ABNORMAL)

    def pause_writing(self) -> None:
        """The client does not read: the next message waits."""
        self._full = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It reads again."""
        full, self._full = self._full, None
        if full is not None and not full.done():
            full.set_result(None)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
        if self._protocol.close_expected():
            self._give_it(_CLOSE_TIMEOUT_S)

    def _give_it(self, timeout_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._transport.abort)

    def _take(self, event: Event) -> None:
        try:
            if isinstance(event, Handshake):
                self._shake_hands(event)
            elif isinstance(event, Frame) and not self._over:
                self._take_frame(event)
        except Exception as error:
            report(error)
            self._fail(CloseCode.INTERNAL_ERROR)

    def _shake_hands(self, handshake: Handshake) -> None:
        self._accept(handshake)

    def _accept(self, handshake: Handshake) -> None:
        self._protocol.send_response(self._protocol.accept(handshake))
        self._flush()
        if self._protocol.state is not State.OPEN:
            return
        if self._timer is not None:
            self._timer.cancel()
        front = self._front
        front.accepted += 1
        self.ordinal = front.accepted
        self._request = handshake_request(handshake, self.ordinal)
        self.name = front.stream_of(self._request)
        self._over = False
        token = front.venue.token_of(self._request)
        front.interceptor.opened(self.name, self.ordinal, self.cut, token, say=self.say)
        front.venue.connected(self)

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._end(Close.parse(frame.data).code)
        elif frame.opcode is Opcode.PONG:
            self.ponged = bytes(frame.data).decode("utf-8", "replace")
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                text = b"".join(self._fragments).decode("utf-8", "replace")
                self._fragments.clear()
                self._front.venue.received(self, text)

    # What the venue does

    def push(self, message: Message) -> None:
        """Queue ``message``."""
        if self._over or self._closing is not None:
            return
        self._queue.append(message)
        self.waiting += not message.control
        self._wake()

    def ping(self, payload: str) -> None:
        """Send a ping frame, past the queue."""
        if self._can_speak and self._closing is None:
            self._protocol.send_ping(payload.encode())
            self._flush()

    def close(self, code: int, reason: str = "") -> None:
        """Close it once the queue is empty."""
        if self._closing is None:
            self._closing = (code, reason)
            self._wake()

    def _wake(self) -> None:
        if not self._sending:
            self._sending = True
            # Not at once: what caused the message (a response) was there first.
            asyncio.get_running_loop().call_soon(self._begin_sending)

    def _begin_sending(self) -> None:
        begin(self._send_all(), self._front.tasks)

    async def _send_all(self) -> None:
        front = self._front
        try:
            while self._queue and not self._over:
                message = self._queue.popleft()
                await front.interceptor.message(self.name, self.ordinal, message, self._send, self.cut)
                if not self._over:
                    self.waiting -= not message.control
            if self._closing is not None and self._can_speak:
                self._say_close(*self._closing)
        except Exception as error:
            report(error)
            self.drop()
        finally:
            self._sending = False

    @property
    def _can_speak(self) -> bool:
        # A client may have ended its half already, or sent its close frame; the loss of the connection follows.
        return not self._over and self._protocol.state is State.OPEN

    async def _send(self, body: str) -> None:
        if not self._can_speak:
            return
        self._protocol.send_text(body.encode())
        self._flush()
        if self._full is not None:
            await self._full

    # Ends

    def say(self, text: str) -> None:
        """Send a fault's last words, past the queue."""
        if self._can_speak:
            self._protocol.send_text(text.encode())
            self._flush()

    def cut(self, how: How, code: int) -> None:
        """End it as a fault says. For faultline it is over at once, also when its peer is told nothing."""
        if self._over:
            return
        if how == "close":
            code = code if 1000 <= code <= 4999 and code not in (1004, 1005, 1006, 1015) else GOING_AWAY
            self._say_close(code, "")
        elif how == "rst":
            reset(self._transport)
        elif how == "fin":
            finish(self._transport)
        else:
            # Not even a pong or the answer to a close frame: what the client sends stays in its socket.
            self._transport.pause_reading()
        self._end(code if how == "close" else ABNORMAL)

    def drop(self) -> None:
        """End it without ceremony, at teardown."""
        self._over = True
        self._transport.abort()

    def _say_close(self, code: int, reason: str) -> None:
        self._protocol.send_close(code, reason)
        self._flush()

    def _fail(self, code: CloseCode) -> None:
        self._protocol.fail(code)
        self._flush()
        self._end(code)

    def _end(self, code: int) -> None:
        if self._over:
            return
        self._over = True
        self._queue.clear()
        self.waiting = 0
        self._front.venue.disconnected(self, code)
        self._front.interceptor.closed(self.name, self.ordinal, code)


def handshake_request(handshake: Handshake, connection: int) -> Request:
    """A WebSocket handshake as venues see it."""
    path, query = split_target(handshake.path)
    headers = {name.lower(): value for name, value in handshake.headers.raw_items()}
    return Request("GET", path, query, headers, b"", connection, target=handshake.path)


def report(error: BaseException) -> None:
    """A bug of ours: the run must hear of it."""
    context = {"message": "a venue or its interceptor raised", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)

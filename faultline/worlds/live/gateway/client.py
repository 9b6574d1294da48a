"""One client's connection: requests are read one after the other, each is answered before the next is looked at.

What a client may do is bounded: a head has a size and a time, silence in the middle of a body and an answer that
nobody takes have a time, and what waits in memory is held back at its source. A WebSocket is handed to aiohttp, socket
and all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from faultline.venues.base import Begun, Broken, Response
from faultline.venues.http import CONTINUE, HEAD_MAX_BYTES, BadRequest, Head, read_head, serialise
from faultline.venues.kill import PARTIAL_PAUSE_S, finish, reset
from faultline.worlds.live.gateway.framing import LAST_CHUNK, Body, BrokeOff, Framing, announced, chunk

SILENT_S: Final = 60.0
"""How long a client may be silent in the middle of a body, or take nothing of an answer."""
LINGER_S: Final = 2.0
"""How long the rest of a body is read and thrown away once the answer is out, so that the client can read that."""


class Incoming:
    """A request whose head has arrived. ``raw`` is the head as it came, ``length`` of the body as announced."""

    __slots__ = ("body", "connection", "head", "length", "raw")

    def __init__(self, connection: ClientConnection, raw: bytes, head: Head, length: int, body: Body | None) -> None:
        self.connection = connection
        self.raw = raw
        self.head = head
        self.length = length
        self.body = body

    async def piece(self) -> bytes:
        """The next piece of its body, nothing at the end. Raises BrokeOff, BadRequest or TimeoutError."""
        body = self.body
        if body is None:
            return b""
        if body.ready:
            return await body.read()
        async with asyncio.timeout(SILENT_S):
            return await body.read()

    def promise(self) -> None:
        """Tell a client that waits for it to send the body."""
        if self.head.headers.get("expect", "").lower() == "100-continue":
            self.connection.transport.write(CONTINUE)

    @property
    def whole(self) -> bool:
        """Whether all of it was read."""
        return self.body is None or self.body.at_end


class Pieces(Protocol):
    """What is still coming of a response."""

    async def rest(self) -> bytes:
        """The next piece, nothing at the end."""
        ...


class Hall(Protocol):
    """Where connections come to: the server, as they see it."""

    def arrived(self, connection: ClientConnection) -> None:
        """A client has connected."""
        ...

    def left(self, connection: ClientConnection) -> None:
        """It is gone."""
        ...

    def answer(self, incoming: Incoming) -> asyncio.Task[None]:
        """Begin to answer a request."""
        ...

    def websocket(self, connection: ClientConnection, raw: bytes) -> None:
        """A request to become a WebSocket: take the connection over. ``raw`` is all that has arrived."""
        ...


class ClientConnection(asyncio.Protocol):
    """One TCP connection. ``since_s`` is when it last had nothing to do; ``hung_up`` is called when it is lost."""

    def __init__(self, hall: Hall, ordinal: int, loop: asyncio.AbstractEventLoop) -> None:
        self._hall = hall
        self._loop = loop
        self.ordinal = ordinal
        self.transport = cast("asyncio.Transport", None)
        self.peer = "unknown"
        self.since_s = loop.time()
        self.busy: asyncio.Task[None] | None = None
        self.hung_up: Callable[[], object] | None = None
        self.gone = False
        self._came = b""
        self._body: Body | None = None
        self._framing: Framing | None = None
        self._deaf = self._held_back = self._full = False
        self._drained: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else "unknown"
        self._hall.arrived(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.gone = self._deaf = True
        error = BrokeOff("the client has hung up")
        if self._body is not None:
            self._body.end(error)
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_exception(error)
        self._hall.left(self)
        if self.hung_up is not None:
            self.hung_up()

    # What it sends

    def data_received(self, data: bytes) -> None:
        """More of a body, or of the next request."""
        if self._deaf:
            return
        framing, body = self._framing, self._body
        if framing is not None and body is not None:
            try:
                piece, data = framing.take(data)
            except BadRequest as error:
                self._deaf = True
                body.end(error)
                return
            body.feed(piece)
            if not framing.over:
                return
            self._framing = None
            body.end()
        if data:
            self._came = self._came + data if self._came else data
            if self.busy is None:
                self._next()
            elif len(self._came) > HEAD_MAX_BYTES and not self._held_back:
                self._held_back = True
                self.transport.pause_reading()

    def _next(self) -> None:
        """Look for a whole head in what has come, and begin to answer it."""
        try:
            raw = self._cut_head()
            if raw is None:
                return
            head = read_head(raw)
            if head.method == "GET" and head.headers.get("upgrade", "").lower() == "websocket":
                self._deaf = True
                self._hall.websocket(self, raw + b"\r\n\r\n" + self._came)
                return
            if "host" not in head.headers and not raw.partition(b"\r\n")[0].endswith(b"1.0"):
                raise BadRequest(400, "a request names its host")
            length = announced(head.headers) or 0
        except BadRequest as error:
            self._refuse(error)
            return
        self._body = self._framing = None
        if length:
            self._body, self._framing = Body(self.transport), Framing(length)
        self.busy = self._hall.answer(Incoming(self, raw, head, length, self._body))
        if length and self._came:
            came, self._came = self._came, b""
            self.data_received(came)

    def _cut_head(self) -> bytes | None:
        came = self._came
        while came[:2] == b"\r\n":
            # RFC 9112, 2.2: empty lines before a request line are ignored.
            came = came[2:]
        end = came.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES + 4)
        if end < 0:
            self._came = came
            if len(came) > HEAD_MAX_BYTES:
                raise BadRequest(431, f"a request head may have {HEAD_MAX_BYTES} bytes")
            if came and not came[:1].isalpha() and came[:1] != b"\r":
                raise BadRequest(400, "this is not HTTP")
            return None
        self._came = came[end + 4 :]
        return came[:end]

    def _refuse(self, error: BadRequest) -> None:
        body = f"faultline gateway: {error}\n".encode()
        answer = Response(error.status, body, (("Content-Type", "text/plain; charset=utf-8"),))
        self.transport.write(serialise(answer, close=True))
        self._linger()

    # What it gets

    def pause_writing(self) -> None:
        """The client takes nothing at the moment."""
        self._full = True

    def resume_writing(self) -> None:
        """It takes more."""
        self._full = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    async def write(self, data: bytes) -> None:
        """Send bytes, as fast as the client takes them. Raises BrokeOff, and TimeoutError when it takes nothing."""
        if self.gone:
            raise BrokeOff("the client has hung up")
        self.transport.write(data)
        if self._full:
            self._drained = self._loop.create_future()
            async with asyncio.timeout(SILENT_S):
                await self._drained

    async def send(self, incoming: Incoming, response: Response) -> None:
        """Send a whole response."""
        if self.gone:
            return
        stays = incoming.head.keep_alive and incoming.whole
        await self.write(serialise(response, bodiless=incoming.head.method == "HEAD", close=not stays))
        self._done(stays)

    async def stream(self, incoming: Incoming, begun: Begun, pieces: Pieces) -> None:
        """Send a response as it comes. Raises what the upstream broke off with; the client must not take it for all."""
        old = incoming.raw.partition(b"\r\n")[0].endswith(b"1.0")
        chunked = begun.length is None
        stays = incoming.head.keep_alive and not (old and chunked)
        head = serialise(Begun(begun.status, b"", begun.headers, begun.length), close=not stays)
        if old and chunked:
            # RFC 9112, 6.1: not to a client of HTTP/1.0, which takes the end of the connection for the end.
            head, chunked = head.replace(b"Transfer-Encoding: chunked\r\n", b"", 1), False
        piece = begun.body
        await self.write(head + (chunk(piece) if piece and chunked else piece))
        while piece := await pieces.rest():
            await self.write(chunk(piece) if chunked else piece)
        if chunked:
            await self.write(LAST_CHUNK)
        self._done(stays and incoming.whole)

    async def break_off(self, broken: Broken, pieces: Pieces, chunked: bool) -> None:
        """End the connection as a fault wants it, after what it lets through."""
        self._deaf = True
        if self.gone:
            return
        if broken.partial:
            await self.write(broken.partial)
            left = broken.more_bytes
            while left > 0 and (piece := await pieces.rest()):
                piece = (chunk(piece) if chunked else piece)[:left]
                await self.write(piece)
                left -= len(piece)
            await asyncio.sleep(PARTIAL_PAUSE_S)
        if broken.how == "silence":
            # Until the client gives up, or the gateway stops.
            self.hung_up = self.busy.cancel if self.busy is not None else None
            if not self.gone:
                await self._loop.create_future()
        elif broken.how == "rst":
            reset(self.transport)
        else:
            finish(self.transport)

    def abort(self) -> None:
        """End it at once, so that the client takes nothing for whole."""
        self._deaf = True
        reset(self.transport)

    def _done(self, stays: bool) -> None:
        if not stays:
            self._linger()

    def _linger(self) -> None:
        # Closing with unread bytes resets the connection, and the answer may be lost with it.
        self._deaf = True
        if self._body is None or self._body.over:
            self.transport.close()
        elif not self.transport.is_closing():
            self._body.end(BrokeOff("the answer is out"))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.transport.resume_reading()
            self._loop.call_later(LINGER_S, self.transport.close)

    def answered(self) -> None:
        """The request is over: the next one may be looked at."""
        self.busy = self.hung_up = None
        self.since_s = self._loop.time()
        if self.gone or self._deaf:
            return
        if self._held_back:
            self._held_back = False
            self.transport.resume_reading()
        if self._came:
            self._next()

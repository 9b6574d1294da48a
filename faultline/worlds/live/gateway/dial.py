"""Connections to the upstream: kept alive, asked one request at a time, never asked twice.

A gateway that sent a request again on its own would make the very duplicates that it is there to find. So nothing is
repeated here, and care is taken that it seldom has to be: a connection that was idle is used again only when nothing
has arrived on it (its end would have), and for a request that changes something only when it was idle for a moment.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import Final, cast

from faultline.venues.http import HEAD_MAX_BYTES, BadRequest
from faultline.worlds.live.gateway.framing import Body, BrokeOff, Framing
from faultline.worlds.live.gateway.headers import ResponseHead, read_response

CONNECT_S: Final = 10.0
IDLE_S: Final = 15.0
"""How long a connection is kept without a request."""
IDLE_FOR_CHANGES_S: Final = 2.0
"""The same for requests other than GET, HEAD and OPTIONS: servers drop idle connections after some 5 s or more."""
_IDLE_MAX: Final = 64
_WORDLESS: Final = (204, 304)


class Unreachable(ConnectionError):
    """No connection to the upstream came about, so nothing was sent. ``late``: it took too long."""

    def __init__(self, why: str, *, late: bool = False) -> None:
        super().__init__(why)
        self.late = late


class UpstreamConnection(asyncio.Protocol):
    """One connection. :meth:`ask` sends a request; then come the head of the response and its body."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.transport = cast("asyncio.Transport", None)
        self._came = b""
        self._waiter: asyncio.Future[ResponseHead] | None = None
        self._bodiless = False
        self._head: ResponseHead | None = None
        self._framing: Framing | None = None
        self._body: Body | None = None
        self._error: Exception | None = None
        self._drained: asyncio.Future[None] | None = None
        self._full = False
        self.active_s = loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self.transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    def ask(self, data: bytes, bodiless: bool) -> asyncio.Future[ResponseHead]:
        """Send a request; the head of its response. ``bodiless``: it is a HEAD.

        The future raises BrokeOff, BadRequest or TimeoutError. Write the rest of a body with :meth:`write`.
        """
        self._head = self._body = None
        self._bodiless = bodiless
        self.active_s = self._loop.time()
        self._waiter = self._loop.create_future()
        self.transport.write(data)
        return self._waiter

    async def write(self, data: bytes) -> None:
        """Send more of a request's body, as fast as the upstream takes it. Raises BrokeOff."""
        if self.transport.is_closing():
            raise BrokeOff("the upstream has hung up")
        self.active_s = self._loop.time()
        self.transport.write(data)
        if self._full:
            self._drained = self._loop.create_future()
            await self._drained
            self.active_s = self._loop.time()

    @property
    def body(self) -> Body | None:
        """The body of the response; None where it has none."""
        return self._body

    def data_received(self, data: bytes) -> None:
        """Bytes from the upstream."""
        self.active_s = self._loop.time()
        try:
            while data:
                if self._framing is not None:
                    data = self._more(self._framing, data)
                elif self._waiter is not None:
                    data = self._read_head(data)
                else:
                    # Nobody asked: an answer to nothing must not be taken for the next one.
                    self.transport.abort()
                    return
        except BadRequest as error:
            self.fail(error)

    def _more(self, framing: Framing, data: bytes) -> bytes:
        body = self._body
        assert body is not None
        piece, rest = framing.take(data)
        body.feed(piece)
        if framing.over:
            self._framing = None
            body.end()
        return rest

    def _read_head(self, data: bytes) -> bytes:
        data = self._came + data
        end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES + 4)
        if end < 0:
            if len(data) > HEAD_MAX_BYTES:
                raise BadRequest(502, f"the head of a response may have {HEAD_MAX_BYTES} bytes")
            self._came = data
            return b""
        self._came = b""
        head = read_response(data[:end])
        if 100 <= head.status < 200:
            if head.status == 101:
                raise BadRequest(502, "the upstream changed to a protocol that nobody asked for")
            return data[end + 4 :]
        waiter, self._waiter = self._waiter, None
        assert waiter is not None
        self._head = head
        self._body = self._framing = None
        if not (self._bodiless or head.status in _WORDLESS or head.length == 0):
            self._body, self._framing = Body(self.transport), Framing(head.length)
        if not waiter.done():
            waiter.set_result(head)
        return data[end + 4 :]

    def fail(self, error: Exception) -> None:
        """End it with ``error`` for whoever waits."""
        self._error = self._error or error
        self.transport.abort()
        self._over(self._error)

    def _over(self, error: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if self._body is not None:
            whole = self._framing is not None and self._framing.until_the_end and isinstance(error, BrokeOff)
            self._body.end(None if whole else error)
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_exception(BrokeOff("the upstream has hung up"))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        reset = exc is not None and self._framing is not None and self._framing.until_the_end
        self._over(self._error or (ConnectionResetError(str(exc)) if reset else BrokeOff("the upstream has hung up")))

    def pause_writing(self) -> None:
        """The upstream takes nothing at the moment."""
        self._full = True

    def resume_writing(self) -> None:
        """It takes more."""
        self._full = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    @property
    def silent_since_s(self) -> float | None:
        """When the upstream last did anything, where it is its turn; None while its client holds it back."""
        return None if self._body is not None and self._body.held_back else self.active_s

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        head = self._head
        return (
            head is not None and head.stays and self._framing is None and self._waiter is None
            and not self._came and not self._full and not self.transport.is_closing()
        )  # fmt: skip

    def something_came(self) -> bool:
        """Whether the kernel has something that the loop has not read yet: of an idle connection its end, most likely.

        Only of a connection that is :attr:`reusable`: the number of its socket is another's later.
        """
        return bool(self._poll.poll(0))

    def stays_for_s(self, most_s: float) -> float:
        """How long it may be idle and be used again: a second less than the upstream said."""
        return min(most_s, self._head.idle_s - 1.0 if self._head is not None else most_s)


class Pool:
    """Connections to ``host`` and ``port``. ``answer_s`` is how long the upstream may be silent."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, answer_s: float) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._answer_s = answer_s
        self._loop = asyncio.get_running_loop()
        self._idle: list[UpstreamConnection] = []
        self._busy: set[UpstreamConnection] = set()
        self._sweep_s = min(1.0, answer_s / 4)
        self._timer = self._loop.call_later(self._sweep_s, self._sweep)

    async def acquire(self, changes: bool) -> UpstreamConnection:
        """A connection to ask on; ``changes``: for a request that may change something. Raises Unreachable."""
        now_s = self._loop.time()
        while self._idle:
            connection = self._idle.pop()
            idle_s = now_s - connection.active_s
            most_s = connection.stays_for_s(IDLE_FOR_CHANGES_S if changes else IDLE_S)
            if connection.reusable and idle_s <= most_s and not connection.something_came():
                self._busy.add(connection)
                return connection
            connection.transport.close()
        connection = await self._dial()
        self._busy.add(connection)
        return connection

    async def _dial(self) -> UpstreamConnection:
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self._loop),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls is not None else None,
                )
        except TimeoutError as error:
            raise Unreachable("connecting takes too long", late=True) from error
        except ssl.SSLError as error:
            raise Unreachable(error.reason or "TLS failed") from error
        except OSError as error:
            raise Unreachable(error.strerror or type(error).__name__) from error
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        """It was asked and has answered: kept where it can be, else ended."""
        self._busy.discard(connection)
        if connection.reusable and len(self._idle) < _IDLE_MAX:
            connection.active_s = self._loop.time()
            self._idle.append(connection)
        else:
            connection.transport.close()

    def drop(self, connection: UpstreamConnection) -> None:
        """Nobody waits for the rest of its answer: end it, and with it the upstream's work."""
        self._busy.discard(connection)
        connection.fail(BrokeOff("nobody waits for the answer"))

    def _sweep(self) -> None:
        now_s = self._loop.time()
        for connection in [*self._busy]:
            since_s = connection.silent_since_s
            if since_s is not None and now_s - since_s > self._answer_s:
                connection.fail(TimeoutError("the upstream is silent"))
        kept = []
        for connection in self._idle:
            if now_s - connection.active_s <= connection.stays_for_s(IDLE_S) and connection.reusable:
                kept.append(connection)
            else:
                connection.transport.close()
        self._idle = kept
        self._timer = self._loop.call_later(self._sweep_s, self._sweep)

    def close(self) -> None:
        """End every connection."""
        self._timer.cancel()
        for connection in [*self._busy, *self._idle]:
            connection.fail(BrokeOff("the gateway stops"))
        self._busy.clear()
        self._idle.clear()

"""The raw HTTP/1.1 front: a venue on a socket with nothing between but this file and :mod:`faultline.venues.http`.

It serves simulated runs, where each request counts: no routing, no middleware, and a task only for a request that has
to wait. What a client sees is what it sees of the aiohttp front; the same tests run against both.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Final, cast

from faultline.venues.base import Broken, Request, Response, Venue
from faultline.venues.eager import begin
from faultline.venues.http import CONTINUE, BadRequest, Incoming, RequestParser, serialise
from faultline.venues.interceptor import Interceptor
from faultline.venues.kill import PARTIAL_PAUSE_S, finish, reset

PIPELINE_MAX: Final = 64
"""Requests read ahead on one connection before reading pauses."""


class RawFront:
    """Serves ``venue`` over plain HTTP. ``async start`` returns the URL; ``in_flight`` counts unanswered requests."""

    def __init__(self, venue: Venue, interceptor: Interceptor) -> None:
        self.venue = venue
        self.interceptor = interceptor
        self.in_flight = 0
        self.open: set[RawConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int = 0) -> str:
        """Listen. ``port`` 0 takes a free one. Returns the base URL."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port)
        port = port or self._server.sockets[0].getsockname()[1]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening, drop every connection and every handler, also those that a fault holds for ever."""
        if self._server is None:
            return
        self._server.close()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self.open):
            connection.drop()
        await self._server.wait_closed()
        self._server = None

    def _accept(self) -> RawConnection:
        self._accepted += 1
        return self._connection(self._accepted)

    def _connection(self, ordinal: int) -> RawConnection:
        return RawConnection(self, ordinal)


class RawConnection(asyncio.Protocol):
    """One TCP connection: requests are answered in the order in which they came.

    ``_deaf``: nothing more is read as a request. ``_mute``: nothing more is written.
    """

    __slots__ = (
        "_busy",
        "_deaf",
        "_front",
        "_garbage",
        "_mute",
        "_ordinal",
        "_parser",
        "_paused",
        "_queue",
        "_sent_s",
        "_transport",
    )

    def __init__(self, front: RawFront, ordinal: int) -> None:
        self._front = front
        self._ordinal = ordinal
        self._parser = RequestParser()
        self._queue: deque[tuple[Incoming, float | None]] = deque()
        self._garbage: BadRequest | None = None
        self._busy = self._paused = self._deaf = self._mute = False
        self._sent_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._front.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        # The handler that runs goes on: a request that arrived takes effect whether or not its client waits.
        # Requests behind it were never looked at, as with any server.
        self._fall_silent()
        self._front.open.discard(self)

    def data_received(self, data: bytes) -> None:
        """Read requests, and answer them in a task of the connection."""
        if self._deaf:
            return
        parser = self._parser
        if not parser.begun:
            self._sent_s = self._transport.get_extra_info("sent_at_s")
        parser.feed(data)
        try:
            while (incoming := parser.next()) is not None:
                self._queue.append((incoming, self._sent_s))
                self._front.in_flight += 1
            if parser.must_continue():
                self._transport.write(CONTINUE)
        except BadRequest as error:
            self._deaf = True
            self._garbage = error
        if len(self._queue) > PIPELINE_MAX and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        if not self._busy and (self._queue or self._garbage):
            self._busy = True
            begin(self._serve(), self._front.tasks)

    @property
    def idle(self) -> bool:
        """Whether the next byte begins another request."""
        return not (self._busy or self._deaf or self._queue or self._parser.begun)

    def drop(self) -> None:
        """End it without ceremony, at teardown."""
        self._fall_silent()
        self._transport.abort()

    def _fall_silent(self) -> None:
        self._deaf = self._mute = True
        self._front.in_flight -= len(self._queue)
        self._queue.clear()

    async def _serve(self) -> None:
        try:
            while self._queue:
                incoming, sent_s = self._queue.popleft()
                try:
                    await self._answer(incoming, sent_s)
                finally:
                    self._front.in_flight -= 1
            if self._garbage is not None and not self._mute:
                self._refuse(self._garbage)
            if self._paused and not self._mute:
                self._paused = False
                self._transport.resume_reading()
        except Exception as error:
            # A bug of ours: the run must hear of it, and the client must not wait for ever.
            self._fall_silent()
            reset(self._transport)
            context = {"message": "a venue or its interceptor raised", "exception": error, "protocol": self}
            asyncio.get_running_loop().call_exception_handler(context)
        finally:
            self._busy = False

    async def _answer(self, incoming: Incoming, sent_s: float | None) -> None:
        head = incoming.head
        request = Request(
            head.method,
            head.path,
            head.query,
            head.headers,
            incoming.body,
            self._ordinal,
            sent_s,
            gone=self._transport.is_closing,
            target=head.target,
        )
        response = await self._front.interceptor.request(request, self._front.venue)
        if self._mute:
            return
        if isinstance(response, Broken):
            await self._break(response)
            return
        self._transport.write(serialise(response, bodiless=head.method == "HEAD", close=not head.keep_alive))
        if not head.keep_alive:
            self._fall_silent()
            self._transport.close()

    def _refuse(self, error: BadRequest) -> None:
        self._mute = True
        body = json.dumps({"error": "bad_request", "message": str(error)}).encode()
        self._transport.write(serialise(Response(error.status, body), close=True))
        self._transport.close()

    async def _break(self, broken: Broken) -> None:
        # What arrives from here on is not read; a silent connection stays open until its client or the teardown
        # ends it.
        self._fall_silent()
        if broken.partial:
            self._transport.write(broken.partial)
            await asyncio.sleep(PARTIAL_PAUSE_S)
        if broken.how == "rst":
            reset(self._transport)
        elif broken.how != "silence":
            finish(self._transport)

"""The aiohttp front: the same venue behind the server that many real APIs' test doubles use.

It is built on aiohttp's low-level server: every path goes to the venue, which answers 404 itself. Slower than the
raw front, and the proof that the seam is right: the same tests run against both.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

from faultline.venues.base import Broken, Request, Venue
from faultline.venues.http import CONTINUE, split_target
from faultline.venues.interceptor import Interceptor
from faultline.venues.kill import PARTIAL_PAUSE_S, finish, reset

_log = logging.getLogger("faultline.rest")
_log.addHandler(logging.NullHandler())
# aiohttp reports garbage from clients as errors of the server's; here it is what clients are tested with.
_log.propagate = False

_SHUTDOWN_S = 0.01
_KEEPALIVE_S = 3600.0


class _Server(web.Server):
    """aiohttp's low-level server, which also numbers connections as they are made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ordinals: dict[object, int] = {}
        self._accepted = 0

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._accepted += 1
        self.ordinals[handler] = self._accepted

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.ordinals.pop(handler, None)


class _Nothing(web.StreamResponse):
    """The answer on a connection that is over. aiohttp takes the error for a client that went away, and is quiet."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        raise ConnectionResetError("the connection is over")


class AiohttpFront:
    """Serves ``venue`` through aiohttp. ``async start`` returns the URL; ``in_flight`` counts unanswered requests."""

    def __init__(self, venue: Venue, interceptor: Interceptor) -> None:
        self.venue = venue
        self.interceptor = interceptor
        self.in_flight = 0
        self._handlers: set[asyncio.Task[Any]] = set()
        self._http: _Server | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int = 0) -> str:
        """Listen. ``port`` 0 takes a free one. Returns the base URL."""
        # A handler must outlive its client: a request that arrived takes effect whether or not anybody waits.
        self._http = _Server(
            self._answer,
            request_factory=self._request,
            handler_cancellation=False,
            access_log=None,
            logger=_log,
            keepalive_timeout=_KEEPALIVE_S,
            auto_decompress=False,
        )
        self._server = await asyncio.get_running_loop().create_server(self._http, host, port)
        port = port or self._server.sockets[0].getsockname()[1]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening, drop every connection and every handler, also those that a fault holds for ever."""
        if self._server is None or self._http is None:
            return
        self._server.close()
        handlers = list(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await self._http.shutdown(_SHUTDOWN_S)
        await self._server.wait_closed()
        self._server = self._http = None

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        # client_max_size=0: aiohttp's own limit would answer 413 before a fault sees the request.
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=0)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        try:
            seen = await self._read(request)
        except (ConnectionError, web.RequestPayloadError):
            # The client hung up in the middle of the body: nothing arrived that could take effect.
            return _Nothing()
        self.in_flight += 1
        try:
            response = await self.interceptor.request(seen, self.venue)
        except Exception as error:
            # A bug of ours: the run must hear of it; aiohttp would only log it and answer 500.
            context = {"message": "a venue or its interceptor raised", "exception": error, "protocol": request.protocol}
            asyncio.get_running_loop().call_exception_handler(context)
            response = Broken("rst")
        finally:
            self.in_flight -= 1
        if isinstance(response, Broken):
            await self._break(request, response)
            return _Nothing()
        return web.Response(status=response.status, body=response.body, headers=response.headers)

    async def _read(self, request: web.BaseRequest) -> Request:
        ordinal, sent_s = self._origin(request)
        path, query = split_target(request.raw_path)
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
            # aiohttp leaves this to its router, which is not used here.
            request.transport.write(CONTINUE)
        body = await request.read()
        return Request(
            request.method,
            path,
            query,
            headers,
            body,
            ordinal,
            sent_s,
            gone=lambda: request.transport is None or request.transport.is_closing(),
            target=request.raw_path,
        )

    def _origin(self, request: web.BaseRequest) -> tuple[int, float | None]:
        """Which connection a request came on, and when it was sent if the world knows. 0 once it is gone."""
        transport = request.transport
        if transport is None or self._http is None:
            return 0, None
        return self._http.ordinals.get(request.protocol, 0), transport.get_extra_info("sent_at_s")

    async def _break(self, request: web.BaseRequest, broken: Broken) -> None:
        transport = request.transport
        if transport is None:
            return
        if broken.partial:
            transport.write(broken.partial)
            await asyncio.sleep(PARTIAL_PAUSE_S)
        if broken.how == "silence":
            # Until stop() cancels the handler.
            await asyncio.get_running_loop().create_future()
        elif broken.how == "rst":
            reset(transport)
        else:
            finish(transport)

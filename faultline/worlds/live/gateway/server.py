"""The listening side of the gateway, on aiohttp's low-level server: what is written to clients, and when it ends.

Small answers are written as bytes in one piece; what is still coming from the upstream streams through with
backpressure. An upstream that breaks off in the middle of a body resets its client, which would else take a part for
the whole. There is no way to control it from the wire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp import web

from faultline.errors import UsageError
from faultline.venues.base import Begun, Broken
from faultline.venues.http import serialise
from faultline.venues.interceptor import Interceptor
from faultline.venues.kill import PARTIAL_PAUSE_S, finish, reset
from faultline.worlds.live.gateway.effects import EffectLedger
from faultline.worlds.live.gateway.exchange import Exchange, Gone, Surroundings
from faultline.worlds.live.gateway.outlook import Outlook
from faultline.worlds.live.gateway.streams import Relay, wants_websocket
from faultline.worlds.live.gateway.upstream import UpstreamAddress
from faultline.worlds.live.proxy.guard import IDLE_S, ConnectionGuard

ANSWER_S: Final = 60.0
"""How long an upstream may be silent before the client gets 504."""
_WRITE_HIGH_BYTES: Final = 64 * 1024
_SHUTDOWN_S: Final = 0.01

_log = logging.getLogger("faultline.gateway")
_log.addHandler(logging.NullHandler())
# aiohttp reports garbage from clients as errors of the server's.
_log.propagate = False


class _Server(web.Server):
    """aiohttp's low-level server, which numbers connections and tells when one is gone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ordinals: dict[object, int] = {}
        self.exchanges: dict[object, Exchange] = {}
        self._accepted = 0

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._accepted += 1
        self.ordinals[handler] = self._accepted

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.ordinals.pop(handler, None)
        if (exchange := self.exchanges.get(handler)) is not None:
            exchange.hung_up()


class _Over(web.StreamResponse):
    """The answer on a connection that is over. aiohttp takes the error for a client that went away, and is quiet."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        raise ConnectionResetError("the connection is over")


class _Written(web.StreamResponse):
    """An answer as bytes, written in one piece."""

    def __init__(self, data: bytes, keep_alive: bool) -> None:
        super().__init__()
        self._data = data
        self._stays = keep_alive

    @property
    def keep_alive(self) -> bool | None:
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> Any:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        transport.write(self._data)
        if transport.get_write_buffer_size() > _WRITE_HIGH_BYTES:
            await request.protocol._drain_helper()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class GatewayServer:
    """A gateway before ``address``. ``stream`` names its WebSockets in fault points: ``user`` for ``stream user``.

    ``concern`` tells whether a fault may strike an endpoint; ``idle_s`` is how long a connection may be without a
    request, and how long a head may take.
    """

    def __init__(
        self,
        address: UpstreamAddress,
        interceptor: Interceptor,
        effects: EffectLedger,
        outlook: Outlook,
        concern: Callable[[str], bool],
        *,
        stream: str = "user",
        answer_s: float = ANSWER_S,
        idle_s: float = IDLE_S,
        ssl: object = True,
    ) -> None:
        self._address = address
        self._interceptor = interceptor
        self._effects = effects
        self._outlook = outlook
        self._concern = concern
        self._stream = stream
        self._answer_s = answer_s
        self._idle_s = idle_s
        self._ssl = ssl
        self._handlers: set[asyncio.Task[Any]] = set()
        self._http: _Server | None = None
        self._server: asyncio.Server | None = None
        self._guard: ConnectionGuard | None = None
        self._around: Surroundings | None = None

    async def start(self, host: str, port: int = 0) -> str:
        """Listen; ``port`` 0 takes a free one. Returns the URL. Raises UsageError when that cannot be."""
        http = _Server(
            self._answer, handler_cancellation=False, access_log=None, logger=_log, keepalive_timeout=self._idle_s,
            auto_decompress=False, request_factory=_request,
        )  # fmt: skip
        try:
            self._server = await asyncio.get_running_loop().create_server(http, host, port)
        except OSError as error:
            raise UsageError(f"the gateway cannot listen on {host}:{port}: {error.strerror}") from error
        self._http = http
        self._guard = ConnectionGuard(http, idle_s=self._idle_s, sweep_s=min(5.0, self._idle_s / 2))
        session = self._address.session(self._answer_s, self._ssl)
        self._around = Surroundings(self._address, session, self._outlook, self._effects, self._concern, set())
        port = port or self._server.sockets[0].getsockname()[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Stop listening, drop every connection and every request, also those that a fault holds for ever."""
        if self._server is None or self._http is None or self._around is None or self._guard is None:
            return
        self._server.close()
        self._guard.stop()
        tasks = [*self._handlers, *self._around.copies]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.shutdown(_SHUTDOWN_S)
        await self._around.session.close()
        await self._server.wait_closed()
        self._server = self._http = self._around = self._guard = None

    @property
    def copies(self) -> int:
        """Copies of requests that are on their way to the upstream."""
        return 0 if self._around is None else len(self._around.copies)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        task, http, guard, around = asyncio.current_task(), self._http, self._guard, self._around
        assert task is not None
        if http is None or guard is None or around is None:
            return _Over()
        self._handlers.add(task)
        guard.began(request.protocol)
        connection = http.ordinals.get(request.protocol, 0)
        try:
            if wants_websocket(request):
                return await Relay(around, self._interceptor, self._stream, request, connection).serve() or _Over()
            exchange = http.exchanges[request.protocol] = Exchange(around, request, connection)
            try:
                return await self._exchange(request, exchange)
            finally:
                exchange.end()
                http.exchanges.pop(request.protocol, None)
        finally:
            guard.ended(request.protocol)
            self._handlers.discard(task)

    async def _exchange(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        try:
            seen = await exchange.read()
        except Gone:
            # The client hung up in the middle of the body: nothing arrived that could take effect.
            _abort(request)
            return _Over()
        try:
            response = await self._interceptor.forward(seen, exchange)
        except Exception as error:
            context = {"message": "the gateway or its interceptor raised", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            _abort(request)
            return _Over()
        if isinstance(response, Broken):
            await self._break(request, response, exchange)
            return _Over()
        if isinstance(response, Begun) and exchange.rest is not None:
            return await self._stream_on(request, response, exchange)
        stays = bool(request.keep_alive)
        return _Written(serialise(response, bodiless=request.method == "HEAD", close=not stays), stays)

    async def _stream_on(self, request: web.BaseRequest, response: Begun, exchange: Exchange) -> web.StreamResponse:
        out = web.StreamResponse(status=response.status)
        out.headers.extend(response.headers)
        if response.length is not None:
            out.content_length = response.length
        try:
            await out.prepare(request)
            if response.body:
                await out.write(response.body)
            async for piece in exchange.pieces():
                await out.write(piece)
            await out.write_eof()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            _abort(request)
            return _Over()
        except asyncio.CancelledError:
            if request.transport is not None:
                raise
            return _Over()
        return out

    async def _break(self, request: web.BaseRequest, broken: Broken, exchange: Exchange) -> None:
        transport = request.transport
        if transport is None:
            return
        if broken.partial:
            transport.write(broken.partial)
            left = broken.more_bytes
            if left:
                async for piece in exchange.pieces():
                    if exchange.chunked:
                        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
                    transport.write(piece[:left])
                    await request.protocol._drain_helper()
                    left -= len(piece)
                    if left <= 0:
                        break
            await asyncio.sleep(PARTIAL_PAUSE_S)
        if broken.how == "silence":
            # Until stop() cancels the handler.
            await asyncio.get_running_loop().create_future()
        elif broken.how == "rst":
            reset(transport)
        else:
            finish(transport)


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        reset(request.transport)


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    # client_max_size=0: bodies of any size stream through; what is held has its own bound.
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=0)

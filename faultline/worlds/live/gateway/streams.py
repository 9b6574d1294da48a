"""A WebSocket through the gateway: both ways, message by message, on aiohttp at either side.

Data messages from the upstream are fault points on ``stream <name>``; those from the client pass as they come.
Pings are answered on each side by itself. Binary messages go through the interceptor as text of one character per
byte.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import aiohttp
from aiohttp import WSMsgType, web
from yarl import URL

from faultline.faults.actions import How
from faultline.venues.base import Message, Request
from faultline.venues.http import split_target
from faultline.venues.interceptor import Interceptor
from faultline.venues.kill import finish, reset
from faultline.worlds.live.gateway.client import ClientConnection
from faultline.worlds.live.gateway.exchange import Surroundings
from faultline.worlds.live.gateway.headers import seen, to_upstream

MESSAGE_MAX_BYTES: Final = 8 * 1024 * 1024
ABNORMAL: Final = 1006
_CLOSE_S: Final = 1.0
_SHUTDOWN_S: Final = 0.01
_TOPIC: Final = "message"

_log = logging.getLogger("faultline.gateway")
_log.addHandler(logging.NullHandler())
# aiohttp reports garbage from clients as errors of the server's.
_log.propagate = False

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


def _sendable(code: int | None) -> bool:
    return code is not None and 1000 <= code <= 4999 and code not in (1004, 1005, 1006, 1015)


class WebSockets:
    """Speaks WebSocket on connections that have asked for it (aiohttp's low-level server)."""

    def __init__(self, around: Surroundings, interceptor: Interceptor, stream: str) -> None:
        self._around = around
        self._interceptor = interceptor
        self._stream = stream
        self._ordinals: dict[object, int] = {}
        self._server = web.Server(
            self._serve, handler_cancellation=False, access_log=None, logger=_log, request_factory=_request
        )
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.connections)

    def take(self, connection: ClientConnection, raw: bytes) -> None:
        """Go on with a connection; ``raw`` is all that has arrived on it."""
        handler = self._server()
        self._ordinals[handler] = connection.ordinal
        connection.transport.set_protocol(handler)
        handler.connection_made(connection.transport)
        handler.data_received(raw)

    async def stop(self) -> None:
        """End all of them, also those that a fault keeps silent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.shutdown(_SHUTDOWN_S)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        ordinal, task = self._ordinals.pop(request.protocol, 0), asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            response = await Relay(self._around, self._interceptor, self._stream, request, ordinal).serve()
        finally:
            self._tasks.discard(task)
        if response is None:
            return _Over()
        if not isinstance(response, web.WebSocketResponse):
            response.force_close()
        return response


class _Over(web.StreamResponse):
    """The answer on a connection that is over. aiohttp takes the error for a client that went away, and is quiet."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        raise ConnectionResetError("the connection is over")


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())


class Relay:
    """One WebSocket connection."""

    def __init__(
        self, around: Surroundings, interceptor: Interceptor, stream: str, request: web.BaseRequest, connection: int
    ) -> None:
        self._around = around
        self._interceptor = interceptor
        self._stream = stream
        self._request = request
        self._connection = connection
        self._cut: tuple[How, int] | None = None
        self._over = asyncio.Event()

    async def serve(self) -> web.StreamResponse | None:
        """From the handshake to the end. An upstream that refuses it has its answer passed on."""
        request, around = self._request, self._around
        offered = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        headers = to_upstream(request.headers, request.remote or "unknown", request.scheme)
        try:
            upstream = await around.session.ws_connect(
                URL(around.address.base + request.raw_path, encoded=True),
                headers=headers,
                protocols=[each for each in offered if each],
                max_msg_size=MESSAGE_MAX_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
            )
        except aiohttp.WSServerHandshakeError as refusal:
            return web.Response(status=refusal.status)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return web.Response(status=502, text="faultline gateway: the upstream's stream cannot be reached\n")
        chosen = (upstream.protocol,) if upstream.protocol else ()
        client = web.WebSocketResponse(
            protocols=chosen, compress=False, max_msg_size=MESSAGE_MAX_BYTES, timeout=_CLOSE_S
        )
        try:
            await client.prepare(request)
            await self._relay(client, upstream)
        except ConnectionError:
            return None
        finally:
            await upstream.close()
        return client

    async def _relay(self, client: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse) -> None:
        path, query = split_target(self._request.raw_path)
        token = self._around.outlook.token_of(Request("GET", path, query, seen(self._request.headers)))
        self._interceptor.opened(self._stream, self._connection, self._end_as, token)
        tasks = {
            asyncio.create_task(self._up(client, upstream)),
            asyncio.create_task(self._down(upstream, client)),
            asyncio.create_task(self._struck()),
        }
        code: int | None = None
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code = self._cut[1] if self._cut else client.close_code or upstream.close_code
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._interceptor.closed(self._stream, self._connection, code or ABNORMAL)
        if self._cut is not None:
            await upstream.close()
            await self._end(client, *self._cut)
        elif _sendable(code):
            assert code is not None
            await asyncio.gather(client.close(code=code), upstream.close(code=code), return_exceptions=True)
        elif self._request.transport is not None:
            reset(self._request.transport)

    async def _up(self, client: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse) -> None:
        async for message in client:
            await _send(upstream, message)

    async def _down(self, upstream: aiohttp.ClientWebSocketResponse, client: web.WebSocketResponse) -> None:
        async def text(body: str) -> None:
            await client.send_str(body)

        async def binary(body: str) -> None:
            await client.send_bytes(body.encode("latin-1", "replace"))

        async for message in upstream:
            is_text = message.type is WSMsgType.TEXT
            body: str = message.data if is_text else message.data.decode("latin-1")
            await self._interceptor.message(
                self._stream, self._connection, Message(_TOPIC, body), text if is_text else binary, self._end_as
            )

    def _end_as(self, how: How, code: int) -> None:
        self._cut = self._cut or (how, code)
        self._over.set()

    async def _struck(self) -> None:
        await self._over.wait()

    async def _end(self, client: web.WebSocketResponse, how: How, code: int) -> None:
        transport = self._request.transport
        if transport is None:
            return
        if how == "close":
            await client.close(code=code if _sendable(code) else 1001)
        elif how == "rst":
            reset(transport)
        elif how == "fin":
            finish(transport)
        else:
            # Not even the answer to a close frame, until stop() cancels the handler.
            transport.pause_reading()
            await asyncio.get_running_loop().create_future()


async def _send(to: Socket, message: aiohttp.WSMessage) -> None:
    if message.type is WSMsgType.TEXT:
        await to.send_str(message.data)
    else:
        await to.send_bytes(message.data)

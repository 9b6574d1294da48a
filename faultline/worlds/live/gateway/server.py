"""The listening side of the gateway: who may stay connected for how long, and each request on its way to an answer.

Small answers are written as bytes in one piece; what is still coming from the upstream streams through with
backpressure. An upstream that breaks off in the middle of a body resets its client, which would else take a part for
the whole. There is no way to control it from the wire.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from faultline.venues.base import Begun, Broken
from faultline.venues.interceptor import Interceptor
from faultline.worlds.live.gateway.client import ClientConnection, Incoming
from faultline.worlds.live.gateway.effects import EffectLedger
from faultline.worlds.live.gateway.exchange import Exchange, Gone, Surroundings
from faultline.worlds.live.gateway.outlook import Outlook
from faultline.worlds.live.gateway.streams import WebSockets
from faultline.worlds.live.gateway.upstream import UpstreamAddress
from faultline.worlds.live.proxy.address import Address, cannot_listen

ANSWER_S: Final = 60.0
"""How long an upstream may be silent before the client gets 504."""
IDLE_S: Final = 60.0
"""How long a connection may be without a request, and how long a head may take."""
CONNECTIONS_MAX: Final = 2_000
_SWEEP_S: Final = 5.0


class GatewayServer:
    """A gateway before ``address``. ``stream`` names its WebSockets in fault points: ``user`` for ``stream user``.

    ``concern`` tells whether a fault may strike an endpoint; ``idle_s`` is how long a connection may be without a
    request, and how long a head may take; ``connections_max`` how many there may be: the one that was idle longest
    goes for a new one, and where none is idle the new one goes.
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
        tls: ssl.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self._address = address
        self._interceptor = interceptor
        self._effects = effects
        self._outlook = outlook
        self._concern = concern
        self._stream = stream
        self._answer_s = answer_s
        self._idle_s = idle_s
        self._tls = tls
        self._connections_max = connections_max
        self._accepted = 0
        self._open: dict[ClientConnection, None] = {}
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._around: Surroundings | None = None
        self._websockets: WebSockets | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    async def start(self, host: str, port: int = 0) -> str:
        """Listen; ``port`` 0 takes a free one. Returns the URL. Raises UsageError when that cannot be."""
        loop = self._loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, host, port, backlog=512)
        except OSError as error:
            raise cannot_listen("the gateway", Address(host, port), error) from error
        address = self._address
        self._around = Surroundings(
            address, address.pool(self._answer_s, self._tls), address.session(self._answer_s, self._tls),
            self._outlook, self._effects, self._concern, set(),
        )  # fmt: skip
        self._websockets = WebSockets(self._around, self._interceptor, self._stream)
        self._sweep()
        port = port or self._server.sockets[0].getsockname()[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Stop listening, drop every connection and every request, also those that a fault holds for ever."""
        server, around, websockets, timer = self._server, self._around, self._websockets, self._timer
        if server is None or around is None or websockets is None or timer is None:
            return
        self._server = self._around = self._websockets = self._timer = None
        server.close()
        timer.cancel()
        tasks = [*self._handlers, *around.copies]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in [*self._open]:
            connection.transport.abort()
        await websockets.stop()
        around.pool.close()
        await around.session.close()
        await server.wait_closed()

    @property
    def copies(self) -> int:
        """Copies of requests that are on their way to the upstream."""
        return 0 if self._around is None else len(self._around.copies)

    @property
    def connections(self) -> int:
        """Connections of clients, WebSockets among them."""
        return len(self._open) + (0 if self._websockets is None else self._websockets.connections)

    # Connections

    def _accept(self) -> ClientConnection:
        self._accepted += 1
        return ClientConnection(self, self._accepted, self._loop)

    def arrived(self, connection: ClientConnection) -> None:
        """A client has connected. Where there are too many, the one that was idle longest goes."""
        if self.connections >= self._connections_max:
            idle = min((each for each in self._open if each.busy is None), key=lambda each: each.since_s, default=None)
            if idle is None:
                connection.transport.abort()
            else:
                idle.transport.abort()
                self._open.pop(idle)
        self._open[connection] = None

    def left(self, connection: ClientConnection) -> None:
        """It is gone."""
        self._open.pop(connection, None)

    def _sweep(self) -> None:
        now_s = self._loop.time()
        for connection in [*self._open]:
            if connection.busy is None and now_s - connection.since_s >= self._idle_s:
                connection.transport.abort()
        self._timer = self._loop.call_later(min(_SWEEP_S, self._idle_s / 2), self._sweep)

    def websocket(self, connection: ClientConnection, raw: bytes) -> None:
        """Hand a connection over to what speaks WebSocket."""
        self.left(connection)
        if self._websockets is None:
            connection.transport.abort()
        else:
            self._websockets.take(connection, raw)

    # Requests

    def answer(self, incoming: Incoming) -> asyncio.Task[None]:
        """Begin to answer a request."""
        task = self._loop.create_task(self._answer(incoming))
        self._handlers.add(task)
        return task

    async def _answer(self, incoming: Incoming) -> None:
        task, around = asyncio.current_task(), self._around
        assert task is not None
        connection = incoming.connection
        try:
            if around is None:
                connection.abort()
                return
            exchange = Exchange(around, incoming)
            try:
                await self._exchange(exchange, incoming)
            finally:
                exchange.end()
        except Gone:
            # The client hung up, sent garbage or takes nothing; or the upstream broke off in the middle of a body.
            connection.abort()
        except Exception as error:
            context = {"message": "the gateway or its interceptor raised", "exception": error}
            self._loop.call_exception_handler(context)
            connection.abort()
        finally:
            self._handlers.discard(task)
            connection.answered()

    async def _exchange(self, exchange: Exchange, incoming: Incoming) -> None:
        connection = incoming.connection
        response = await self._interceptor.forward(await exchange.read(), exchange)
        if isinstance(response, Broken):
            await connection.break_off(response, exchange, exchange.chunked)
        elif isinstance(response, Begun) and exchange.streams:
            await connection.stream(incoming, response, exchange)
        else:
            await connection.send(incoming, response)

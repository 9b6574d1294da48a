"""WebSockets in the simulation: round trips per second against the very same code over real loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import aiohttp
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.figure import Figure
from benchmarks.loopback import HOST, compared, rate, serving

ROUND_TRIPS: Final = 3000
TEXT: Final = "x" * 50


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def _with_aiohttp(host: str) -> float:
    app = web.Application()
    app.router.add_get("/echo", _echo)
    async with (
        serving(app, host) as address,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{address}/echo") as socket,
    ):

        async def back_and_forth() -> None:
            for _ in range(ROUND_TRIPS):
                await socket.send_str(TEXT)
                await socket.receive()

        return await rate(ROUND_TRIPS, back_and_forth)


async def _with_websockets(host: str) -> float:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, host, 80 if host == HOST else 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://{host}:{port}", proxy=None) as socket:

            async def back_and_forth() -> None:
                for _ in range(ROUND_TRIPS // 2):
                    await socket.send(TEXT)
                    await socket.recv()

            return await rate(ROUND_TRIPS // 2, back_and_forth)


def figures() -> Iterator[Figure]:
    """Of aiohttp, and of the websockets library."""
    yield from compared("sim_ws.aiohttp", "round trips/s", ">= 1.1", _with_aiohttp)
    yield from compared("sim_ws.websockets", "round trips/s", "", _with_websockets)

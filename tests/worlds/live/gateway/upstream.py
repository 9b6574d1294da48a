"""A small upstream: orders with or without idempotency keys, bodies of any size, an echoing WebSocket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web


@dataclass
class Upstream:
    """What it saw. ``let_go`` frees the answers of ``/slow``."""

    url: str = ""
    orders: list[dict[str, object]] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    received_bytes: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def place(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("refuse"):
            return web.json_response({"error": "no"}, status=422)
        key = request.headers.get("Idempotency-Key")
        known = next((order for order in self.orders if key is not None and order["key"] == key), None)
        if known is None:
            known = {"id": f"o{len(self.orders) + 1}", "key": key, **body}
            self.orders.append(known)
        return web.json_response({"id": known["id"]}, status=201)

    async def echo(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        body = await request.read()
        return web.Response(body=body, headers=[("X-A", "1"), ("X-A", "2"), ("Connection", "X-Gone"), ("X-Gone", "1")])

    async def sink(self, request: web.Request) -> web.Response:
        async for piece in request.content.iter_any():
            self.received_bytes += len(piece)
        return web.json_response({"bytes": self.received_bytes})

    async def large(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if "sized" in request.query:
            response.content_length = 4_000_000
        await response.prepare(request)
        for _ in range(40):
            await response.write(b"x" * 100_000)
        await response.write_eof()
        return response

    async def slow(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.path)
            raise
        return web.Response(text="at last")

    async def broken(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 200_000
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        assert request.transport is not None
        request.transport.abort()
        return response

    async def deaf(self, request: web.Request) -> web.Response:
        """Never reads the body."""
        return await self.slow(request)

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except (ConnectionError, asyncio.CancelledError):
            self.cancelled.append(request.path)
            raise

    async def bad_frames(self, request: web.Request) -> web.WebSocketResponse:
        """A WebSocket that sends what is in the query, as it is, and then what it is sent back."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.write(bytes.fromhex(request.query["hex"]))
        await socket.receive()
        return socket

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("v1",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data == "bye":
                await socket.close(code=4001)
            elif message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        return socket


@asynccontextmanager
async def serving() -> AsyncIterator[Upstream]:
    """The upstream on a free port."""
    upstream = Upstream()
    app = web.Application(client_max_size=0)
    app.add_routes(
        [
            web.post("/orders", upstream.place),
            web.route("*", "/echo", upstream.echo),
            web.post("/sink", upstream.sink),
            web.get("/large", upstream.large),
            web.get("/slow", upstream.slow),
            web.get("/broken", upstream.broken),
            web.post("/deaf", upstream.deaf),
            web.get("/endless", upstream.endless),
            web.get("/bad_frames", upstream.bad_frames),
            web.get("/stream", upstream.stream),
        ]
    )
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield upstream
    finally:
        upstream.let_go.set()
        await runner.cleanup()

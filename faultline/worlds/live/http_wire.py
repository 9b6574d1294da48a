"""Lines over a small HTTP endpoint, for clients that speak HTTP more easily than they read a pipe.

``GET <url>/next`` waits for the next question: 200 with one line of JSON, or 204 when there was none for a while.
``POST <url>/say`` takes lines of JSON: 204, or 400 with what is wrong with them. The endpoint listens on loopback, on
a port of its own for each process, under a path that cannot be guessed: what is left of a killed process reaches
nobody.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, cast

from aiohttp import web

from faultline.worlds.command import PREFIX
from faultline.worlds.live.channels import Ears, Wire
from faultline.worlds.live.pipes import LINE_MAX_BYTES

POLL_MAX_S: Final = 10.0
"""How long a ``GET`` waits for a question."""


class HttpWire(Wire):
    """One process's endpoint. Questions wait in order; a ``GET`` that comes while another waits takes its place."""

    def __init__(self) -> None:
        super().__init__()
        self._questions: asyncio.Queue[bytes] = asyncio.Queue()
        self._ears: Ears | None = None
        self._runner: web.AppRunner | None = None
        self._polling: asyncio.Task[bytes] | None = None
        self._server: asyncio.Server | None = None

    async def prepare(self) -> None:
        """Listen, so that the client can be told where."""
        token = secrets.token_hex(8)
        app = web.Application(client_max_size=LINE_MAX_BYTES)
        app.router.add_get(f"/{token}/next", self._next)
        app.router.add_post(f"/{token}/say", self._say)
        # Without cancellation, a poll that its client gave up would take the next question with it.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(cast("web.Server", self._runner.server), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.env = {f"{PREFIX}CONTROL_URL": f"http://127.0.0.1:{port}/{token}"}

    def open(self, ears: Ears) -> None:
        """Let what it says through."""
        self._ears = ears

    async def _next(self, request: web.Request) -> web.Response:
        if self._polling is not None:
            self._polling.cancel()
        polling = self._polling = asyncio.ensure_future(self._questions.get())
        try:
            await asyncio.wait({polling}, timeout=POLL_MAX_S)
        except asyncio.CancelledError:
            if polling.done() and not polling.cancelled():
                self._put_back(polling.result())
            polling.cancel()
            raise
        if self._polling is polling:
            self._polling = None
        if not polling.done() or polling.cancelled():
            polling.cancel()
            return web.Response(status=204)
        return web.Response(body=polling.result() + b"\n", content_type="application/json")

    def _put_back(self, question: bytes) -> None:
        """Nobody got it, so it is the next one again."""
        rest = [question]
        while not self._questions.empty():
            rest.append(self._questions.get_nowait())
        for each in rest:
            self._questions.put_nowait(each)

    async def _say(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self._ears is None:
            return web.Response(status=503, text="not yet\n")
        for line in body.split(b"\n"):
            if wrong := self._ears.line(line):
                return web.Response(status=400, text=wrong + "\n")
        return web.Response(status=204)

    def ask(self, line: bytes) -> None:
        """The next ``GET`` gets it."""
        self._questions.put_nowait(line)

    def end(self) -> None:
        """Nothing to do: a client that was asked to stop asks no more."""

    def close(self) -> None:
        """Stop listening."""
        self._ears = None
        if self._polling is not None:
            self._polling.cancel()
        if self._server is not None:
            self._server.close()

    async def closed(self) -> None:
        """Until the last connection is gone."""
        if self._runner is not None:
            await self._runner.cleanup()

"""HTTP in the simulation: aiohttp GETs per second against the very same code over real loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import aiohttp
from aiohttp import web

from benchmarks.figure import Figure
from benchmarks.loopback import compared, rate, serving

REQUESTS: Final = 1200


async def _status(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "x": [1, 2, 3]})


async def _gets(host: str, concurrent: int) -> float:
    app = web.Application()
    app.router.add_get("/status", _status)
    async with serving(app, host) as address, aiohttp.ClientSession() as session:
        url = f"http://{address}/status"

        async def get(times: int) -> None:
            for _ in range(times):
                async with session.get(url) as response:
                    await response.json()

        async def together() -> None:
            await asyncio.gather(*(get(REQUESTS // concurrent) for _ in range(concurrent)))

        await get(concurrent * 2)
        return await rate(REQUESTS, together)


def figures() -> Iterator[Figure]:
    """Sequential, and 20 at a time."""
    yield from compared("sim_http.sequential", "req/s", ">= 0.95", lambda host: _gets(host, 1))
    yield from compared("sim_http.concurrent_20", "req/s", ">= 0.95", lambda host: _gets(host, 20))

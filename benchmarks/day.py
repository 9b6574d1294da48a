"""A long quiet run: 24 virtual hours in which a client asks a server for its health once a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import aiohttp
from aiohttp import web

from benchmarks.figure import REAL, Figure
from benchmarks.loopback import HOST, serving
from faultline.worlds.sim.simulation import Simulation

DAY_S: Final = 86_400.0
PERIOD_S: Final = 60.0
REPETITIONS: Final = 3


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _day() -> int:
    app = web.Application()
    app.router.add_get("/health", _health)
    timeout = aiohttp.ClientTimeout(total=10)
    async with serving(app, HOST) as address, aiohttp.ClientSession(timeout=timeout) as session:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + DAY_S
        checks = 0
        while loop.time() < end_s:
            # aiohttp keeps a connection for 15 s: each check opens a new one, as it would in production.
            async with session.get(f"http://{address}/health") as response:
                checks += (await response.json())["status"] == "ok"
            await asyncio.sleep(PERIOD_S)
        return checks


def figures() -> Iterator[Figure]:
    """Real time for the whole day; the best of a few, because anything else on the machine only adds."""
    spent: list[float] = []
    for _ in range(REPETITIONS):
        simulation = Simulation(1)
        simulation.network.add_host(HOST)
        began_s = REAL.wall_s()
        checks = simulation.run(_day)
        spent.append(REAL.wall_s() - began_s)
        assert checks >= DAY_S / PERIOD_S - 2, checks
    yield Figure("day.24_virtual_hours", min(spent), "s", "< 1")
    yield Figure("day.speed_up", DAY_S / min(spent), "x")

"""The very same client and server code, in the simulation and over real loopback, turn by turn.

Both run in one process on one loop, so each costs processor time and nothing else; the ratio of two neighbouring
repetitions is what a comparison across a noisy machine can honestly say.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Final

from aiohttp import web

from benchmarks.figure import REAL, Figure
from faultline.worlds.sim.simulation import Simulation

Body = Callable[[str], Awaitable[float]]
"""Given the server's host name: how many operations per second of processor time."""

HOST: Final = "venue.test"
REPETITIONS: Final = 5


@asynccontextmanager
async def serving(app: web.Application, host: str) -> AsyncIterator[str]:
    """``app`` on a free port of ``host``; gives ``host:port``."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, 80 if host == HOST else 0)
    await site.start()
    try:
        yield f"{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def rate(operations: int, work: Callable[[], Awaitable[None]]) -> float:
    """How many of the ``operations`` that ``work`` does it does per second of processor time."""
    began_s = REAL.cpu_s()
    await work()
    return operations / (REAL.cpu_s() - began_s)


def _simulated(body: Body) -> float:
    simulation = Simulation(1)
    simulation.network.add_host(HOST)
    return simulation.run(lambda: body(HOST))


def _real(body: Body) -> float:
    async def main() -> float:
        return await body("127.0.0.1")

    # The simulation collects by its own count; the same here, so that neither pays for the other's garbage.
    gc.disable()
    try:
        return asyncio.run(main())
    finally:
        gc.enable()


def compared(name: str, unit: str, aim: str, body: Body) -> Iterator[Figure]:
    """``body`` in both places, interleaved: the median of each and the median of their ratios."""
    _simulated(body), _real(body)  # imports, caches
    simulated: list[float] = []
    real: list[float] = []
    for _ in range(REPETITIONS):
        gc.collect()
        simulated.append(_simulated(body))
        gc.collect()
        real.append(_real(body))
    yield Figure(f"{name}.sim", median(simulated), unit)
    yield Figure(f"{name}.loopback", median(real), unit)
    yield Figure(f"{name}.ratio", median(s / r for s, r in zip(simulated, real, strict=True)), "x", aim)

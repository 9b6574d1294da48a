"""The reference layer, all components together: what an event costs it, a hundred calls at once, and memory.

An event is a fill: taken in by the reconciler, committed to the state's file, counted by the risk engine and judged
by its rules; or an order's report, or a position. A commit waits for the disk, so a bare one is measured beside it,
and a fill with the state in memory too. The calls go through token, limiter, breaker, HTTP and state, over loopback
and in the simulation.
"""

from __future__ import annotations

import asyncio
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from statistics import mean, quantiles
from typing import Final

from aiohttp import web

from benchmarks.figure import REAL, Figure
from benchmarks.loopback import HOST, serving
from faultline.worlds.sim.simulation import Simulation
from targets.order_flow import GuardedFlow
from targets.resilience.channel_model import Delta
from targets.resilience.config import StateConfig, VenueConfig
from targets.resilience.order_channels import FILLS, ORDERS, fill_delta
from targets.resilience.rate_limiter import RateLimiterConfig
from targets.resilience.risk import PositionEvent
from targets.resilience.risk.config import RiskConfig
from targets.resilience.risk.rules import (
    CooldownAfterLoss,
    DailyRealizedLoss,
    DailyTotalLoss,
    MaxContracts,
    MaxContractsPerInstrument,
    MaxDrawdown,
    MaxNotional,
    MaxOpenOrders,
    MaxOrderSize,
    MaxUnrealizedLoss,
    SymbolBlocks,
    TradeFrequencyLimit,
)
from targets.resilience.state_manager import StateManager
from targets.resilience.system import IntegratedSystem, SystemConfig, generic_system
from targets.resilience.venue import Fill, Order, OrderSide, OrderStatus

EVENTS: Final = 1_000
EVENTS_MANY: Final = 10_000
CALLS: Final = 100
REPETITIONS: Final = 10
_FAR: Final = Decimal(10**9)
RULES: Final = RiskConfig(
    rules=(
        MaxOrderSize(_FAR),
        MaxContracts(_FAR),
        MaxContractsPerInstrument(_FAR),
        MaxOpenOrders(1000),
        MaxNotional(_FAR),
        SymbolBlocks(frozenset({"CL"})),
        DailyRealizedLoss(_FAR),
        DailyTotalLoss(_FAR),
        MaxDrawdown(_FAR),
        MaxUnrealizedLoss(_FAR),
        TradeFrequencyLimit(1000, 60.0),
        CooldownAfterLoss(60.0),
    )
)
"""Twelve rules, none of which is broken: what is timed is asking them."""

Event = Callable[[int], Awaitable[None]]


@asynccontextmanager
async def _guarded(path: str) -> AsyncIterator[IntegratedSystem]:
    """The whole layer on the state at ``path``, connected to nothing."""
    state = StateConfig(path)
    config = replace(GuardedFlow.config, risk=RULES, state=state, venue=VenueConfig("http://nowhere.invalid"))
    system = generic_system(config)
    await system.state_manager.initialize()
    assert system.guard is not None
    await system.guard.start()
    try:
        yield system
    finally:
        await system.guard.stop()
        system.state_manager.close()


def _fills(system: IntegratedSystem) -> Event:
    async def fill(number: int) -> None:
        side = OrderSide.BUY if number % 2 else OrderSide.SELL
        news = Fill(f"f{number}", f"o{number}", "NQ", side, Decimal(2), Decimal(100 + number % 7), sequence=number)
        await system.state_reconciler.heard(FILLS, fill_delta(news))

    return fill


def _reports(system: IntegratedSystem) -> Event:
    async def report(number: int) -> None:
        news = Order(f"o{number}", OrderStatus.OPEN, contract_id="NQ", size=Decimal(2))
        await system.state_reconciler.heard(ORDERS, Delta(news, sequence=number))

    return report


def _positions(system: IntegratedSystem) -> Event:
    assert system.guard is not None
    engine = system.guard.engine

    async def position(number: int) -> None:
        await engine.handle_position_event(PositionEvent("NQ", Decimal(number % 5), Decimal(100)))

    return position


async def _commits(events: int) -> list[float]:
    """Seconds for each of ``events`` bare commits to a like file: what the disk costs, whoever writes."""
    with tempfile.TemporaryDirectory() as folder:
        state = StateManager(str(Path(folder) / "state.db"))
        await state.initialize()
        spent = []
        for number in range(events):
            began_s = REAL.wall_s()
            await state.put("bench", "key", str(number))
            spent.append(REAL.wall_s() - began_s)
        state.close()
        return spent


async def _timed(kind: Callable[[IntegratedSystem], Event], events: int, *, on_disk: bool = True) -> list[float]:
    """Seconds for each of ``events`` events."""
    with tempfile.TemporaryDirectory() as folder:
        async with _guarded(str(Path(folder) / "state.db") if on_disk else ":memory:") as system:
            handle, spent = kind(system), []
            for number in range(1, events + 1):
                began_s = REAL.wall_s()
                await handle(number)
                spent.append(REAL.wall_s() - began_s)
            return spent


def _latencies() -> Iterator[Figure]:
    for name, kind in (("fill", _fills), ("order_report", _reports), ("position", _positions)):
        spent = asyncio.run(_timed(kind, EVENTS))
        yield Figure(f"resilience.{name}.mean", 1000 * mean(spent), "ms", "< 10")
        yield Figure(f"resilience.{name}.p99", 1000 * quantiles(spent, n=100)[98], "ms")
        yield Figure(f"resilience.{name}.rate", len(spent) / sum(spent), "events/s", ">= 60")


def _memory() -> Figure:
    tracemalloc.start()
    try:
        asyncio.run(_timed(_fills, EVENTS_MANY, on_disk=False))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Figure("resilience.10000_fills.peak", peak / 2**20, "MB", "< 100")


def _venue() -> web.Application:
    async def token(request: web.Request) -> web.Response:
        return web.json_response({"access_token": "t", "expires_in": 86_400, "refresh_token": "r"})

    async def orders(request: web.Request) -> web.Response:
        return web.json_response({"orders": []})

    app = web.Application()
    app.router.add_post("/auth/token", token)
    app.router.add_get("/orders", orders)
    return app


async def _calls(host: str) -> float:
    """Seconds on the loop's clock for a hundred calls at once, the best of some."""
    async with serving(_venue(), host) as address:
        limit = RateLimiterConfig(CALLS * (REPETITIONS + 1), 60.0)
        system = generic_system(SystemConfig(venue=VenueConfig(f"http://{address}"), rate_limiter=limit))
        await system.state_manager.initialize()
        loop, spent = asyncio.get_running_loop(), []
        for _ in range(REPETITIONS):
            began_s = loop.time()
            await asyncio.gather(*(system.order_manager.fetch_orders() for _ in range(CALLS)))
            spent.append(loop.time() - began_s)
        await system.token_manager.close()
        return min(spent)


def figures() -> Iterator[Figure]:
    """Events, calls and memory."""
    yield from _latencies()
    in_memory = asyncio.run(_timed(_fills, EVENTS, on_disk=False))
    yield Figure("resilience.fill_in_memory.mean", 1000 * mean(in_memory), "ms", "< 10")
    yield Figure("resilience.bare_commit.mean", 1000 * mean(asyncio.run(_commits(EVENTS))), "ms")
    yield _memory()
    yield Figure(f"resilience.{CALLS}_calls.loopback", asyncio.run(_calls("127.0.0.1")), "s", "< 5")
    simulation = Simulation(1)
    simulation.network.add_host(HOST)
    began_s = REAL.wall_s()
    virtual_s = simulation.run(lambda: _calls(HOST))
    yield Figure(f"resilience.{CALLS}_calls.virtual", virtual_s, "s", "< 5")
    yield Figure(f"resilience.{CALLS}_calls.simulated", (REAL.wall_s() - began_s) / REPETITIONS, "s")

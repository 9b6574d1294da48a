"""A venue of a profile in the simulated world, with ccxt in front of it and faults where a test plans them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from faultline.faults.actions import Action
from faultline.faults.deciders import Decision
from faultline.faults.injector import Injector
from faultline.faults.points import Moment, Plane
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution
from faultline.history.contract import ClientPolicy
from faultline.history.event import Contracted, Effect, Event, Resolved
from faultline.venues import PROFILES
from faultline.venues.base import Context
from faultline.venues.hub import stream_front
from faultline.venues.interceptor import Interceptor
from faultline.venues.profiles.spot import KEY, SECRET
from faultline.venues.raw import RawFront
from faultline.venues.stream import StreamFront
from faultline.worlds.live.context import LiveContext
from faultline.worlds.sim.simulation import Simulation
from faultline.worlds.sim.world import SimContext

REST_HOST, STREAM_HOST = "api.venue.test", "stream.venue.test"
REST, STREAM = f"http://{REST_HOST}", f"ws://{STREAM_HOST}"


class Planned:
    """Strikes the points that a test names, once each: ``(endpoint, phase)``."""

    planes = frozenset(Plane)

    def __init__(self) -> None:
        self.plan: dict[tuple[str, str], list[tuple[Action, ...]]] = {}
        self.seen: list[Moment] = []

    def strike(self, endpoint: str, phase: str, *actions: Action) -> None:
        self.plan.setdefault((endpoint, phase), []).append(actions)

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        self.seen.append(moment)
        waiting = self.plan.get((moment.point.endpoint, moment.point.phase))
        return tuple(Decision("test#0", action) for action in waiting.pop(0)) if waiting else ()


@dataclass
class Stage:
    """A venue that listens, at :data:`REST` and :data:`STREAM` in a simulation and at its URLs on loopback."""

    simulation: Any
    venue: Any
    interceptor: Interceptor
    history: History
    faults: Planned
    streams: StreamFront
    notes: list[Any] = field(default_factory=list)
    url: str = ""
    stream_url: str = ""

    def of(self, kind: type[Event]) -> list[Any]:
        return list(self.history.of(kind))

    def effects(self, *what: str) -> list[Effect]:
        return [effect for effect in self.history.of(Effect) if not what or effect.what in what]

    def resolved(self) -> list[str]:
        return [event.effect for event in self.history.of(Resolved)]

    def endpoints(self) -> set[str]:
        return {moment.point.endpoint for moment in self.faults.seen if moment.point.plane == Plane.MESSAGE}

    @property
    def now_s(self) -> float:
        return self.simulation.now_s()


@asynccontextmanager
async def serving(
    profile: str, context: Context, hosts: tuple[str, str], port: int, simulation: Any, **settings: Any
) -> AsyncIterator[Stage]:
    """A venue of ``profile`` that listens on both hosts until the block ends."""
    kind = PROFILES[profile]
    chosen = kind.settings(**settings)
    history = History()
    history.append(Contracted(t=0.0, contract=kind.contract(chosen, ClientPolicy()), seed=3))
    attribution = Attribution(ClientPolicy())
    faults = Planned()
    injector = Injector(faults, history, context.now_s)
    injector.armed = True
    venue = kind.build(chosen, context, history, attribution, injector, Aliases())
    interceptor = Interceptor(injector, history, attribution, now_s=context.now_s, wall_s=context.wall_s, upon={})
    rest, streams = RawFront(venue, interceptor), stream_front(venue, interceptor)
    url = await rest.start(hosts[0], port)
    stream_url = await streams.start(hosts[1], port)
    try:
        yield Stage(simulation, venue, interceptor, history, faults, streams, url=url, stream_url=stream_url)
    finally:
        await streams.stop()
        await rest.stop()


def played(profile: str, body: Callable[[Stage], Awaitable[None]], **settings: Any) -> Stage:
    """Run ``body`` against a venue of ``profile``, in virtual time."""
    simulation = Simulation(seed=3)
    simulation.network.add_host(REST_HOST, label="rest")
    simulation.network.add_host(STREAM_HOST, label="stream")
    context = SimContext(simulation, 3)
    made: list[Stage] = []

    async def main() -> None:
        async with serving(profile, context, (REST_HOST, STREAM_HOST), 80, simulation, **settings) as stage:
            made.append(stage)
            await body(stage)

    simulation.run(main)
    return made[0]


def on_loopback(profile: str, **settings: Any) -> AbstractAsyncContextManager[Stage]:
    """A venue of ``profile`` on free ports of this machine, in real time."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    context = LiveContext(lambda: loop.time() - began_s, 3)
    return serving(profile, context, ("127.0.0.1", "127.0.0.1"), 0, None, **settings)


def ccxt_client(exchange: str, **more: Any) -> Any:
    """A ccxt client, ordinary but for its addresses. ccxt is imported here: that takes most of a second."""
    import ccxt.pro

    options = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchMargins": False}
    client = getattr(ccxt.pro, exchange)(
        {"apiKey": KEY, "secret": SECRET, "password": "faultline-passphrase", "enableRateLimit": False, **more}
    )
    client.options.update(options)
    client.has["fetchCurrencies"] = False
    return client


def proven(
    profile: str, made: Callable[[], Any], body: Callable[[Stage, Any], Awaitable[None]], **settings: Any
) -> Stage:
    """Run ``body`` with a ccxt client, and see that the client asked the simulated world for nothing that it lacks."""

    async def main(stage: Stage) -> None:
        exchange = made()
        try:
            await body(stage, exchange)
        finally:
            await exchange.close()

    stage = played(profile, main, **settings)
    assert stage.simulation.escapes == []
    assert stage.simulation.blocking_sleeps == []
    assert not any(SECRET in repr(event) or KEY in repr(event) for event in stage.history)
    return stage

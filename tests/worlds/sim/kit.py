"""What the tests of the simulated world share: a venue to talk to, and a decider that answers from a table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context

from aiohttp import web

from faultline.faults.actions import Action
from faultline.faults.points import Moment
from faultline.worlds.context import INCARNATION
from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.simulation import Simulation

VENUE = "api.venue.test"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def new_simulation(seed: int = 7, **options: object) -> Simulation:
    simulation = Simulation(seed=seed, **options)  # type: ignore[arg-type]
    simulation.network.add_host(VENUE, label="rest")
    return simulation


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"got": await request.text()})


@asynccontextmanager
async def http_venue(handler: Handler = echo, port: int = 80, **site: object) -> AsyncIterator[web.AppRunner]:
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, VENUE, port, **site).start()  # type: ignore[arg-type]
    try:
        yield runner
    finally:
        await runner.cleanup()


class Recorder(asyncio.Protocol):
    """Notes everything that happens to a connection, with the virtual time."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.seen: list[tuple[str, object]] = []
        self.times_s: list[float] = []
        self.data = b""
        self.transport: asyncio.Transport
        self.ended = asyncio.Event()

    def note(self, what: str, detail: object = None) -> None:
        self.seen.append((what, detail))
        self.times_s.append(round(self.simulation.now_s(), 6))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data", data if len(data) < 100 else len(data))

    def eof_received(self) -> bool | None:
        self.note("eof")
        return None

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("lost", None if exc is None else type(exc).__name__)
        self.ended.set()

    @property
    def kinds(self) -> list[str]:
        return [what for what, _ in self.seen]


async def connected_pair(simulation: Simulation) -> tuple[Recorder, Recorder]:
    """A client's and a server's protocol, connected to each other."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Queue[Recorder] = asyncio.Queue()

    class Server(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            accepted.put_nowait(self)

    await loop.create_server(lambda: Server(simulation), VENUE, 7000)
    client = Recorder(simulation)
    await loop.create_connection(lambda: client, VENUE, 7000)
    return client, await accepted.get()


class Table:
    """A decider for the venue that answers from ``{(phase, connection): actions}`` and notes what it was asked."""

    def __init__(
        self, answers: dict[tuple[str, str], tuple[Action, ...]] | None = None, nth: int | None = None
    ) -> None:
        self.answers = answers or {}
        self.nth = nth
        self.moments: list[Moment] = []

    def __call__(self, moment: Moment) -> tuple[Action, ...]:
        self.moments.append(moment)
        point = moment.point
        if point.endpoint != "rest":
            return ()
        if self.nth is not None and point.phase in ("up", "down") and point.nth != self.nth:
            return ()
        return self.answers.get((point.phase, point.entity), ())


def as_client(
    simulation: Simulation, work: Callable[[], Awaitable[object]], incarnation: int, host: str = "client"
) -> asyncio.Task[object]:
    """Start ``work`` as the client process ``incarnation``."""
    context = copy_context()
    context.run(INCARNATION.set, incarnation)
    context.run(HOST.set, simulation.network.add_host(host))

    async def body() -> object:
        return await work()

    return asyncio.get_running_loop().create_task(body(), context=context)

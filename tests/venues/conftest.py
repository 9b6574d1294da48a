"""A generic venue by itself (a clock that the test turns), and on loopback behind each front."""

from __future__ import annotations

import asyncio
import heapq
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from faultline.faults.actions import Action
from faultline.faults.chance import Chance
from faultline.faults.injector import Decision, Injector
from faultline.faults.points import Moment, Plane
from faultline.history import Aliases, ClientPolicy, History
from faultline.history.attribution import Attribution
from faultline.history.event import Contracted, Event, Intent, Resolved
from faultline.venues import PROFILES
from faultline.venues.base import Context, Message, Request, Response
from faultline.venues.generic import GenericVenue
from faultline.venues.interceptor import Interceptor
from faultline.venues.raw import RawFront
from faultline.venues.rest import AiohttpFront
from faultline.venues.settings import GenericSettings
from faultline.venues.stream import StreamFront
from faultline.worlds.sim.simulation import Simulation

ORDER = {"symbol": "NQ", "side": "buy", "type": "limit", "quantity": "2", "price": "100"}
EPOCH_S = 1_767_225_600.0


class Ids:
    """Ids that count per kind, and draws that depend on the key alone."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def new_id(self, kind: str) -> str:
        count = self._ids[kind] = self._ids.get(kind, 0) + 1
        return f"{kind}{count}"

    def chance(self, *key: object) -> Chance:
        return Chance("test", *key)


class TurnedClock(Ids):
    """A context whose time the test turns."""

    def __init__(self) -> None:
        super().__init__()
        self.t = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now_s(self) -> float:
        return self.t

    def wall_s(self) -> float:
        return EPOCH_S + self.t

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.t + delay_s, self._count, callback))

    def turn(self, delay_s: float) -> None:
        until = self.t + delay_s
        while self._due and self._due[0][0] <= until:
            self.t, _, callback = heapq.heappop(self._due)
            callback()
        self.t = until


class LoopClock(Ids):
    """A context on the running loop's own time, real or virtual."""

    def __init__(self) -> None:
        super().__init__()
        self._began = asyncio.get_running_loop().time()

    def now_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    def wall_s(self) -> float:
        return time.time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_s, callback)


class Planned:
    """A decider that strikes the points a test named: ``(endpoint, phase)`` or ``(endpoint, phase, nth)``."""

    planes = frozenset(Plane)

    def __init__(self) -> None:
        self.plan: dict[tuple[Any, ...], list[Action]] = {}
        self.asked: list[Moment] = []

    def strike(self, endpoint: str, phase: str, *actions: Action, nth: int | None = None) -> None:
        self.plan[(endpoint, phase) if nth is None else (endpoint, phase, nth)] = list(actions)

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        self.asked.append(moment)
        point = moment.point
        actions = self.plan.pop((point.endpoint, point.phase, point.nth), None)
        if actions is None:
            actions = self.plan.pop((point.endpoint, point.phase), [])
        return tuple(Decision("test#0", action) for action in actions)


@dataclass
class Parts:
    """A venue and all around it."""

    context: Any
    history: History
    attribution: Attribution
    decider: Planned
    injector: Injector
    venue: GenericVenue
    interceptor: Interceptor

    def announce(self, intent: str, price: str = "100", **more: str) -> None:
        self.attribution.announce(Intent(t=0.0, id=intent, op="place", symbol="NQ", price=price, **more))

    def resolved(self) -> list[str]:
        return [event.effect for event in self.history.of(Resolved)]


def make_parts(context: Context, policy: ClientPolicy | None = None, **settings: Any) -> Parts:
    chosen = GenericSettings(**settings)
    policy = policy or ClientPolicy()
    history = History()
    history.append(Contracted(t=0.0, contract=chosen.contract(policy), seed=0))
    attribution = Attribution(policy)
    decider = Planned()
    injector = Injector(decider, history, context.now_s)
    injector.armed = True
    venue = PROFILES["generic"].build(chosen, context, history, attribution, injector, Aliases())
    assert isinstance(venue, GenericVenue)
    interceptor = Interceptor(injector, history, attribution, now_s=context.now_s, wall_s=context.wall_s, upon={})
    return Parts(context, history, attribution, decider, injector, venue, interceptor)


class Recorded:
    """A stream connection that only remembers."""

    def __init__(self, ordinal: int, request: Request) -> None:
        self.ordinal = ordinal
        self.request = request
        self.messages: list[Message] = []
        self.closed: int | None = None

    def push(self, message: Message) -> None:
        self.messages.append(message)

    def close(self, code: int, reason: str = "") -> None:
        self.closed = code

    def take(self, topic: str | None = None) -> list[dict[str, Any]]:
        bodies = [json.loads(message.body) for message in self.messages]
        self.messages.clear()
        return [body for body in bodies if topic is None or body["topic"] == topic]


@dataclass
class Bench:
    """A venue without a wire: calls answer at once, time moves when the test turns it."""

    parts: Parts
    token: str = ""
    streams: int = 0

    @property
    def venue(self) -> GenericVenue:
        return self.parts.venue

    @property
    def history(self) -> History:
        return self.parts.history

    @property
    def decider(self) -> Planned:
        return self.parts.decider

    def turn(self, delay_s: float) -> None:
        self.parts.context.turn(delay_s)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Response:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        token = self.token if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.venue.handle(Request(method, path, query or {}, headers, raw))

    def json(self, *args: Any, **more: Any) -> Any:
        return json.loads(self.send(*args, **more).body)

    def login(self) -> dict[str, Any]:
        granted = self.json("POST", "/auth/token", {"client_id": "c", "client_secret": "s"}, token="")
        self.token = granted["access_token"]
        return dict(granted)

    def place(self, key: str | None = None, **changes: Any) -> Response:
        return self.send("POST", "/orders", {**ORDER, "client_order_id": key, **changes})

    def connect(self, path: str = "/stream", token: str | None = None) -> Recorded:
        self.streams += 1
        query = {"token": self.token if token is None else token}
        connection = Recorded(self.streams, Request("GET", path, query))
        self.venue.connected(connection)
        return connection

    def subscribe(self, *topics: str) -> Recorded:
        connection = self.connect()
        self.venue.received(connection, json.dumps({"op": "subscribe", "topics": topics or ["fills", "orders"]}))
        return connection

    def of(self, kind: type[Event]) -> list[Any]:
        return list(self.history.of(kind))


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Makes a logged-in bench with these settings."""

    def make(policy: ClientPolicy | None = None, **settings: Any) -> Bench:
        made = Bench(make_parts(TurnedClock(), policy, **settings))
        made.login()
        return made

    return make


@dataclass
class Live:
    """A venue on loopback."""

    parts: Parts
    rest: RawFront | AiohttpFront
    stream: StreamFront
    url: str
    stream_url: str
    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def token(self) -> str:
        return self.headers["Authorization"].partition(" ")[2]


WORLDS = ("loopback", "sim")
FRONTS: dict[str, type[RawFront] | type[AiohttpFront]] = {"raw": RawFront, "aiohttp": AiohttpFront}


@asynccontextmanager
async def serving(front: str = "raw", host: str = "127.0.0.1", **settings: Any) -> AsyncIterator[Live]:
    """A venue behind ``front``, logged in."""
    parts = make_parts(LoopClock(), **settings)
    rest, stream = FRONTS[front](parts.venue, parts.interceptor), StreamFront(parts.venue, parts.interceptor)
    url, stream_url = await rest.start(host), await stream.start(host)
    body = json.dumps({"client_id": "c", "client_secret": "s"}).encode()
    granted = json.loads(parts.venue.handle(Request("POST", "/auth/token", body=body)).body)
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    live = Live(parts, rest, stream, url, stream_url, host, int(url.rpartition(":")[2]), headers)
    try:
        yield live
    finally:
        await stream.stop()
        await rest.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait for a condition, checked often; fails when it does not come."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 -- conditions of histories and counters have no event
            await asyncio.sleep(0.002)


Body = Callable[[Live], Awaitable[None]]


def play(world: str, front: str, body: Body, settings: Mapping[str, Any]) -> None:
    """Run ``body`` once, on loopback or in the simulation."""

    async def main() -> None:
        host = "127.0.0.1" if world == "loopback" else "venue.test"
        async with serving(front, host, **settings) as live:
            await body(live)

    if world == "loopback":
        asyncio.run(main())
        return
    simulation = Simulation(seed=1)
    simulation.network.add_host("venue.test")
    simulation.run(main)


def on_each_front(**settings: Any) -> Callable[[Body], Callable[..., None]]:
    """Run one test body against both HTTP fronts, on loopback and in the simulation."""

    def decorate(body: Body) -> Callable[..., None]:
        @pytest.mark.parametrize("front", sorted(FRONTS))
        @pytest.mark.parametrize("world", WORLDS)
        def test(world: str, front: str) -> None:
            play(world, front, body, settings)

        test.__name__ = body.__name__
        return test

    return decorate


def on_each_world(**settings: Any) -> Callable[[Body], Callable[..., None]]:
    """Run one test body on loopback and in the simulation."""

    def decorate(body: Body) -> Callable[..., None]:
        @pytest.mark.parametrize("world", WORLDS)
        def test(world: str) -> None:
            play(world, "raw", body, settings)

        test.__name__ = body.__name__
        return test

    return decorate

"""faultline in somebody else's test: a world that a test drives by hand.

Where a scenario has a workload and a target, a session has the test's own code: it starts a venue, points its own
client at it, injects faults for as long as a ``with`` block lasts, says what it wanted with :meth:`Session.intent`,
and checks oracles at the end. Everything is a context manager or a plain call, so it works under Hypothesis too::

    with Session(seed=7) as faultline:
        faultline.run(the_test)

By default the world is simulated. In the live one (``world="live"``) time and sockets are real, and so code that blocks
can be tested as well, in a thread of its own: ``await asyncio.to_thread(...)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar, cast

from faultline.byhand import Block, Injections, Intents, Wanted
from faultline.checked import CheckFailed, refused
from faultline.errors import SimEscape, UsageError
from faultline.faults.actions import Action, Cut, ExpireTokens
from faultline.faults.base import Fault
from faultline.faults.deciders import Tick
from faultline.faults.injector import EffectKnown
from faultline.faults.points import Plane
from faultline.history import History
from faultline.history.attribution import Attribution
from faultline.history.contract import ClientPolicy
from faultline.history.event import Belief, Contracted, OrderBelief, Phase, Struck, Trouble
from faultline.inline import Claims, recording
from faultline.oracles.base import Oracle, Verdict
from faultline.reports.wire import wire
from faultline.runner import judge
from faultline.scenario.document import did_you_mean
from faultline.shared import Shared
from faultline.stops import Stops
from faultline.targets import BeliefReader, OrdersTarget
from faultline.venues import PROFILES
from faultline.venues.broker import Side
from faultline.venues.interceptor import Interceptor
from faultline.venues.profile import Profile, SimulatedVenue, Traded
from faultline.worlds import WORLDS, WorldKind

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
SETTLE_MAX_S: Final = 120.0
STILL_POLLS: Final = 4
"""How often in a row nothing may be in flight before it counts as settled."""
POLL_S: Final = 0.5
POLL_WAITING_S: Final = 0.1
"""How far apart that is looked for: virtual seconds cost nothing, real ones are waited for."""
TIME_LIMIT_S: Final = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class RunningVenue:
    """A venue on the wire: where it is and what to log in with."""

    url: str
    stream_url: str
    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class _Stand:
    """The venue of a session and what stands around it."""

    profile: Profile
    venue: SimulatedVenue
    interceptor: Interceptor


_running: list[Session] = []


def running() -> Session | None:
    """The session whose test runs now; None outside of one."""
    return _running[-1] if _running else None


class _View:
    """What stands for a client that tells what it believes when it is asked."""

    def __init__(self, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        self.snapshot = snapshot


class Session:
    """A world under ``seed``: ``sim`` or ``live``. :meth:`run` runs a test in it; the other methods are for inside.

    Attributes: ``history`` is the evidence so far, ``seed`` what to give again to repeat the test. Raises UsageError
    for a world that there is not.
    """

    def __init__(self, seed: int = 0, *, world: str | WorldKind = "sim") -> None:
        if isinstance(world, str) and world not in WORLDS:
            raise UsageError(f"unknown world {world!r}{did_you_mean(world, WORLDS)}")
        self.seed = seed
        self.history = History()
        self._kind = WORLDS[world] if isinstance(world, str) else world
        self._world = self._kind.make(seed, TIME_LIMIT_S)
        self.world = self._world.name
        self._injections = Injections(seed, self.history, self._world.now_s, self._world.context().wall_s)
        self._injector = self._injections.injector
        self._policy = ClientPolicy()
        self._shared = Shared(self._world, self.history, self._injector, Attribution(self._policy))
        self._intents = Intents(self.history, self._shared.attribution, self._world.now_s, self._shared.plain)
        self._stops = Stops(self._injector, self._world.now_s)
        self._stand: _Stand | None = None
        self._view: _View | None = None
        self._reader = BeliefReader()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.history.seal()

    def run(self, test: Callable[[], Awaitable[T]]) -> T:
        """Run ``test`` in this world and tear it down. A session runs once, and not inside a running event loop.

        Raises what ``test`` raises, and SimEscape when its code reached out of the simulation, even if it swallowed
        that error. Afterwards the history is sealed and :meth:`check` still works.
        """
        _refuse_a_running_loop()

        def ended() -> None:
            self._hear()
            self.history.seal(self._world.digest())

        with recording(Claims(self.history, self._world.now_s, self._shared.void)):
            _running.append(self)
            try:
                result = self._world.run(test, ended)
            finally:
                _running.remove(self)
        self._refuse_escapes()
        return result

    def now_s(self) -> float:
        """Seconds of this world's clock since the session began."""
        return self._world.now_s()

    # The venue

    async def venue(self, profile: str | Profile = "generic", /, **settings: Any) -> RunningVenue:
        """Start a venue: one by its name, or a profile of your own. ``settings`` are the fields of the profile's
        settings (``idempotency="none"``).

        Raises UsageError for an unknown profile or setting, and for a second venue in one session.
        """
        if self._stand is not None:
            raise UsageError("this session has its venue already; start one venue per test")
        if isinstance(profile, str) and profile not in PROFILES:
            raise UsageError(f"unknown venue {profile!r}{did_you_mean(profile, PROFILES)}")
        chosen = PROFILES[profile] if isinstance(profile, str) else profile
        try:
            built = chosen.settings(**settings)
        except (TypeError, ValueError) as error:
            raise UsageError(f"venue {chosen.name!r}: {error}") from error
        world, shared = self._world, self._shared
        contract = chosen.contract(built, self._policy)
        self.history.append(Contracted(self.now_s(), contract, self.seed, world=self.world))
        venue = chosen.build(built, world.context(), self.history, shared.attribution, self._injector, shared.aliases)
        interceptor = Interceptor(
            self._injector,
            self.history,
            shared.attribution,
            now_s=world.now_s,
            wall_s=world.context().wall_s,
            upon={ExpireTokens: self._upon},
        )
        world.arm(self._injector, self._upon)
        addresses = await world.listen(venue, interceptor)
        self._stand = _Stand(chosen, venue, interceptor)
        self._injections.start(self._carry_out)
        client_id, client_secret = chosen.credentials
        return RunningVenue(addresses.rest_url, addresses.stream_url, client_id, client_secret)

    def _standing(self, before_what: str) -> _Stand:
        if self._stand is None:
            raise UsageError(f"start a venue before you {before_what}: await faultline.venue(...)")
        return self._stand

    # Faults

    def inject(self, *faults: Fault) -> Block[None]:
        """Within the block (``with`` or ``async with``), ``faults`` strike; their times count from its beginning. It
        needs a venue. As a decorator: within each call.

        Raises UsageError for a fault that a session cannot carry: a test's own code cannot be crashed, and ``on``
        must name something that the venue has.
        """
        return Block(lambda: self._injected(faults))

    @contextmanager
    def _injected(self, faults: tuple[Fault, ...]) -> Iterator[None]:
        stand = self._standing("inject a fault")
        for fault in faults:
            _check(fault, stand.profile, self._kind)
        with self._injections.inject(faults):
            yield

    def _carry_out(self, tick: Tick) -> EffectKnown:
        action = tick.action
        if not isinstance(action, Cut):
            self._upon(action)
            return "applied"
        if tick.point.plane is Plane.STREAM:
            ended = self._world.cut(tick.point.endpoint, action)
        else:
            ended = self._standing("cut").interceptor.cut_streams(tick.point.endpoint, action)
        return "applied" if ended else "not_applied"

    def _upon(self, action: Action) -> None:
        if isinstance(action, ExpireTokens):
            self._standing("expire its tokens").venue.expire_tokens(action)

    def trade_elsewhere(self, side: Side, *, quantity: object, symbol: str) -> None:
        """Somebody else trades on the account now: a market order, filled at once, that no client of this test sent.

        Raises UsageError without a venue, and for one where only the client acts.
        """
        stand = self._standing("trade at it")
        if not isinstance(stand.venue, Traded):
            raise UsageError(f"at the {stand.profile.name} venue nobody else can trade")
        stand.venue.trade_elsewhere(symbol, side, Decimal(str(quantity)))

    # What the caller wants, and what the client believes

    def intent(self, side: str, /, *, quantity: object, price: object = "", symbol: str = "") -> Block[Wanted]:
        """What the caller wants of the client inside the block (or within each call, as a decorator): one order.

        Its outcome is ok when the block ends, and info when it raises. ``price`` (or ``quantity``, for an order
        without a price) is what ties the venue's orders to this intent, so make it unique within a test.
        """
        return Block(lambda: self._wanted(side, quantity, price, symbol))

    @contextmanager
    def _wanted(self, side: str, quantity: object, price: object, symbol: str) -> Iterator[Wanted]:
        self._standing("want something of it")
        with self._intents.want(side, quantity, price, symbol) as wanted:
            yield wanted
        self._observe()

    def recorded(self, function: Callable[P, R], **wants: object) -> Callable[P, R]:
        """``function`` such that each of its calls is an intent: ``buy = faultline.recorded(client.buy, side="buy")``.

        What it wants is said here or by its arguments of these names: ``side``, ``quantity``, ``price``, ``symbol``,
        ``id``. A value that can be called is given the arguments by name. Raises UsageError for other names.
        """
        return self._intents.recorded(function, wants)

    def observe(self, view: Callable[[], Mapping[str, Any]]) -> Callable[[], Mapping[str, Any]]:
        """Ask ``view`` what the client believes: after each intent, when all is settled and at each check.

        It gives ``orders`` (by intent id: ``status``, ``filled``, ``order_id``), ``positions`` by symbol and ``fills``
        (all ids applied so far), of which anything may be missing. Returns ``view``, so that it is a decorator too.
        """
        self._view = _View(view)
        return view

    def _observe(self) -> None:
        if self._view is not None:
            belief = self._reader.read(cast("OrdersTarget", self._view), 1, self.now_s())
            if belief is not None:
                self.history.append(belief)

    def believe(
        self,
        orders: Mapping[str, tuple[str, object]] | None = None,
        *,
        positions: Mapping[str, object] | None = None,
        fills: tuple[str, ...] = (),
    ) -> None:
        """Record what the client believes: ``orders`` by intent id as (state, filled), ``positions`` by symbol, ids
        of ``fills`` newly applied."""
        self.history.append(
            Belief(
                self.now_s(),
                1,
                tuple(OrderBelief(intent, state, str(filled)) for intent, (state, filled) in (orders or {}).items()),
                tuple((symbol, str(quantity)) for symbol, quantity in (positions or {}).items()),
                fills,
            )
        )

    # The end

    async def settle(self, *, within_s: float = SETTLE_MAX_S) -> None:
        """Wait, without faults, until nothing is in flight and the venue has nothing left to do."""
        self._injector.armed = False
        self.history.append(Phase(self.now_s(), "faults_over"))
        limit_s = self.now_s() + within_s
        still = 0
        while still < STILL_POLLS and self.now_s() < limit_s:
            await asyncio.sleep(POLL_WAITING_S if self._kind.waits else POLL_S)
            still = still + 1 if self._quiet() else 0
        self._observe()
        self.history.append(Phase(self.now_s(), "quiescence"))

    def _quiet(self) -> bool:
        stand = self._stand
        return stand is None or (stand.venue.idle() and self._world.idle() and stand.interceptor.in_flight == 0)

    def check(self, *oracles: Oracle) -> tuple[Verdict, ...]:
        """The verdicts of ``oracles`` on what happened so far, and those on what was claimed with ``fl.always`` and
        ``fl.sometimes``. Raises CheckFailed unless every oracle passes and what must hold always held.

        Raises SimEscape when the code under test reached out of the simulation: then nothing was proven.
        """
        self._hear()
        self._observe()
        self._refuse_escapes()
        verdicts = judge(self.history, oracles)
        bad = refused(verdicts)
        if bad:
            raise CheckFailed(bad, self.seed, self._again(), self.history)
        return verdicts

    def _again(self) -> str:
        if self._world.repeatable:
            return ""
        return f"Session(seed={self.seed}, world={self.world!r}) draws the same faults; in real time no run is the same"

    # For whoever looks closer

    async def run_until(self, t_s: float) -> None:
        """Wait until this world's clock reads ``t_s``: ``await faultline.run_until(12.5)``."""
        await self._stops.until(t_s)

    async def until_struck(self, fault: str | None = None, nth: int = 1) -> Struck:
        """Wait for the ``nth`` strike of ``fault`` (its name; None: of any), unless it has been already."""
        return await self._stops.until_struck(fault, nth)

    def break_at(self, fault: str | None = None, nth: int = 1, call: Callable[[Struck], object] | None = None) -> None:
        """As the ``nth`` strike of ``fault`` (None: of any) begins, before anything is done to the wire, call ``call``;
        without one, stop in the debugger. Up the stack is the code that is being struck."""
        self._stops.at(fault, nth, call)

    def wire(self, receipt: int | None = None, *, around_s: float = 1.0) -> str:
        """What was on the wire around that receipt (None: all of it), as text: see :func:`faultline.wire`."""
        return wire(self.history, receipt, around_s=around_s)

    def _hear(self) -> None:
        """Write down what the world has seen. A test's own code is no process of the driver's: all of it is its own."""
        for complaint in self._world.complaints():
            detail = self._shared.plain(complaint.detail)
            self.history.append(Trouble(self.now_s(), complaint.what, detail, complaint.incarnation or 1))

    def _refuse_escapes(self) -> None:
        for trouble in self.history.of(Trouble):
            if trouble.what == "escape":
                raise SimEscape(trouble.detail)


def _check(fault: Fault, profile: Profile, kind: WorldKind) -> None:
    """Raises UsageError for a fault that could never strike in a session."""
    if fault.plane is Plane.TARGET:
        raise UsageError(f"{fault.kind} needs a client that faultline drives; write it as a scenario")
    why = kind.refuses(fault, False) or fault.misfit(profile.name)
    if why:
        raise UsageError(f"{fault.kind}: {why}")
    endpoints = {plane: profile.endpoints.get(plane, ()) for plane in Plane}
    if not fault.can_strike(endpoints):
        there = [endpoint for plane in fault.point_planes for endpoint in endpoints[plane]]
        nothing = f"{fault.kind}: the {profile.name} venue has nothing that matches on: {fault.on!r}"
        raise UsageError(f"{nothing}{did_you_mean(fault.on, there)}")


def _refuse_a_running_loop() -> None:
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if type(running).__name__ == "SimLoop":
        return  # the world itself says what is wrong with one inside another
    raise UsageError(
        "a session runs a loop of its own, and one is running already: call Session.run() from a plain function, or "
        "take the fixture in a test coroutine"
    )

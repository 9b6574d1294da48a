"""faultline in somebody else's test: a simulated world that a test drives by hand.

Where a scenario has a workload and a target, a session has the test's own code: it starts a venue, points its own
client at it, injects faults for as long as a ``with`` block lasts, says what it wanted with :meth:`Session.intent`,
and checks oracles at the end. Everything is a context manager or a plain call, so it works under Hypothesis too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from faultline.byhand import Injections, Intents, Wanted
from faultline.errors import SimEscape, UsageError
from faultline.faults.actions import Action, Cut, ExpireTokens
from faultline.faults.base import Fault
from faultline.faults.deciders import Tick
from faultline.faults.injector import EffectKnown
from faultline.faults.points import Plane
from faultline.history import History
from faultline.history.attribution import Attribution
from faultline.history.contract import ClientPolicy
from faultline.history.event import Belief, Contracted, OrderBelief, Phase, Trouble
from faultline.oracles.base import Oracle, Verdict
from faultline.runner import judge
from faultline.scenario.document import did_you_mean
from faultline.shared import Shared
from faultline.venues import PROFILES
from faultline.venues.interceptor import Interceptor
from faultline.venues.profile import Profile, SimulatedVenue
from faultline.worlds import WORLDS

T = TypeVar("T")
SETTLE_MAX_S: Final = 120.0
STILL_POLLS: Final = 4
"""How often in a row, half a second apart, nothing may be in flight before it counts as settled."""
TIME_LIMIT_S: Final = 7 * 86400.0
FINDINGS_SHOWN: Final = 10


class CheckFailed(AssertionError):
    """An oracle did not pass. The message is the explanation; ``verdicts`` are those that did not pass.

    ``again`` says what gives the same seed once more.
    """

    def __init__(self, verdicts: tuple[Verdict, ...], seed: int, again: str = "") -> None:
        self.verdicts = verdicts
        lines = []
        for verdict in verdicts:
            lines.append(f"{verdict.oracle}: {verdict.verdict}: {verdict.why}")
            lines += [f"    {finding.t:.3f} s  {finding.what}" for finding in verdict.findings[1:FINDINGS_SHOWN]]
            if verdict.count > FINDINGS_SHOWN:
                lines.append(f"    and {verdict.count - FINDINGS_SHOWN} more")
        again = again or f"pytest --faultline-seed={seed}, or Session(seed={seed})"
        super().__init__("\n".join([*lines, f"seed {seed}: {again}"]))


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


class Session:
    """A simulated world under ``seed``. :meth:`run` runs a test in it; the other methods are for inside.

    Attributes: ``history`` is the evidence so far, ``seed`` what to give again to repeat the test.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.history = History()
        self._world = WORLDS["sim"].make(seed, TIME_LIMIT_S)
        self._injections = Injections(seed, self.history, self._world.now_s, self._world.context().wall_s)
        self._injector = self._injections.injector
        self._policy = ClientPolicy()
        self._shared = Shared(self._world, self.history, self._injector, Attribution(self._policy))
        self._intents = Intents(self.history, self._shared.attribution, self._world.now_s, self._shared.plain)
        self._stand: _Stand | None = None

    def run(self, test: Callable[[], Awaitable[T]]) -> T:
        """Run ``test`` in the simulated world and tear it down. A session runs once.

        Raises what ``test`` raises, and SimEscape when its code reached for the real world, even if it swallowed
        that error. Afterwards the history is sealed and :meth:`check` still works.
        """

        def ended() -> None:
            self._hear()
            self.history.seal(self._world.digest())

        result = self._world.run(test, ended)
        self._refuse_escapes()
        return result

    def now_s(self) -> float:
        """Virtual seconds since the session began."""
        return self._world.now_s()

    # The venue

    async def venue(self, profile: str = "generic", /, **settings: Any) -> RunningVenue:
        """Start a venue. ``settings`` are the fields of the profile's settings (``idempotency="none"``).

        Raises UsageError for an unknown profile or setting, and for a second venue in one session.
        """
        if self._stand is not None:
            raise UsageError("this session has its venue already; start one venue per test")
        if profile not in PROFILES:
            raise UsageError(f"unknown venue {profile!r}{did_you_mean(profile, PROFILES)}")
        chosen = PROFILES[profile]
        try:
            built = chosen.settings(**settings)
        except (TypeError, ValueError) as error:
            raise UsageError(f"venue {profile!r}: {error}") from error
        world, shared = self._world, self._shared
        self.history.append(Contracted(self.now_s(), chosen.contract(built, self._policy), self.seed))
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

    @contextmanager
    def inject(self, *faults: Fault) -> Iterator[None]:
        """Within the block, ``faults`` strike; their times count from its beginning. Needs a venue.

        Raises UsageError for a fault that a session cannot carry: a test's own code cannot be crashed, and ``on``
        must name something that the venue has.
        """
        stand = self._standing("inject a fault")
        for fault in faults:
            _check(fault, stand.profile)
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

    # What the caller wants, and what the client believes

    @contextmanager
    def intent(self, side: str, /, *, quantity: object, price: object = "", symbol: str = "") -> Iterator[Wanted]:
        """What the caller wants of the client inside the block: one order.

        Its outcome is ok when the block ends, and info when it raises. ``price`` (or ``quantity``, for an order
        without a price) is what ties the venue's orders to this intent, so make it unique within a test.
        """
        self._standing("want something of it")
        with self._intents.want(side, quantity, price, symbol) as wanted:
            yield wanted

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
            await asyncio.sleep(0.5)
            still = still + 1 if self._quiet() else 0
        self.history.append(Phase(self.now_s(), "quiescence"))

    def _quiet(self) -> bool:
        stand = self._stand
        return stand is None or (stand.venue.idle() and self._world.idle() and stand.interceptor.in_flight == 0)

    def check(self, *oracles: Oracle) -> tuple[Verdict, ...]:
        """The verdicts of ``oracles`` on what happened so far. Raises CheckFailed unless every one passes.

        Raises SimEscape when the code under test reached for the real world: then nothing was proven.
        """
        self._hear()
        self._refuse_escapes()
        verdicts = judge(self.history, oracles)
        bad = tuple(verdict for verdict in verdicts if verdict.verdict != "pass")
        if bad:
            raise CheckFailed(bad, self.seed)
        return verdicts

    def _hear(self) -> None:
        """Write down what the world has seen. A test's own code is no process of the driver's: all of it is its own."""
        for complaint in self._world.complaints():
            detail = self._shared.plain(complaint.detail)
            self.history.append(Trouble(self.now_s(), complaint.what, detail, complaint.incarnation or 1))

    def _refuse_escapes(self) -> None:
        for trouble in self.history.of(Trouble):
            if trouble.what == "escape":
                raise SimEscape(trouble.detail)


def _check(fault: Fault, profile: Profile) -> None:
    """Raises UsageError for a fault that could never strike in a session."""
    if fault.plane is Plane.TARGET:
        raise UsageError(f"{fault.kind} needs a client that faultline drives; write it as a scenario")
    endpoints = {plane: profile.endpoints.get(plane, ()) for plane in Plane}
    if not fault.can_strike(endpoints):
        there = [endpoint for plane in fault.point_planes for endpoint in endpoints[plane]]
        nothing = f"{fault.kind}: the {profile.name} venue has nothing that matches on: {fault.on!r}"
        raise UsageError(f"{nothing}{did_you_mean(fault.on, there)}")

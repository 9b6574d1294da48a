"""faultline in somebody else's test: a simulated world that a test drives by hand.

Where a scenario has a workload and a target, a session has the test's own code: it starts a venue, points its own
client at it, injects faults for as long as a ``with`` block lasts, says what it wanted with :meth:`Session.intent`,
and checks oracles at the end. Everything is a context manager or a plain call, so it works under Hypothesis too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from faultline.errors import UsageError
from faultline.faults.actions import Action, Cut, ExpireTokens
from faultline.faults.base import Fault
from faultline.faults.deciders import Rules
from faultline.faults.injector import Decision, Injector
from faultline.faults.points import Moment, Plane
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution
from faultline.history.contract import ClientPolicy
from faultline.history.event import Answer, Belief, Contracted, Intent, OrderBelief, Outcome, Phase
from faultline.oracles.base import Oracle, Verdict
from faultline.venues import PROFILES
from faultline.venues.interceptor import Interceptor
from faultline.venues.profile import SimulatedVenue
from faultline.worlds import WORLDS

T = TypeVar("T")
SETTLE_MAX_S: Final = 120.0
TIME_LIMIT_S: Final = 7 * 86400.0


class CheckFailed(AssertionError):
    """An oracle did not pass. The message is the explanation; ``verdicts`` are those that did not pass."""

    def __init__(self, verdicts: tuple[Verdict, ...], seed: int) -> None:
        self.verdicts = verdicts
        lines = []
        for verdict in verdicts:
            lines.append(f"{verdict.oracle}: {verdict.verdict}: {verdict.why}")
            lines += [f"    {finding.t:.3f} s  {finding.what}" for finding in verdict.findings[1:10]]
        super().__init__("\n".join([*lines, f"seed {seed}"]))


@dataclass(frozen=True, slots=True)
class RunningVenue:
    """A venue on the wire: where it is and what to log in with."""

    url: str
    stream_url: str
    client_id: str
    client_secret: str


class Wanted:
    """An intent in progress. Set ``outcome`` when the client's answer is something else than done."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.outcome: Outcome = "ok"


class _Injected:
    """The decider of a session: whatever is injected at the moment."""

    def __init__(self) -> None:
        self.rules: list[Rules] = []
        self.planes = frozenset(Plane)

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        return tuple(decision for rules in self.rules for decision in rules.decide(moment))


class Session:
    """A simulated world under ``seed``. :meth:`run` runs a test in it; the other methods are for inside.

    Attributes: ``history`` is the evidence so far, ``seed`` what to give again to repeat the test.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.history = History()
        self._world = WORLDS["sim"].make(seed, TIME_LIMIT_S)
        self._injected = _Injected()
        self._injector = Injector(self._injected, self.history, self._world.now_s)
        self._injections = 0
        self._attribution: Attribution | None = None
        self._venue: SimulatedVenue | None = None
        self._interceptor: Interceptor | None = None

    def run(self, test: Callable[[], Awaitable[T]]) -> T:
        """Run ``test`` in the simulated world and tear it down. A session runs once."""
        return self._world.run(test)

    def now_s(self) -> float:
        """Virtual seconds since the session began."""
        return self._world.now_s()

    async def venue(self, profile: str = "generic", /, **settings: Any) -> RunningVenue:
        """Start a venue. ``settings`` are the fields of the profile's settings (``idempotency="none"``).

        Raises UsageError for an unknown profile or setting, and for a second venue in one session.
        """
        if self._venue is not None:
            raise UsageError("this session has its venue already; start one venue per test")
        if profile not in PROFILES:
            raise UsageError(f"unknown venue {profile!r} (known: {', '.join(PROFILES)})")
        chosen = PROFILES[profile]
        try:
            built = chosen.settings(**settings)
        except TypeError as error:
            raise UsageError(f"venue {profile!r}: {error}") from error
        policy = ClientPolicy()
        self.history.append(Contracted(0.0, chosen.contract(built, policy), self.seed))
        self._attribution = Attribution(policy)
        self._venue = chosen.build(
            built, self._world.context(), self.history, self._attribution, self._injector, Aliases()
        )
        self._interceptor = Interceptor(
            self._injector,
            self.history,
            self._attribution,
            now_s=self._world.now_s,
            wall_s=self._world.context().wall_s,
            upon={ExpireTokens: self._upon},
        )
        self._world.arm(self._injector, self._upon)
        addresses = await self._world.listen(self._venue, self._interceptor)
        client_id, client_secret = chosen.credentials
        return RunningVenue(addresses.rest_url, addresses.stream_url, client_id, client_secret)

    @contextmanager
    def inject(self, *faults: Fault) -> Iterator[None]:
        """Within the block, ``faults`` strike; their times count from its beginning. Needs a venue.

        Raises UsageError for a fault that a session cannot carry: a test's own code cannot be crashed.
        """
        if self._interceptor is None:
            raise UsageError("start a venue before you inject a fault: await faultline.venue(...)")
        for fault in faults:
            if fault.plane is Plane.TARGET:
                raise UsageError(f"{fault.kind} needs a client that faultline drives; write it as a scenario")
        self._injections += 1
        start_s = self.now_s()
        mark = f"injection {self._injections}"
        self._injector.mark(mark)
        placed = [replace(fault, after=mark) if fault.after is None else fault for fault in faults]
        rules = Rules(placed, self.seed + self._injections - 1)
        clock = [asyncio.ensure_future(self._tick(ticks)) for ticks in rules.ticks(mark, start_s)]
        self._injected.rules.append(rules)
        self._injector.armed = True
        try:
            yield
        finally:
            self._injected.rules.remove(rules)
            self._injector.armed = bool(self._injected.rules)
            for task in clock:
                task.cancel()

    async def _tick(self, ticks: Iterator[Any]) -> None:
        for tick in ticks:
            await asyncio.sleep(max(0.0, tick.at_s - self.now_s()))
            receipt = self._injector.begin(tick.fault, tick.point, tick.action, tick.at_s)
            self._injector.resolve(receipt, "applied")
            if isinstance(tick.action, Cut) and tick.point.plane is Plane.STREAM:
                self._world.cut(tick.point.endpoint, tick.action)
            elif isinstance(tick.action, Cut) and self._interceptor is not None:
                self._interceptor.cut_streams(tick.point.endpoint, tick.action)
            else:
                self._upon(tick.action)

    def _upon(self, action: Action) -> None:
        if isinstance(action, ExpireTokens) and self._venue is not None:
            self._venue.expire_tokens(action)

    @contextmanager
    def intent(self, side: str, /, *, quantity: object, price: object = "", symbol: str = "") -> Iterator[Wanted]:
        """What the caller wants of the client inside the block: one order.

        Its outcome is ok when the block ends, and info when it raises. ``price`` (or ``quantity``, for an order
        without a price) is what ties the venue's orders to this intent, so make it unique within a test.
        """
        if self._attribution is None:
            raise UsageError("start a venue before you want something of it: await faultline.venue(...)")
        wanted = Wanted(f"I{len(self.history.of(Intent)) + 1}")
        intent = Intent(
            self.now_s(), wanted.id, "place", symbol=symbol, side=side, quantity=str(quantity), price=str(price)
        )
        self._attribution.announce(intent)
        self.history.append(intent)
        try:
            yield wanted
        except BaseException:
            wanted.outcome = "info"
            raise
        finally:
            self.history.append(Answer(self.now_s(), wanted.id, wanted.outcome, 1))

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

    async def settle(self, *, within_s: float = SETTLE_MAX_S) -> None:
        """Wait, without faults, until nothing is in flight and the venue has nothing left to do."""
        self._injector.armed = False
        self.history.append(Phase(self.now_s(), "faults_over"))
        limit_s = self.now_s() + within_s
        still = 0
        while still < 4 and self.now_s() < limit_s:
            await asyncio.sleep(0.5)
            still = still + 1 if self._quiet() else 0
        self.history.append(Phase(self.now_s(), "quiescence"))

    def _quiet(self) -> bool:
        venue, interceptor = self._venue, self._interceptor
        return (venue is None or venue.idle()) and (interceptor is None or interceptor.in_flight == 0)

    def check(self, *oracles: Oracle) -> tuple[Verdict, ...]:
        """The verdicts of ``oracles`` on what happened so far. Raises CheckFailed unless every one passes."""
        verdicts = tuple(oracle.judge(self.history) for oracle in oracles)
        bad = tuple(verdict for verdict in verdicts if verdict.verdict != "pass")
        if bad:
            raise CheckFailed(bad, self.seed)
        return verdicts

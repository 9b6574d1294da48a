"""One run's stage: the venue on the wire, the client before it, the clock's strikes, and when a phase is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import copy_context
from typing import Final, cast

from faultline.driver import Driver
from faultline.faults.actions import Action, Crash, Cut, ExpireTokens, Restart
from faultline.faults.deciders import Decider, Tick
from faultline.faults.injector import EffectKnown, Injector
from faultline.faults.points import Plane
from faultline.history import History
from faultline.history.attribution import Attribution
from faultline.plan import Plan
from faultline.venues.interceptor import Interceptor
from faultline.venues.profile import SimulatedVenue
from faultline.worlds.base import World

POLL_S: Final = 0.5
"""How often the end of a phase is looked for, by the world's clock."""

STILL_S: Final = 2.0
"""How long nothing may be in flight or outstanding before a run is quiet."""


class Stage:
    """Sets up one run and says when its load and its tail are over."""

    def __init__(
        self,
        plan: Plan,
        world: World,
        history: History,
        injector: Injector,
        attribution: Attribution,
        venue: SimulatedVenue,
        decider: Decider,
    ) -> None:
        self._plan = plan
        self._world = world
        self._history = history
        self._injector = injector
        self._attribution = attribution
        self._venue = venue
        self._decider = decider
        self._driver: Driver | None = None
        self._clock: list[asyncio.Task[None]] = []
        self._began = 0.0
        # A mark can be made inside the client's running step; the clock must not tick in the client's context.
        self._own_context = copy_context()
        self._interceptor = Interceptor(
            injector,
            history,
            attribution,
            now_s=world.now_s,
            wall_s=world.context().wall_s,
            upon={Crash: self._upon, Restart: self._upon, ExpireTokens: self._upon},
        )

    async def set(self) -> Driver:
        """Put the venue on the wire and wind the clock. Returns the driver of the client, not yet booted."""
        world, injector = self._world, self._injector
        world.arm(injector, self._upon)
        addresses = await world.listen(self._venue, self._interceptor)
        self._driver = Driver(
            self._plan.target,
            addresses,
            self._plan.profile.credentials,
            world,
            self._history,
            self._attribution,
            injector,
        )
        self._began = asyncio.get_running_loop().time() - world.now_s()
        self._wind(None, 0.0)
        injector.on_mark(self._wind)
        return self._driver

    # What comes by the clock

    def _wind(self, mark: str | None, t_s: float) -> None:
        loop = asyncio.get_running_loop()
        for ticks in self._decider.ticks(mark, t_s):
            self._clock.append(loop.create_task(self._strike_by_the_clock(ticks), context=self._own_context))

    async def _strike_by_the_clock(self, ticks: Iterator[Tick]) -> None:
        for tick in ticks:
            await _until(self._began + tick.at_s)
            if not self._injector.armed:
                return
            receipt = self._injector.begin(tick.fault, tick.point, tick.action, tick.at_s)
            self._injector.resolve(receipt, self._carry_out(tick))

    def _carry_out(self, tick: Tick) -> EffectKnown:
        action = tick.action
        if isinstance(action, Cut):
            if tick.point.plane is Plane.STREAM:
                ended = self._world.cut(tick.point.endpoint, action)
            else:
                ended = self._interceptor.cut_streams(tick.point.endpoint, action)
            return "applied" if ended else "not_applied"
        self._upon(action)
        return "applied"

    def _upon(self, action: Action) -> None:
        driver = cast("Driver", self._driver)
        match action:
            case Crash():
                driver.crash(action)
            case Restart():
                driver.restart(action)
            case ExpireTokens():
                self._venue.expire_tokens(action)
            case _:
                raise AssertionError(f"the plan let {action!r} through to the clock")

    # Phases

    async def load(self) -> None:
        """Ask for every intent at its time, then wait until faults have had their chance and their end."""
        driver = cast("Driver", self._driver)
        for intent in self._plan.intents:
            await asyncio.sleep(max(0.0, intent.t - self._world.now_s()))
            driver.ask(intent)
        linger_s = self._plan.scenario.workload.linger_s
        until_s = max(self._plan.faults_end_s, self._world.now_s() + linger_s)
        while self._world.now_s() < until_s and not driver.failure:
            if not driver.unanswered and self._world.now_s() >= self._plan.faults_end_s and self._quiet():
                break
            await asyncio.sleep(POLL_S)
        for task in self._clock:
            task.cancel()

    async def quiesce(self, least_s: float, most_s: float) -> None:
        """Wait until nothing is in flight, outstanding or unanswered, for ``least_s`` to ``most_s``."""
        driver = cast("Driver", self._driver)
        began_s = still_s = self._world.now_s()
        while not driver.failure:
            await asyncio.sleep(POLL_S)
            now_s = self._world.now_s()
            if driver.unanswered or not driver.up or not self._quiet():
                still_s = now_s
            if now_s - began_s >= most_s or (now_s - began_s >= least_s and now_s - still_s >= STILL_S):
                return

    def _quiet(self) -> bool:
        return self._venue.idle() and self._world.idle() and self._interceptor.in_flight == 0


async def _until(time_s: float) -> None:
    """Wait until the loop's clock reads ``time_s``: to the bit, which a pause from now to then would not be."""
    loop = asyncio.get_running_loop()
    reached: asyncio.Future[None] = loop.create_future()
    handle = loop.call_at(time_s, reached.set_result, None)
    try:
        await reached
    finally:
        handle.cancel()

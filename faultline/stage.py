"""One run's stage: the venue on the wire, the client before it, the clock's strikes, and when a phase is over."""

from __future__ import annotations

import asyncio
from typing import Final

from faultline.clockwork import Clockwork
from faultline.driver import Driver
from faultline.errors import HarnessError
from faultline.faults.actions import Action, Crash, Cut, ExpireTokens, Pause, Restart, StepClock
from faultline.faults.deciders import Decider, Tick
from faultline.faults.injector import EffectKnown
from faultline.faults.points import Plane
from faultline.plan import Plan
from faultline.shared import Shared
from faultline.venues.interceptor import Interceptor
from faultline.venues.message_interceptor import Upon
from faultline.venues.profile import SimulatedVenue
from faultline.worlds.base import Addresses

POLL_S: Final = 0.5
"""How often the end of a phase is looked for, by the world's clock."""

STILL_S: Final = 2.0
"""How long nothing may be in flight or outstanding before a run is quiet."""


class Stage:
    """One run's venue, driver and clock. :meth:`set_up` makes it; then it says when load and tail are over."""

    def __init__(self, plan: Plan, shared: Shared, venue: SimulatedVenue, decider: Decider) -> None:
        self._plan = plan
        self._shared = shared
        self._world = shared.world
        self._venue = venue
        self._decider = decider
        upon: Upon = dict.fromkeys((Crash, Restart, Pause, StepClock, ExpireTokens), self._upon)
        self._interceptor = Interceptor(
            shared.injector,
            shared.history,
            shared.attribution,
            now_s=shared.world.now_s,
            wall_s=shared.world.context().wall_s,
            upon=upon,
        )
        self._clock = Clockwork(shared.injector, shared.world.now_s, self._carry_out)
        self._driver: Driver | None = None

    @classmethod
    async def set_up(cls, plan: Plan, shared: Shared, venue: SimulatedVenue, decider: Decider) -> Stage:
        """Put the venue on the wire and wind the clock. The client is not booted yet."""
        stage = cls(plan, shared, venue, decider)
        shared.world.arm(shared.injector, stage._upon)
        addresses: Addresses = await shared.world.listen(venue, stage._interceptor)
        gauged = any(getattr(oracle, "gauged", False) for oracle in plan.scenario.expect)
        stage._driver = Driver(plan.target, addresses, plan.profile.credentials, shared, gauged=gauged)
        stage._wind(None, 0.0)
        shared.injector.on_mark(stage._wind)
        return stage

    @property
    def driver(self) -> Driver:
        """The driver of the client."""
        if self._driver is None:
            raise HarnessError("the stage was not set up")
        return self._driver

    # What comes by the clock

    def _wind(self, mark: str | None, t_s: float) -> None:
        self._clock.wind(self._decider.ticks(mark, t_s))

    def _carry_out(self, tick: Tick) -> EffectKnown:
        action = tick.action
        if isinstance(action, Cut):
            if tick.point.plane is Plane.STREAM:
                ended = self._world.cut(tick.point.endpoint, action)
            else:
                ended = self._interceptor.cut_streams(tick.point.endpoint, action)
            return "applied" if ended else "not_applied"
        return "applied" if self._upon(action) else "not_applied"

    def _upon(self, action: Action) -> bool:
        """Carry out what concerns the client or the venue as a whole. False when there was nothing to do it to."""
        match action:
            case Crash():
                return self.driver.crash(action)
            case Restart():
                return self.driver.restart(action)
            case Pause():
                return self.driver.pause(action)
            case StepClock():
                return self._world.step_clock(action.by_s)
            case ExpireTokens():
                self._venue.expire_tokens(action)
                return True
            case _:
                raise HarnessError(f"a fault asks for {action!r} by the clock or at the store, where nobody can do it")

    # Phases

    async def load(self) -> None:
        """Ask for every intent at its time, then wait until faults have had their chance and their end."""
        driver, world = self.driver, self._world
        for intent in self._plan.intents:
            await asyncio.sleep(max(0.0, intent.t - world.now_s()))
            if driver.failure:
                return
            driver.ask(intent)
        linger_until_s = world.now_s() + self._plan.scenario.workload.linger_s
        while not driver.failure:
            # What strikes at the very end of an interval gets its chance too.
            faults_over = world.now_s() >= self._faults_end_s() + POLL_S
            if faults_over and (world.now_s() >= linger_until_s or (not driver.unanswered and self._quiet())):
                break
            await asyncio.sleep(POLL_S)
        self._clock.stop()

    def _faults_end_s(self) -> float:
        """When the last interval of a fault that has begun is over; what counts from a mark that has not been made
        has no claim to be waited for."""
        marks = self._shared.injector.marks
        ends = [0.0]
        for fault in self._plan.scenario.faults:
            start_s = 0.0 if fault.after is None else marks.get(fault.after)
            if start_s is not None and fault.ends_s is not None:
                ends.append(start_s + fault.ends_s)
        return max(ends)

    async def quiesce(self, least_s: float, most_s: float) -> None:
        """Wait until nothing is in flight, outstanding or unanswered, for ``least_s`` to ``most_s``."""
        driver, world = self.driver, self._world
        began_s = still_s = world.now_s()
        while not driver.failure:
            await asyncio.sleep(POLL_S)
            now_s = world.now_s()
            if driver.unanswered or not driver.up or not self._quiet():
                still_s = now_s
            if now_s - began_s >= most_s or (now_s - began_s >= least_s and now_s - still_s >= STILL_S):
                return

    def _quiet(self) -> bool:
        return self._venue.idle() and self._world.idle() and self._interceptor.in_flight == 0

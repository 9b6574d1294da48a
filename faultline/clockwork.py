"""Strikes by the clock: winds up what a decider says comes at a time, and lets it strike then.

Replaying a recorded schedule must give the very same run, so nothing here may depend on who else is waiting:

* a strike's timer is set to its own absolute time, never to a pause from now: sums of floats differ in the last bit;
* it never shares its instant with anything of the run, or it would hang on who set a timer first which comes first;
* it is a timer and not a task, because tasks are numbered and the numbers order the client's own sets of tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from faultline.faults.deciders import Tick
from faultline.faults.injector import EffectKnown, Injector

ASIDE_S: Final = 3.7e-7
"""How far a strike by the clock stands aside of the round times at which everything else happens."""


class Clockwork:
    """Strikes at the times that :meth:`wind` is given, while ``injector`` is armed.

    ``now_s`` is the world's clock since the run began. ``carry_out`` does what a tick says and tells whether that had
    any effect.
    """

    def __init__(
        self, injector: Injector, now_s: Callable[[], float], carry_out: Callable[[Tick], EffectKnown]
    ) -> None:
        self._injector = injector
        self._carry_out = carry_out
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time() - now_s()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._wound = 0

    def wind(self, chains: Iterable[Iterator[Tick]]) -> list[int]:
        """Let each chain of ticks strike, one after the other. Returns a number for each, for :meth:`stop`."""
        numbers: list[int] = []
        for ticks in chains:
            self._wound += 1
            numbers.append(self._wound)
            self._set_next(self._wound, ticks)
        return numbers

    def stop(self, numbers: Iterable[int] | None = None) -> None:
        """Let no more of them strike: of these, or of all."""
        for number in list(self._timers) if numbers is None else numbers:
            timer = self._timers.pop(number, None)
            if timer is not None:
                timer.cancel()

    def _set_next(self, number: int, ticks: Iterator[Tick]) -> None:
        tick = next(ticks, None)
        if tick is not None:
            when = self._began + tick.at_s + ASIDE_S
            self._timers[number] = self._loop.call_at(when, self._strike, number, tick, ticks)

    def _strike(self, number: int, tick: Tick, ticks: Iterator[Tick]) -> None:
        self._timers.pop(number)
        if not self._injector.armed:
            return
        self._set_next(number, ticks)
        receipt = self._injector.begin(tick.fault, tick.point, tick.action, tick.at_s)
        self._injector.resolve(receipt, self._carry_out(tick))

"""Strikes by the clock: winds up what a decider says comes at a time, and lets it strike then.

Replaying a recorded schedule must give the very same run, so nothing here may depend on who else is waiting:

* the timer is set to a strike's own absolute time, never to a pause from now: sums of floats differ in the last bit;
* what is due strikes in the order of its time, also when the loop stood still and several are overdue;
* no strike shares its instant with anything of the run, or it would hang on who set a timer first which comes first;
* it is a timer and not a task, because tasks are numbered and the numbers order the client's own sets of tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
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
        self._now_s = now_s
        self._carry_out = carry_out
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time() - now_s()
        self._due: list[tuple[float, int, Tick]] = []
        self._chains: dict[int, Iterator[Tick]] = {}
        self._wound = 0
        self._timer: asyncio.TimerHandle | None = None

    def wind(self, chains: Iterable[Iterator[Tick]]) -> list[int]:
        """Let each chain of ticks strike, one after the other. Returns a number for each, for :meth:`stop`."""
        first = self._wound + 1
        for ticks in chains:
            self._wound += 1
            self._chains[self._wound] = ticks
            self._push_next(self._wound)
        self._set()
        return list(range(first, self._wound + 1))

    def stop(self, numbers: Iterable[int] | None = None) -> None:
        """Let no more of them strike: of these, or of all."""
        for number in list(self._chains) if numbers is None else numbers:
            self._chains.pop(number, None)
        self._due = [due for due in self._due if due[1] in self._chains]
        heapify(self._due)
        self._set()

    def _push_next(self, number: int) -> None:
        tick = next(self._chains[number], None)
        if tick is None:
            del self._chains[number]
        else:
            heappush(self._due, (tick.at_s, number, tick))

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            self._timer = self._loop.call_at(self._began + self._due[0][0] + ASIDE_S, self._strike_all)

    def _strike_all(self) -> None:
        """Strike what is due, in the order of its time: more than one when the loop stood still meanwhile."""
        self._timer = None
        while self._due and self._due[0][0] <= self._now_s():
            _, number, tick = heappop(self._due)
            if not self._injector.armed:
                del self._chains[number]  # what was not to strike at its time does not come later
                continue
            self._push_next(number)
            receipt = self._injector.begin(tick.fault, tick.point, tick.action, tick.at_s)
            self._injector.resolve(receipt, self._carry_out(tick))
        self._set()

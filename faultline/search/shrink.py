"""The smallest set of faults that still fails: plain delta debugging (Zeller's ddmin) over a schedule's entries.

Every candidate is judged again by replaying it, so a client that reacts differently to fewer faults is no trouble:
only what really fails is kept. Entries that a failing replay never reached acted on nothing and are dropped without
another replay. The number of replays is bounded; what has been reached by then is returned and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from faultline.faults.deciders import Scheduled
from faultline.faults.schedule import Entry, Schedule
from faultline.plan import Plan
from faultline.runner import Run, run
from faultline.search.interruption import INTERRUPTION

REPLAYS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest failing schedule found and the run that replays it.

    ``minimal``: without any one of its entries the oracle no longer fails. It is false when the bound on replays was
    reached first, or the search was interrupted.
    """

    schedule: Schedule
    run: Run
    replays: int
    minimal: bool


class _Spent(Exception):
    """The bound on replays was reached, or somebody is in a hurry."""


class _Search:
    def __init__(self, plan: Plan, seed: int, oracle: str, replays_max: int) -> None:
        self._plan = plan
        self._seed = seed
        self._oracle = oracle
        self._replays_max = replays_max
        self._known: dict[tuple[Entry, ...], bool] = {}
        self.replays = 0
        self.best: tuple[tuple[Entry, ...], Run] | None = None

    def fails(self, entries: tuple[Entry, ...]) -> bool:
        """Whether the oracle fails when exactly ``entries`` happen. Keeps the smallest that does."""
        known = self._known.get(entries)
        if known is not None:
            return known
        if self.replays >= self._replays_max or INTERRUPTION.asked:
            raise _Spent
        self.replays += 1
        replay = run(self._plan, self._seed, Scheduled(Schedule(entries), self._seed))
        fails = self._known[entries] = self._oracle in replay.failed
        if fails:
            struck = set(replay.schedule.entries)
            acted = tuple(entry for entry in entries if entry in struck)
            self._known[acted] = True
            if self.best is None or len(acted) < len(self.best[0]):
                self.best = (acted, replay)
        return fails


def shrink(plan: Plan, seed: int, schedule: Schedule, oracle: str, *, replays_max: int = REPLAYS_MAX) -> Shrunk | None:
    """The smallest part of ``schedule`` under which ``oracle`` still fails.

    None when it does not even fail under the whole schedule: then the run does not repeat.
    """
    search = _Search(plan, seed, oracle, replays_max)
    minimal = True
    try:
        if not search.fails(schedule.entries):
            return None
        if not search.fails(()):
            _ddmin(search)
    except _Spent:
        minimal = False
    if search.best is None:
        return None
    entries, best = search.best
    return Shrunk(Schedule(entries), best, search.replays, minimal)


def _ddmin(search: _Search) -> None:
    assert search.best is not None
    parts = 2
    while len(search.best[0]) > 1:
        entries = search.best[0]
        parts = min(parts, len(entries))
        if any(search.fails(candidate) for candidate in _candidates(entries, parts)):
            parts = max(2, min(parts - 1, len(search.best[0])))
        elif parts == len(entries):
            return
        else:
            parts *= 2


def _candidates(entries: Sequence[Entry], parts: int) -> Iterator[tuple[Entry, ...]]:
    """Each part alone, then everything but each part."""
    bounds = [len(entries) * index // parts for index in range(parts + 1)]
    slices = [(bounds[index], bounds[index + 1]) for index in range(parts)]
    for start, end in slices:
        yield tuple(entries[start:end])
    if parts > 2:
        for start, end in slices:
            yield (*entries[:start], *entries[end:])

"""The smallest set of faults that still fails: plain delta debugging (Zeller's ddmin) over a schedule's entries.

Every candidate is judged again by replaying it, so a client that reacts differently to fewer faults is no trouble:
only what really fails is kept. Entries that a failing replay never reached acted on nothing and are dropped without
another replay. The number of replays is bounded; what has been reached by then is returned and says so.

Intents are shrunk in the same way (:func:`shrink_all`): fewer orders make a shorter story. What acts on an intent goes
with it, a cancel is nothing without its order; faults that strike what is asked for by an intent keep it alive by
themselves, because without it they strike nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from faultline.faults.actions import Cut
from faultline.faults.deciders import Scheduled
from faultline.faults.points import Plane
from faultline.faults.schedule import Entry, Schedule, ScheduledCondition, ScheduledStrike
from faultline.history.event import Intent
from faultline.plan import Plan
from faultline.runner import Run, run
from faultline.search.interruption import INTERRUPTION

T = TypeVar("T")

REPLAYS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest failing schedule found and the run that replays it; the intents that are left are in its plan.

    ``minimal``: without any one of its entries (and of its intents, where those were shrunk) the oracle no longer
    fails. It is false when the bound on replays was reached first, or the search was interrupted.
    """

    schedule: Schedule
    run: Run
    replays: int
    minimal: bool


class _Spent(Exception):
    """The bound on replays was reached, or somebody is in a hurry."""


class _Search(Generic[T]):
    """What is known of the parts of a whole that fail. ``replay`` runs a part; ``acted`` is what of it mattered in a
    run; ``sound`` takes out of a part what makes no sense alone."""

    def __init__(
        self,
        oracle: str,
        replays_max: int,
        replay: Callable[[tuple[T, ...]], Run],
        acted: Callable[[tuple[T, ...], Run], tuple[T, ...]] = lambda part, _: part,
        sound: Callable[[tuple[T, ...]], tuple[T, ...]] = lambda part: part,
    ) -> None:
        self._oracle = oracle
        self._replays_max = replays_max
        self._replay = replay
        self._acted = acted
        self._sound = sound
        self._known: dict[tuple[T, ...], bool] = {}
        self.replays = 0
        self.best: tuple[tuple[T, ...], Run] | None = None

    def fails(self, part: tuple[T, ...]) -> bool:
        """Whether the oracle fails when exactly ``part`` happens. Keeps the smallest that does."""
        part = self._sound(part)
        known = self._known.get(part)
        if known is not None:
            return known
        if self.replays >= self._replays_max or INTERRUPTION.asked:
            raise _Spent
        self.replays += 1
        replay = self._replay(part)
        fails = self._known[part] = self._oracle in replay.failed
        if fails:
            acted = self._acted(part, replay)
            self._known[acted] = True
            if self.best is None or len(acted) < len(self.best[0]):
                self.best = (acted, replay)
        return fails

    def shrink(self, whole: tuple[T, ...]) -> bool:
        """Look for the smallest part of ``whole`` that fails, and leave it in :attr:`best`. Whether it is minimal."""
        try:
            if self.fails(whole) and not self.fails(()):
                self._ddmin()
        except _Spent:
            return False
        return True

    def _ddmin(self) -> None:
        assert self.best is not None
        parts = 2
        while len(self.best[0]) > 1:
            left = self.best[0]
            parts = min(parts, len(left))
            if any(self.fails(candidate) for candidate in _candidates(left, parts)):
                parts = max(2, min(parts - 1, len(self.best[0])))
            elif parts == len(left):
                return
            else:
                parts *= 2


def _candidates(whole: Sequence[T], parts: int) -> Iterator[tuple[T, ...]]:
    """Each part alone, then everything but each part."""
    bounds = [len(whole) * index // parts for index in range(parts + 1)]
    slices = [(bounds[index], bounds[index + 1]) for index in range(parts)]
    for start, end in slices:
        yield tuple(whole[start:end])
    if parts > 2:
        for start, end in slices:
            yield (*whole[:start], *whole[end:])


# Faults


def shrink(plan: Plan, seed: int, schedule: Schedule, oracle: str, *, replays_max: int = REPLAYS_MAX) -> Shrunk | None:
    """The smallest part of ``schedule`` under which ``oracle`` still fails.

    None when it does not even fail under the whole schedule: then the run does not repeat.
    """

    def replay(entries: tuple[Entry, ...]) -> Run:
        return run(plan, seed, Scheduled(Schedule(entries), seed))

    search = _Search(oracle, replays_max, replay, _struck)
    minimal = search.shrink(schedule.entries)
    if search.best is None:
        return None
    entries, best = search.best
    return Shrunk(Schedule(entries), best, search.replays, minimal)


def _struck(entries: tuple[Entry, ...], replay: Run) -> tuple[Entry, ...]:
    happened = {_mark(entry) for entry in replay.schedule.entries}
    labels = {entry.fault for entry in replay.schedule.entries}
    return tuple(
        entry
        for entry in entries
        if (entry.fault in labels if isinstance(entry, ScheduledCondition) else _mark(entry) in happened)
    )


def _mark(entry: Entry) -> object:
    """What makes a strike the same one in a schedule and in its replay.

    Not its rank, which a schedule that was written by hand may not have. A cut of a stream belongs to a byte, and the
    segment that carries it may be another.
    """
    if not isinstance(entry, ScheduledStrike):
        return entry.fault
    point = entry.point
    if point.plane is Plane.STREAM and isinstance(entry.action, Cut) and entry.at_s is None:
        return entry.fault, point.endpoint, point.entity, point.phase, point.nth + entry.action.after_bytes
    return replace(entry, rank=0)


# Intents


def shrink_all(
    plan: Plan, seed: int, schedule: Schedule, oracle: str, *, replays_max: int = REPLAYS_MAX
) -> Shrunk | None:
    """As :func:`shrink`, and then the fewest intents under which what is left still fails, until neither gets smaller.

    None as there. ``replays_max`` bounds the replays of both together.
    """
    found = shrink(plan, seed, schedule, oracle, replays_max=replays_max)
    while found is not None and found.minimal:
        replays = found.replays
        fewer = _shrink_intents(found, plan, seed, oracle, replays_max - replays)
        if fewer is None:
            return replace(found, minimal=False)  # nothing is left to replay it with
        replays += fewer.replays
        if not fewer.minimal or fewer.run.plan.intents == plan.intents:
            return replace(fewer, replays=replays)
        plan = fewer.run.plan
        again = shrink(plan, seed, fewer.schedule, oracle, replays_max=replays_max - replays)
        if again is None:
            return replace(fewer, replays=replays, minimal=False)
        found = replace(again, replays=replays + again.replays)
        if again.schedule == fewer.schedule:
            return found
    return found


def _shrink_intents(found: Shrunk, plan: Plan, seed: int, oracle: str, replays_max: int) -> Shrunk | None:
    def replay(intents: tuple[Intent, ...]) -> Run:
        return run(plan.with_intents(intents), seed, Scheduled(found.schedule, seed))

    search = _Search(oracle, replays_max, replay, sound=_without_orphans)
    minimal = search.shrink(plan.intents)
    if search.best is None:
        return None
    return Shrunk(found.schedule, search.best[1], search.replays, minimal)


def _without_orphans(intents: tuple[Intent, ...]) -> tuple[Intent, ...]:
    kept = {intent.id for intent in intents}
    return tuple(intent for intent in intents if not intent.of or intent.of in kept)

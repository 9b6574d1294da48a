"""Delta debugging over schedules: what it finds, and that it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.faults.actions import Cut
from faultline.faults.points import Plane, Point
from faultline.faults.schedule import Entry, Schedule, ScheduledStrike
from faultline.search import shrink as module
from faultline.search.shrink import shrink


def entry(number: int) -> ScheduledStrike:
    return ScheduledStrike("lost", Point(Plane.MESSAGE, "POST /orders", f"I{number}", 1, "after"), Cut())


def schedule(numbers: Iterable[int]) -> Schedule:
    return Schedule(tuple(map(entry, numbers)))


def numbers(entries: Iterable[Entry]) -> set[int]:
    return {int(each.point.entity[1:]) for each in entries if isinstance(each, ScheduledStrike)}


Breaks = Callable[[set[int]], bool]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Callable[[Breaks], list[set[int]]]:
    return lambda breaks, reached=lambda entries: entries: install(monkeypatch, breaks, reached)


def install(monkeypatch: pytest.MonkeyPatch, breaks: Breaks, reached: Callable[[set[int]], set[int]]) -> list[set[int]]:
    """Replaces the runner: a run fails when ``breaks`` says so of the entries that it got to."""
    replayed: list[set[int]] = []

    def run(plan: Any, seed: int, decider: Any) -> Any:
        here = numbers(decider.entries)
        replayed.append(here)
        acted = reached(here)
        failed = ("oracle",) if breaks(acted) else ()
        return SimpleNamespace(failed=failed, schedule=schedule(sorted(acted)))

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "Scheduled", lambda schedule, seed: SimpleNamespace(entries=schedule.entries))
    return replayed


@given(st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1), max_size=5))))
def test_it_finds_exactly_the_faults_that_are_needed(case: tuple[int, set[int]]) -> None:
    size, needed = case
    with pytest.MonkeyPatch.context() as patch:
        install(patch, lambda entries: needed <= entries, lambda entries: entries)
        found = shrink(None, 0, schedule(range(size)), "oracle", replays_max=2_000)
    assert found is not None
    assert numbers(found.schedule.entries) == needed
    assert found.minimal


@given(st.integers(2, 25), st.randoms(use_true_random=False))
def test_whatever_the_client_does_no_single_fault_can_be_left_out(size: int, random: Any) -> None:
    verdicts: dict[frozenset[int], bool] = {frozenset(range(size)): True, frozenset(): False}

    def breaks(entries: set[int]) -> bool:
        return verdicts.setdefault(frozenset(entries), random.random() < 0.4)

    with pytest.MonkeyPatch.context() as patch:
        install(patch, breaks, lambda entries: entries)
        found = shrink(None, 0, schedule(range(size)), "oracle", replays_max=5_000)
        assert found is not None
        left = numbers(found.schedule.entries)
        assert breaks(left)
        assert found.minimal
        assert not any(breaks(left - {one}) for one in left)


def test_the_order_of_the_entries_is_kept(client: Any) -> None:
    client(lambda entries: {3, 17, 21} <= entries)
    found = shrink(None, 0, schedule(range(30)), "oracle")
    assert found is not None
    assert [each.point.entity for each in found.schedule.entries] == ["I3", "I17", "I21"]


def test_entries_that_a_failing_replay_never_reached_are_dropped_at_once(client: Any) -> None:
    replayed = client(lambda entries: 2 in entries, lambda entries: {one for one in entries if one < 5})
    found = shrink(None, 0, schedule(range(100)), "oracle")
    assert found is not None
    assert numbers(found.schedule.entries) == {2}
    assert all(len(entries) <= 5 for entries in replayed[1:])


def test_a_client_that_fails_without_faults_needs_none(client: Any) -> None:
    replayed = client(lambda entries: True)
    found = shrink(None, 0, schedule(range(20)), "oracle")
    assert found is not None
    assert (found.schedule, found.minimal, len(replayed)) == (Schedule(), True, 2)


def test_a_failure_that_does_not_repeat_is_not_shrunk(client: Any) -> None:
    client(lambda entries: False)
    assert shrink(None, 0, schedule(range(20)), "oracle") is None


def test_the_number_of_replays_is_bounded_and_the_best_so_far_is_kept(client: Any) -> None:
    replayed = client(lambda entries: {1, 18, 37} <= entries)
    found = shrink(None, 0, schedule(range(40)), "oracle", replays_max=12)
    assert found is not None
    assert len(replayed) == found.replays == 12
    assert not found.minimal
    assert {1, 18, 37} <= numbers(found.schedule.entries) < set(range(40))


def test_nothing_is_replayed_twice(client: Any) -> None:
    replayed = client(lambda entries: {0, 7} <= entries)
    shrink(None, 0, schedule(range(8)), "oracle")
    assert len({frozenset(entries) for entries in replayed}) == len(replayed)

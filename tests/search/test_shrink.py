"""Delta debugging over schedules: what it finds, and that it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.faults.actions import Cut
from faultline.faults.points import Plane, Point
from faultline.faults.schedule import Entry, Schedule, ScheduledStrike
from faultline.history.event import Intent
from faultline.plan import Plan
from faultline.search import shrink as module
from faultline.search.shrink import Shrunk, shrink, shrink_all


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


# Intents


def intents(count: int, *more: Intent) -> tuple[Intent, ...]:
    return (*(Intent(float(number), f"I{number}", "place") for number in range(count)), *more)


def asked_for(monkeypatch: pytest.MonkeyPatch, breaks: Callable[[set[str], set[int]], bool]) -> list[tuple[str, ...]]:
    """Replaces the runner: a run fails when ``breaks`` says so of its intents and its faults."""
    replayed: list[tuple[str, ...]] = []

    def run(plan: Plan, seed: int, decider: Any) -> Any:
        ids = tuple(intent.id for intent in plan.intents)
        replayed.append(ids)
        failed = ("oracle",) if breaks(set(ids), numbers(decider.entries)) else ()
        return SimpleNamespace(plan=plan, failed=failed, schedule=Schedule(decider.entries))

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "Scheduled", lambda schedule, seed: SimpleNamespace(entries=schedule.entries))
    return replayed


def plan_with(*asked: Intent) -> Plan:
    nothing: Any = None
    return Plan(nothing, nothing, asked, nothing)


def left(found: Shrunk | None) -> tuple[set[int], list[str]]:
    assert found is not None
    return numbers(found.schedule.entries), [intent.id for intent in found.run.plan.intents]


def test_faults_are_shrunk_and_then_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for(monkeypatch, lambda ids, faults: {"I3", "I11"} <= ids and 5 in faults)
    found = shrink_all(plan_with(*intents(20)), 0, schedule(range(10)), "oracle")
    assert left(found) == ({5}, ["I3", "I11"])
    assert found is not None
    assert found.minimal


def test_what_acts_on_an_intent_goes_with_it_and_keeps_it_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    cancels = (Intent(7.0, "C1", "cancel", of="I1"), Intent(8.0, "C2", "cancel", of="I2"), Intent(9.0, "Kill", "kill"))
    replayed = asked_for(monkeypatch, lambda ids, faults: "C2" in ids)
    found = shrink_all(plan_with(*intents(6, *cancels)), 0, schedule([1]), "oracle")
    assert left(found) == (set(), ["I2", "C2"])
    assert not [ids for ids in replayed if ("C1" in ids and "I1" not in ids) or ("C2" in ids and "I2" not in ids)]


def test_with_fewer_intents_fewer_faults_may_do_and_both_are_minimal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for(monkeypatch, lambda ids, faults: "I0" in ids and (len(ids) == 1 or {1, 2} <= faults))
    found = shrink_all(plan_with(*intents(4)), 0, schedule(range(4)), "oracle")
    assert left(found) == (set(), ["I0"])
    assert found is not None
    assert found.minimal


def test_one_bound_holds_for_the_replays_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = asked_for(monkeypatch, lambda ids, faults: {"I1", "I18", "I37"} <= ids and 1 in faults)
    found = shrink_all(plan_with(*intents(40)), 0, schedule(range(4)), "oracle", replays_max=15)
    assert found is not None
    assert (len(replayed), found.replays, found.minimal) == (15, 15, False)
    assert left(found)[0] == {1}


def test_a_rank_that_was_not_written_down_is_no_other_strike(monkeypatch: pytest.MonkeyPatch) -> None:
    struck = Schedule(tuple(replace(entry(number), rank=3) for number in (1, 2)))
    run = SimpleNamespace(failed=("oracle",), schedule=struck)
    monkeypatch.setattr(
        module, "run", lambda plan, seed, decider: run if decider.entries else SimpleNamespace(failed=())
    )
    monkeypatch.setattr(module, "Scheduled", lambda schedule, seed: SimpleNamespace(entries=schedule.entries))
    nothing: Any = None
    found = shrink(nothing, 0, schedule([1]), "oracle")
    assert found is not None
    assert numbers(found.schedule.entries) == {1}

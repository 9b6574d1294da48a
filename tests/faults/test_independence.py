"""Removing a fault leaves the others where they were.

Replay and shrinking rest on this: each time a fault goes, the run that is judged must be the same but for that fault.
Here the moments are given, so any decision that moves was moved by the deciders themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.faults import Fault
from faultline.faults.deciders import Decider, Rules, Scheduled, Tick, labels
from faultline.faults.injector import Decision, Injector
from faultline.faults.points import Moment
from faultline.faults.schedule import Schedule
from faultline.history import History

Decided = list[tuple[Decision, ...]]


def decided(decider: Decider, moments: Sequence[Moment]) -> Decided:
    return [decider.decide(moment) for moment in moments]


def without(decisions: Decided, fault: str) -> Decided:
    return [tuple(decision for decision in each if decision.fault != fault) for each in decisions]


def ticks(decider: Decider) -> list[Tick]:
    """The first ticks of each clock."""
    heard = [*decider.ticks(None, 0.0), *decider.ticks("fill", 2.0)]
    return [tick for each in heard for tick, _ in zip(each, range(5), strict=False)]


def schedule_of(faults: Sequence[Fault], moments: Sequence[Moment], seed: int) -> Schedule:
    """What these faults strike in these moments."""
    rules = Rules(faults, seed)
    injector = Injector(rules, History(), lambda: 0.0)
    for moment in moments:
        for decision in rules.decide(moment):
            injector.begin(decision.fault, moment.point, decision.action)
    for tick in ticks(rules):
        injector.begin(tick.fault, tick.point, tick.action, tick.at_s)
    return Schedule.of(injector.struck, dict(zip(labels(faults), faults, strict=True)))


def test_removing_a_rule_moves_no_decision_of_another(
    some_faults: st.SearchStrategy[list[Fault]], some_run: st.SearchStrategy[list[Moment]]
) -> None:
    kept = 0

    @settings(deadline=None)
    @given(some_faults.filter(lambda faults: len(faults) > 1), some_run, st.integers(0, 3))
    def check(faults: list[Fault], moments: list[Moment], seed: int) -> None:
        nonlocal kept
        named = dict(zip(labels(faults), faults, strict=True))
        whole, clocked = decided(Rules(faults, seed), moments), ticks(Rules(faults, seed))
        for gone in named:
            rest = Rules({label: fault for label, fault in named.items() if label != gone}, seed)
            expected = without(whole, gone)
            assert decided(rest, moments) == expected
            assert ticks(rest) == [tick for tick in clocked if tick.fault != gone]
            kept += sum(len(each) for each in expected)

    check()
    assert kept > 50


def test_removing_an_entry_of_a_schedule_moves_no_other(
    some_faults: st.SearchStrategy[list[Fault]], some_run: st.SearchStrategy[list[Moment]]
) -> None:
    kept = 0

    @settings(deadline=None)
    @given(some_faults, some_run, st.integers(0, 3))
    def check(faults: list[Fault], moments: list[Moment], seed: int) -> None:
        nonlocal kept
        schedule = schedule_of(faults, moments, seed)
        whole, clocked = decided(Scheduled(schedule, seed), moments), ticks(Scheduled(schedule, seed))
        for position in range(len(schedule)):
            rest = Schedule(schedule.entries[:position] + schedule.entries[position + 1 :])
            alone = Scheduled(Schedule(schedule.entries[position : position + 1]), seed)
            lost = decided(alone, moments)
            expected = [
                tuple(decision for decision in each if decision not in gone)
                for each, gone in zip(whole, lost, strict=True)
            ]
            assert decided(Scheduled(rest, seed), moments) == expected
            kept += sum(len(each) for each in expected)
            gone_ticks = ticks(alone)
            assert ticks(Scheduled(rest, seed)) == [tick for tick in clocked if tick not in gone_ticks]

    check()
    assert kept > 50


def test_a_moment_that_no_longer_comes_moves_no_decision_drawn_by_chance(
    some_faults: st.SearchStrategy[list[Fault]], some_run: st.SearchStrategy[list[Moment]]
) -> None:
    """What counts (``nth``, ``first``, occasions) may move when moments go; what is drawn does not."""
    kept = 0

    def counts(fault: Fault) -> bool:
        return fault.shape == "strike" and bool(fault.given & {"nth", "first", "at_s", "every_s"} or fault.once)

    @settings(deadline=None)
    @given(
        some_faults.map(lambda faults: [fault for fault in faults if not counts(fault)]), some_run, st.integers(0, 3)
    )
    def check(faults: list[Fault], moments: list[Moment], seed: int) -> None:
        nonlocal kept
        whole = decided(Rules(faults, seed), moments)
        assert decided(Rules(faults, seed), moments[::2]) == whole[::2]
        kept += sum(len(each) for each in whole[::2])

    check()
    assert kept > 20

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.faults import (
    Crash,
    Disconnect,
    DropMessage,
    Fault,
    Latency,
    LostRequest,
    LostResponse,
    ResetPeer,
    SilentStream,
)
from faultline.faults.actions import Action, Cut, Delay, Duplicate
from faultline.faults.base import State
from faultline.faults.chance import Chance
from faultline.faults.deciders import Decider, Recorder, Rules, Scheduled, labels
from faultline.faults.injector import Decision, Injector, Strike
from faultline.faults.points import Moment, Plane, Point
from faultline.faults.schedule import Schedule, ScheduledCondition, ScheduledStrike
from faultline.history import History

Make = Callable[..., Moment]


def scanned(faults: Sequence[Fault], seed: int, moments: Sequence[Moment]) -> list[tuple[Decision, ...]]:
    """What rules decide, the slow way: every fault is looked at for every moment."""
    states = [State()] * len(faults)
    decided = []
    for moment in moments:
        found = []
        for position, (label, fault) in enumerate(zip(labels(faults), faults, strict=True)):
            point = moment.point
            if fault.by_the_clock or not fault.about(point.plane, point.endpoint, point.phase):
                continue
            states[position], actions = fault.step(states[position], moment, Chance(seed, "rule", label))
            found += [Decision(label, action, fault.shape == "condition") for action in actions]
        decided.append(tuple(found))
    return decided


def carried_out(decider: Decider, moments: Sequence[Moment]) -> tuple[list[tuple[Strike, ...]], list[ScheduledStrike]]:
    """What is carried out at each moment of a run, and what was struck."""
    clock = [0.0]
    injector = Injector(decider, History(), lambda: clock[0])
    injector.armed = True
    strikes = []
    for moment in moments:
        clock[0] = moment.t_s
        if moment.t_s >= 2:
            injector.mark("fill")
        strikes.append(injector.strike(moment))
    return strikes, injector.struck


def test_rules_that_are_indexed_decide_as_rules_that_are_scanned(
    some_faults: st.SearchStrategy[list[Fault]], some_run: st.SearchStrategy[list[Moment]]
) -> None:
    struck = 0

    @settings(deadline=None)
    @given(some_faults, some_run, st.integers(0, 3))
    def check(faults: list[Fault], moments: list[Moment], seed: int) -> None:
        nonlocal struck
        rules = Rules(faults, seed)
        decided = [rules.decide(moment) for moment in moments]
        assert decided == scanned(faults, seed, moments)
        struck += sum(1 for each in decided if each)

    check()
    assert struck > 20


def test_a_schedule_repeats_what_the_rules_struck(
    some_faults: st.SearchStrategy[list[Fault]], some_run: st.SearchStrategy[list[Moment]]
) -> None:
    repeated = 0

    @settings(deadline=None)
    @given(some_faults, some_run, st.integers(0, 3))
    def check(faults: list[Fault], moments: list[Moment], seed: int) -> None:
        nonlocal repeated
        by_label = dict(zip(labels(faults), faults, strict=True))
        strikes, struck = carried_out(Rules(faults, seed), moments)
        schedule = Schedule.of(struck, by_label)
        again, struck_again = carried_out(Scheduled(schedule, seed), moments)
        assert again == strikes
        assert struck_again == struck
        repeated += len(struck)

    check()
    assert repeated > 20


def test_a_schedule_decides_nothing_that_it_does_not_list(moment: Make) -> None:
    listed = ScheduledStrike("lost_request", moment().point, Cut())
    scheduled = Scheduled(Schedule((listed,)), 0)
    assert scheduled.decide(moment()) == (Decision("lost_request", Cut()),)
    for other in (moment(nth=2), moment(entity="I2"), moment(phase="after"), moment("GET /fills")):
        assert scheduled.decide(other) == ()
    assert scheduled.ticks(None, 0.0) == []


def test_a_schedule_repeats_ticks_at_their_times_whatever_they_counted_from() -> None:
    [ticks] = Rules([Disconnect(after="fill", every_s=5, first=2)], 0).ticks("fill", 30.0)
    struck = [ScheduledStrike(tick.fault, tick.point, tick.action, tick.at_s) for tick in ticks]
    scheduled = Scheduled(Schedule.of(struck, {}), 0)
    assert [tick.at_s for each in scheduled.ticks(None, 0.0) for tick in each] == [35, 40]
    assert scheduled.ticks("fill", 30.0) == []


def test_what_strikes_one_point_acts_in_scenario_order(moment: Make) -> None:
    here = moment("stream user", "I1/1", 1, "out")
    faults = {"delay": DropMessage(), "silent_stream": SilentStream()}
    struck = [
        ScheduledStrike("silent_stream", here.point, Cut()),
        ScheduledStrike("delay", here.point, Delay(1)),
        ScheduledStrike("delay", here.point, Duplicate()),
    ]
    scheduled = Scheduled(Schedule.of(struck, faults), 0)
    assert [decision.fault for decision in scheduled.decide(here)] == ["delay", "delay", "silent_stream"]


def test_a_scheduled_cut_belongs_to_its_byte_however_the_bytes_are_cut(moment: Make) -> None:
    def segment(offset: int, size_bytes: int) -> Moment:
        return moment("rest", "1", offset, "down", plane=Plane.STREAM, size_bytes=size_bytes)

    _, struck = carried_out(Rules([ResetPeer(offset_bytes=130)], 0), [segment(0, 100), segment(100, 100)])
    scheduled = Scheduled(Schedule.of(struck, {}), 0)
    finer = [scheduled.decide(segment(offset, 16)) for offset in range(0, 200, 16)]
    assert [answer for answer in finer if answer] == [(Decision("reset_peer", Cut(2, "rst")),)]
    assert finer[8]


def test_a_condition_makes_the_same_draws_in_a_schedule(moment: Make) -> None:
    fault = Latency(jitter_s=0.05, probability=0.5)
    moments = [
        moment("rest", str(connection), 0, "up", plane=Plane.STREAM, size_bytes=10) for connection in range(1, 20)
    ]
    rules = Rules([LostRequest(), fault], 4)
    alone = Scheduled(Schedule((ScheduledCondition("latency", "latency", fault),)), 4)
    assert [rules.decide(each) for each in moments] == [alone.decide(each) for each in moments]


def test_a_recorder_decides_nothing_and_notes_each_point_once(moment: Make) -> None:
    recorder = Recorder()
    for here in (moment(t_s=1.0), moment(t_s=5.0), moment(nth=2, t_s=7.0)):
        assert recorder.decide(here) == ()
    assert recorder.points == {moment().point: 1.0, moment(nth=2).point: 7.0}
    assert recorder.ticks(None, 0.0) == []


def test_labels_tell_faults_of_one_kind_apart() -> None:
    faults = [LostRequest(), Disconnect(), LostRequest(nth=2), LostResponse()]
    assert labels(faults) == ["lost_request", "disconnect", "lost_request#2", "lost_response"]


def test_two_rules_of_one_kind_draw_apart(moment: Make) -> None:
    rules = Rules([LostRequest(probability=0.5), LostRequest(probability=0.5)], 0)
    both = [{decision.fault for decision in rules.decide(moment(entity=f"I{n}"))} for n in range(100)]
    assert {len(each) for each in both} == {0, 1, 2}


def test_a_condition_is_listed_once_and_whole() -> None:
    fault = Latency(during_s=(1, 9))
    struck = [ScheduledStrike("latency", Point(Plane.STREAM, "rest", str(n), 0, "up"), Delay(0.1)) for n in range(5)]
    assert Schedule.of(struck, {"latency": fault}).entries == (ScheduledCondition("latency", "latency", fault),)


def test_actions_of_a_fault_reach_the_schedule_as_they_were(moment: Make) -> None:
    _, struck = carried_out(Rules([LostRequest(how="fin")], 0), [moment()])
    actions: list[Action] = [strike.action for strike in struck]
    assert actions == [Cut(how="fin")]


def test_a_decider_knows_where_it_need_not_be_asked(moment: Make) -> None:
    assert Rules([LostRequest(), Disconnect(at_s=3)], 0).planes == {Plane.MESSAGE}
    assert Rules([Crash(), Latency()], 0).planes == {Plane.TARGET, Plane.MESSAGE, Plane.STREAM}
    assert Rules([Crash(at_s=3)], 0).planes == frozenset()
    assert Recorder().planes == frozenset(Plane)
    cut = ScheduledStrike("reset_peer", Point(Plane.STREAM, "rest", "1", 0, "down"), Cut())
    tick = ScheduledStrike("disconnect", Point(Plane.MESSAGE, "stream user", "disconnect", 1, "tick"), Cut(), 3.0)
    condition = ScheduledCondition("silent_stream", "silent_stream", SilentStream())
    assert Scheduled(Schedule((cut, tick)), 0).planes == {Plane.STREAM}
    assert Scheduled(Schedule((condition, ScheduledStrike("x", moment().point, Cut()))), 0).planes == {Plane.MESSAGE}
    assert Injector(Rules([Latency()], 0), History(), lambda: 0.0).concerns(Plane.STREAM)
    assert not Injector(Rules([Latency()], 0), History(), lambda: 0.0).concerns(Plane.MESSAGE)

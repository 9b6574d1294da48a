"""Where, how often and when: what every fault has in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from faultline.faults import (
    Crash,
    Disconnect,
    DropMessage,
    Fault,
    Latency,
    LostRequest,
    LostResponse,
    Reject,
    StatusStorm,
)
from faultline.faults.actions import Action, Cut, Drop
from faultline.faults.base import State
from faultline.faults.chance import Chance
from faultline.faults.deciders import Rules
from faultline.faults.points import Moment, Plane

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


def struck(answers: list[tuple[Action, ...]]) -> list[int]:
    return [position for position, answer in enumerate(answers, 1) if answer]


@pytest.mark.parametrize(
    ("on", "endpoint", "matches"),
    [
        ("POST /orders", "POST /orders", True),
        ("POST /orders", "POST /orders/{id}", False),
        ("* /orders*", "DELETE /orders/{id}", True),
        ("* /orders*", "GET /fills", False),
        ("DELETE /orders/{id}", "DELETE /orders/{id}", True),
        ("POST *", "post /orders", False),
    ],
)
def test_on_is_a_pattern_over_endpoints(on: str, endpoint: str, matches: bool, moment: Make, decide: Decide) -> None:
    assert bool(decide(LostRequest(on=on), moment(endpoint))[0]) is matches


def test_a_fault_is_only_about_its_plane_and_phase() -> None:
    fault = LostResponse(on="*")
    assert fault.about(Plane.MESSAGE, "POST /orders", "after")
    assert not fault.about(Plane.MESSAGE, "POST /orders", "before")
    assert not fault.about(Plane.VENUE, "match", "after")


def test_header_matches_its_value_whatever_the_case_of_its_name(moment: Make, decide: Decide) -> None:
    fault = LostRequest(header="X-Account: a*")
    headers = [{"x-account": "a1"}, {"x-account": "b1"}, {}, {"x-account": "a:2"}]
    assert struck(decide(fault, *(moment(headers=each) for each in headers))) == [1, 4]
    assert struck(decide(LostRequest(header="x-account:"), *(moment(headers=each) for each in headers))) == [1, 2, 4]


def test_topic_and_connection_narrow_the_messages(moment: Make, decide: Decide) -> None:
    moments = [
        moment("stream user", "I1/1/fills", 1, "out", topic="fills", connection=1),
        moment("stream user", "I1/1/orders", 1, "out", topic="orders", connection=1),
        moment("stream user", "I1/2/fills", 1, "out", topic="fills", connection=2),
    ]
    assert struck(decide(DropMessage(topic="fill?"), *moments)) == [1, 3]
    assert struck(decide(DropMessage(connection=2), *moments)) == [3]
    assert struck(decide(DropMessage(topic="fills", connection=1), *moments)) == [1]


def test_nth_counts_matching_moments_of_the_run(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{number}") for number in range(1, 6)]
    moments.insert(1, moment("GET /fills", "-"))
    assert struck(decide(LostRequest(nth=2), *moments)) == [3]
    assert struck(decide(LostRequest(nth=(1, 4)), *moments)) == [1, 5]


def test_attempt_is_the_nth_arrival_of_one_intent(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=entity, nth=nth) for nth in (1, 2, 3) for entity in ("I1", "I2")]
    assert struck(decide(LostRequest(attempt=2), *moments)) == [3, 4]


def test_first_stops_after_so_many_strikes(moment: Make, decide: Decide) -> None:
    assert struck(decide(LostRequest(first=2), *[moment(entity=f"I{n}") for n in range(5)])) == [1, 2]


def test_first_counts_strikes_and_not_moments(moment: Make, decide: Decide) -> None:
    answers = decide(LostRequest(first=3, probability=0.3), *[moment(entity=f"I{n}") for n in range(200)])
    assert len(struck(answers)) == 3
    assert struck(answers)[-1] > 3


def test_probability_decides_each_moment_by_itself(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{n}") for n in range(2000)]
    fault = LostRequest(probability=0.25)
    hit = set(struck(decide(fault, *moments)))
    assert 430 < len(hit) < 570
    odd = set(struck(decide(fault, *moments[::2])))
    assert {position * 2 - 1 for position in odd} == {position for position in hit if position % 2}
    assert hit != set(struck(decide(fault, *moments, seed=1)))
    assert decide(LostRequest(probability=0.0), *moments) == [()] * 2000


def test_a_larger_probability_keeps_what_a_smaller_one_strikes(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{n}") for n in range(500)]
    few = set(struck(decide(LostRequest(probability=0.2), *moments)))
    assert few < set(struck(decide(LostRequest(probability=0.6), *moments)))


def test_only_moments_in_the_interval_are_counted(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{n}", t_s=float(n)) for n in range(10)]
    assert struck(decide(LostRequest(during_s=(3, 6)), *moments)) == [4, 5, 6]
    assert struck(decide(LostRequest(during_s=(3, 6), nth=2), *moments)) == [5]
    assert struck(decide(LostRequest(at_s=7, for_s=2), *moments)) == [8, 9]


def test_after_waits_for_its_mark(moment: Make, decide: Decide) -> None:
    fault = LostRequest(after="fill", for_s=2)
    assert decide(fault, moment(t_s=50.0)) == [()]
    moments = [moment(t_s=t_s, marks={"fill": 50.0}) for t_s in (50.0, 51.9, 52.0)]
    assert struck(decide(fault, *moments)) == [1, 2]


def test_at_on_a_fault_of_points_is_the_first_match_from_then_on(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{n}", t_s=float(n)) for n in range(10)]
    assert struck(decide(LostRequest(at_s=3.5), *moments)) == [5]
    assert struck(decide(LostRequest(at_s=3.5, first=2), *moments)) == [5, 6]
    assert struck(decide(LostRequest(at_s=3.5, nth=3), *moments)) == [7]


def test_every_on_a_fault_of_points_strikes_once_a_period(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{n}", t_s=n * 0.5) for n in range(30)]
    assert struck(decide(LostRequest(every_s=4), *moments)) == [9, 17, 25]
    assert struck(decide(LostRequest(every_s=4, during_s=(2, 11)), *moments)) == [13, 21]
    assert struck(decide(LostRequest(every_s=4, first=2), *moments)) == [9, 17]
    assert struck(decide(LostRequest(every_s=4, for_s=1), *moments)) == [9, 10, 17, 18, 25, 26]


def test_a_period_without_a_match_is_not_made_up_for(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{t_s}", t_s=t_s) for t_s in (4.0, 13.0, 13.5, 14.0, 16.5)]
    assert struck(decide(LostRequest(every_s=4), *moments)) == [1, 2, 5]


def test_every_with_jitter_strikes_at_times_drawn_from_the_seed(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{n}", t_s=n * 0.1) for n in range(2000)]
    fault = LostRequest(every_s=5, every_jitter_s=1)
    times = [(position - 1) * 0.1 for position in struck(decide(fault, *moments))]
    assert 38 <= len(times) <= 40
    assert all(abs(t_s - 5 * ordinal) <= 1.11 for ordinal, t_s in enumerate(times, 1))
    assert len({round(t_s - 5 * ordinal, 1) for ordinal, t_s in enumerate(times, 1)}) > 10
    assert struck(decide(fault, *moments)) != struck(decide(fault, *moments, seed=1))


def test_what_would_never_end_strikes_once_unless_told_how_often(moment: Make, decide: Decide) -> None:
    moments = [moment(entity=f"I{n}", phase="after", t_s=float(n)) for n in range(6)]
    assert struck(decide(Crash(), *moments)) == [1]
    assert struck(decide(Crash(on="POST /orders", attempt=1), *moments)) == [1]
    assert struck(decide(Crash(first=2), *moments)) == [1, 2]
    assert struck(decide(Crash(nth=(2, 4)), *moments)) == [2, 4]
    assert struck(decide(Crash(during_s=(2, 5)), *moments)) == [3, 4, 5]
    assert struck(decide(LostResponse(), *moments)) == [1, 2, 3, 4, 5, 6]


def test_the_clock_strikes_instead_of_points(moment: Make, decide: Decide) -> None:
    fault = Disconnect(at_s=3)
    message = moment("stream user", "I1/1", 1, "out", t_s=9.0)
    assert decide(fault, message) == [()]
    [ticks] = Rules([fault], 0).ticks(None, 0.0)
    assert [(tick.at_s, tick.point.endpoint, tick.action) for tick in ticks] == [
        (3, "stream *", Cut(how="close", code=1001))
    ]
    assert Rules([fault], 0).ticks("fill", 4.0) == []
    assert not Disconnect(at_s=3, for_s=2).by_the_clock
    assert struck(decide(Disconnect(at_s=3, for_s=2), message, Moment(message.point, 4.0))) == [2]


def test_ticks_count_from_their_mark_and_stop_at_first() -> None:
    rules = Rules([Disconnect(after="fill", every_s=5, first=2)], 0)
    assert rules.ticks(None, 0.0) == []
    [ticks] = rules.ticks("fill", 30.0)
    assert [tick.at_s for tick in ticks] == [35, 40]


def test_probability_decides_each_tick() -> None:
    [ticks] = Rules([Disconnect(every_s=1, during_s=(0, 1000), probability=0.3)], 0).ticks(None, 0.0)
    assert 230 < len(list(ticks)) < 370


def test_a_fault_of_the_whole_client_hits_points_when_on_says_which(moment: Make, decide: Decide) -> None:
    assert Crash(at_s=9).by_the_clock
    fault = Crash(on="POST /orders", at_s=9)
    assert not fault.by_the_clock
    moments = [moment(phase="after", t_s=t_s) for t_s in (8.0, 9.5, 9.6)]
    assert struck(decide(fault, *moments)) == [2]
    [ticks] = Rules([Crash(at_s=9)], 0).ticks(None, 0.0)
    assert next(ticks).point.endpoint == "client"


def test_what_can_strike_is_known_before_the_run() -> None:
    endpoints = {
        Plane.MESSAGE: ("POST /orders", "stream user"),
        Plane.STREAM: ("rest", "stream"),
        Plane.VENUE: ("match", "accept", "read"),
        Plane.TARGET: ("store",),
    }
    assert LostResponse(on="POST /orders").can_strike(endpoints)
    assert not LostResponse(on="POST /order").can_strike(endpoints)
    assert Crash(on="store").can_strike(endpoints)
    assert Crash(on="POST /orders").can_strike(endpoints)
    assert not Crash(on="POST /nowhere").can_strike(endpoints)
    assert Crash(at_s=3).can_strike(dict.fromkeys(Plane, ()))
    assert not Disconnect(on="stream public", at_s=3).can_strike(endpoints)


def test_a_decision_is_pure(moment: Make) -> None:
    fault = LostResponse(probability=0.5)
    here = moment(phase="after")
    chance = Chance(4, "rule", "lost_response")
    answers = [fault.step(State(), here, chance) for _ in range(3)]
    assert answers == [fault.step(State(), here, Chance(4, "rule", "lost_response"))] * 3


def test_the_state_counts_matches_and_strikes(moment: Make) -> None:
    fault = DropMessage(topic="fills", nth=2)
    chance = Chance(0)
    state = State()
    for topic in ("fills", "orders", "fills"):
        state, actions = fault.step(state, moment("stream user", "I1", 1, "out", topic=topic), chance)
    assert actions == (Drop(),)
    assert (state.matched, state.struck) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        (LostRequest, {"probability": 1.5}, "between 0% and 100%"),
        (LostRequest, {"probability": -0.1}, "between 0% and 100%"),
        (LostRequest, {"nth": 0}, "nth counts from 1"),
        (LostRequest, {"nth": ()}, "nth counts from 1"),
        (LostRequest, {"nth": (1, 0)}, "nth counts from 1"),
        (LostRequest, {"attempt": 0}, "attempt is 0; it counts from 1"),
        (LostRequest, {"first": 0}, "first is 0"),
        (LostRequest, {"connection": 0}, "connection is 0"),
        (LostRequest, {"header": "x-account"}, "not a name and a pattern"),
        (LostRequest, {"header": ": a"}, "not a name and a pattern"),
        (LostRequest, {"topic": "fills"}, "lost_request has no topic"),
        (LostRequest, {"on": "stream user"}, "does not act on streams"),
        (LostRequest, {"every_s": 5, "nth": 2}, "give one of them"),
        (DropMessage, {"header": "a: b"}, "drop_message has no header"),
        (DropMessage, {"on": "POST /orders"}, "messages of a stream"),
        (Reject, {"connection": 1}, "reject has no connection"),
        (Latency, {"nth": 1}, "latency holds over an interval"),
        (Latency, {"every_s": 5}, "say how long after each every with for"),
        (Latency, {"on": "POST /orders"}, "label of a host"),
        (Crash, {"at_s": 5, "nth": 2}, "by the clock, where there is no nth"),
        (Disconnect, {"every_s": 5, "topic": "fills"}, "by the clock, where there is no topic"),
        (Crash, {"on": "stream user"}, "does not act on streams"),
        (StatusStorm, {"during_s": (3, 2)}, "ends before it begins"),
    ],
)
def test_values_that_make_no_sense_are_refused(kind: type[Fault], given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**given)


def test_a_changed_copy_is_checked_again() -> None:
    fault = LostRequest(at_s=3)
    assert replace(fault, at_s=4).at_s == 4
    with pytest.raises(ValueError, match="zero or more"):
        replace(fault, at_s=-1)
    assert replace(Disconnect(), at_s=3).by_the_clock

"""What a search tries: which fault at which point, and in which order two at a time."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from faultline.errors import UsageError
from faultline.faults import FAULTS
from faultline.faults.actions import Crash, Cut, Delay, Duplicate, Reply
from faultline.faults.deciders import Recorder, Scheduled
from faultline.faults.points import Moment, Plane, Point
from faultline.search.enumerate import (
    KINDS,
    PLANES,
    Candidate,
    Representative,
    appeared,
    candidates,
    forms_of,
    pairs,
    schedule_of,
)


def at(
    phase: str = "before", endpoint: str = "POST /orders", entity: str = "I1", nth: int = 1, *,
    plane: Plane = Plane.MESSAGE, headers: Mapping[str, str] | None = None,
) -> Moment:  # fmt: skip
    return Moment(Point(plane, endpoint, entity, nth, phase), 1.0, headers or {})


def kinds_at(moment: Moment) -> set[str]:
    return {each.kind for each in candidates([moment], KINDS, 0)}


def test_each_side_of_an_effect_gets_what_fits_it() -> None:
    process = {"crash", "restart"}
    before = {"lost_request", "late_request", "duplicate_request", "status_storm"}
    assert kinds_at(at("before")) == before | process
    assert kinds_at(at("before", headers={"authorization": "x"})) == before | process | {"token_expiry"}
    assert kinds_at(at("after")) == {"lost_response", "late_response", "malformed_body", "status_storm"} | process
    assert kinds_at(at("before", "GET /orders")) == before | process


def test_statements_messages_and_decisions_get_what_fits_them() -> None:
    messages = {"drop_message", "duplicate_message", "delay_message", "reorder_messages", "disconnect"}
    assert kinds_at(at("before", "store", plane=Plane.TARGET)) == {"crash", "restart", "store_error"}
    assert kinds_at(at("after", "store", plane=Plane.TARGET)) == {"crash", "restart"}
    assert kinds_at(at("out", "stream user")) == messages
    assert kinds_at(at("decide", "match", plane=Plane.VENUE)) == {"partial_fill"}
    assert kinds_at(at("decide", "read", plane=Plane.VENUE)) == {"stale_read"}
    assert kinds_at(at("down", "rest", plane=Plane.STREAM)) == set()


def test_statuses_and_ends_come_in_every_form() -> None:
    found = candidates([at("before"), at("after")], ["status_storm", "lost_response"], 0)
    replies = [(each.point.phase, each.action.status) for each in found if isinstance(each.action, Reply)]
    assert replies == [("before", 503), ("before", 429), ("after", 500), ("after", 503)]
    assert [each.action.how for each in found if isinstance(each.action, Cut)] == ["rst", "silence"]


def test_points_come_in_their_order_and_nothing_comes_twice() -> None:
    moments = [at("before", entity=f"I{number}") for number in (3, 1, 2)]
    found = candidates(moments, ["crash", "late_request", "crash"], 0)
    assert [each.point.entity for each in found] == ["I3", "I3", "I1", "I1", "I2", "I2"]
    assert len(set(found)) == len(found)
    assert candidates(moments, ["malformed_body"], 1) == ()


@pytest.mark.parametrize(
    ("kind", "why"),
    [("lost_respons", "did you mean"), ("latency", "interval"), ("silent_stream", "interval"), ("reset_peer", "bytes")],
)
def test_what_cannot_be_spelt_out_is_refused_with_the_reason(kind: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        forms_of(kind)


def test_every_kind_that_is_tried_without_being_named_can_be() -> None:
    assert all(form.kind == kind for kind in KINDS for form in forms_of(kind))
    assert set(KINDS) <= set(FAULTS)


def test_a_schedule_strikes_exactly_these_points() -> None:
    first, second = candidates([at("after"), at("before", nth=2)], ["late_response", "duplicate_request"], 0)
    decider = Scheduled(schedule_of((first, second)), 0)
    assert [[each.action for each in decider.decide(moment)] for moment in (at("before"), at("after"), at(nth=2))] == [
        [], [Delay(15.0)], [Duplicate()],
    ]  # fmt: skip


def test_a_recorder_with_a_decider_notes_points_and_passes_decisions_on() -> None:
    (lost,) = candidates([at("after")], ["late_response"], 0)
    recorder = Recorder(Scheduled(schedule_of((lost,)), 0), PLANES)
    elsewhere = at("down", "rest", plane=Plane.STREAM)
    decided = [recorder.decide(moment) for moment in (at("before"), at("after"), elsewhere)]
    assert [len(each) for each in decided] == [0, 1, 0]
    assert list(recorder.points) == [at("before").point, at("after").point]
    assert recorder.planes == PLANES


# Two at a time


def followed(*moments: Moment, struck: int = 0, kind: str = "late_request") -> Representative:
    fault = Candidate(kind, moments[struck].point, Delay(15.0))
    return Representative(fault, moments)


def test_only_later_points_are_struck_by_a_second_fault() -> None:
    run = followed(at(entity="I1"), at(entity="I2"), at(entity="I3"), struck=1)
    found = pairs([run], [moment.point for moment in run.moments], ["late_request"], 0)
    assert [(first.point.entity, second.point.entity) for first, second in found] == [("I2", "I3")]


def test_points_of_recovery_come_first_then_crashes_then_the_rest() -> None:
    first, later, new = at(entity="I1"), at(entity="I2"), at(entity="I1", nth=2)
    found = pairs([followed(first, later, new)], [first.point, later.point], ["late_request", "crash"], 0)
    shown = [(second.point == new.point, isinstance(second.action, Crash)) for _, second in found]
    assert shown == [(True, False), (True, True), (False, True), (False, False)]
    assert appeared([first, later, new], {first.point, later.point}) == [new.point]


def test_every_second_fault_comes_once_before_any_comes_again() -> None:
    points = [at(entity=f"I{number}") for number in range(3)]
    runs = [followed(*points[:2]), followed(*points, kind="duplicate_request")]
    found = pairs(runs, [], ["late_request"], 0)
    assert [(first.kind, second.point.entity) for first, second in found] == [
        ("late_request", "I1"),
        ("duplicate_request", "I2"),
        ("duplicate_request", "I1"),
    ]


def test_a_fault_whose_point_never_came_is_not_followed_up() -> None:
    absent = Representative(Candidate("x", at(entity="I9").point, Delay(1.0)), (at(),))
    assert pairs([absent], [], ["late_request"], 0) == []

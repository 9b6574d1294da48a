from __future__ import annotations

import msgspec
import pytest

from faultline.history import History
from faultline.history.event import Contracted
from faultline.oracles import ReadYourWrites


def judge(story):
    return ReadYourWrites().judge(story.end())


def placed(story):
    return story.place("I1").order("o1", "I1").answer("I1")


def test_a_promise_that_is_kept_passes(story):
    result = judge(placed(story).believe("I1 new 0").believe("I1 partially_filled 1"))

    assert (result.verdict, result.judged) == ("pass", 1)


@pytest.mark.parametrize("denial", ["absent", "rejected"])
def test_a_later_view_that_denies_it_is_seen(story, denial):
    result = judge(placed(story).believe("I1 new 0").believe(f"I1 {denial}"))

    assert (result.verdict, result.count, result.findings[0].intent) == ("fail", 1, "I1")
    assert result.why.startswith("intent I1 (buy 4 NQ at 100.25) was answered ok at 0.030 s, but at 0.050 s")


def test_a_view_without_it_is_a_denial_when_the_view_is_whole(story, new_story):
    placed(story).place("I2").believe("I2 pending")
    by_hand = placed(new_story(booted=False)).place("I2").believe("I2 pending")

    assert judge(story).verdict == "fail"
    assert judge(by_hand).verdict == "unknown"


def test_a_view_read_before_the_answer_was_given_denies_nothing(story):
    placed(story)
    answer, belief = story.events[-1], None
    story.believe(positions={"NQ": 0})
    belief = story.events[-1]
    story.believe("I1 new 0")
    story.events[-3:-1] = [msgspec.structs.replace(belief, t=answer.t), answer]

    assert judge(story).verdict == "pass"


def test_an_order_that_ended_may_be_let_go(story):
    assert judge(placed(story).believe("I1 new").fill("o1", "4").believe("I1 absent")).verdict == "pass"


def test_a_refusal_after_acceptance_is_none_of_the_client(story):
    story = placed(story).believe("I1 new")
    story._effect("cancel", "o1", "rejected")

    assert judge(story.believe("I1 rejected")).verdict == "pass"


@pytest.mark.parametrize("doubt", ["unknown", "pending", "pending_cancel"])
def test_doubt_is_no_denial(story, doubt):
    assert judge(placed(story).believe("I1 new").believe(f"I1 {doubt}")).verdict == "pass"


def test_a_view_called_stale_denies_nothing(story):
    placed(story).believe("I1 new").believe("I1 absent", stale=True).believe("I1 new")

    assert judge(story).verdict == "pass"


def test_the_next_process_may_not_know_yet(story):
    placed(story).believe("I1 new").crash().boot().believe(positions={"NQ": 0}).believe("I1 new")

    assert judge(story).verdict == "pass"


def test_only_what_was_answered_ok_binds(story):
    story.place("I1").order("o1", "I1").answer("I1", "info").believe("I1 new").believe("I1 absent")

    assert judge(story).verdict == "unknown"


def test_where_views_travel_they_may_be_a_little_older_than_the_answer(story):
    placed(story).believe("I1 absent").at(5.0).believe("I1 new")
    events = list(story.end())
    live = msgspec.structs.replace(events[0], world="live")
    assert isinstance(live, Contracted)

    assert ReadYourWrites().judge(History(events)).verdict == "fail"
    assert ReadYourWrites().judge(History([live, *events[1:]])).verdict == "pass"


def test_what_the_next_process_denies_is_for_other_oracles(story):
    placed(story).believe("I1 new").crash().boot().believe("I1 absent")

    assert judge(story).verdict == "pass"


def test_a_cancel_is_no_promise_to_be_judged(story):
    placed(story).cancel("C1", of="I1").answer("C1").believe("I1 new")

    assert judge(story).judged == 1

from __future__ import annotations

import pytest

from faultline.history.event import Answer
from faultline.oracles import NoLostIntent


def judge(story):
    return NoLostIntent().judge(story.end())


def test_an_intent_with_an_order_is_not_lost_even_if_nobody_answered(story):
    assert judge(story.place("I1").order("o1", "I1")).verdict == "pass"


def test_an_intent_that_was_never_answered_and_has_no_order_is_lost(story):
    verdict = judge(story.at(1.5).place("I7"))

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "intent I7 (buy 4 NQ at 100.25), wanted at 1.500 s, was never answered, and the venue has no order for it"
    )


def test_giving_up_loudly_is_no_loss(story):
    assert judge(story.place("I1").answer("I1", "fail")).verdict == "pass"


def test_an_unknown_answer_without_an_order_is_a_loss(story):
    verdict = judge(story.place("I1").at(2.0).answer("I1", "info"))

    assert verdict.verdict == "fail"
    assert "was answered info at 2.000 s" in verdict.why


def test_an_exception_of_the_client_is_told(story):
    verdict = judge(story.place("I1").add(Answer(2.0, "I1", "info", 1, "ValueError: no price")))

    assert "was answered info at 2.000 s (ValueError: no price), and the venue has no order" in verdict.why


@pytest.mark.parametrize("outcome", [None, "info"])
def test_an_intent_that_is_visibly_held_as_unknown_is_not_lost(story, outcome):
    story.place("I1")
    if outcome:
        story.answer("I1", outcome)

    assert judge(story.believe("I1 unknown")).verdict == "pass"


def test_an_unknown_answer_that_the_client_has_since_found_not_to_exist_is_not_lost(story):
    assert judge(story.place("I1").answer("I1", "info").believe("I1 rejected")).verdict == "pass"


def test_a_pending_view_is_no_excuse(story):
    assert judge(story.place("I1").answer("I1", "info").believe("I1 pending")).verdict == "fail"


def test_a_view_that_died_in_a_crash_is_no_excuse(story):
    story.place("I1").believe("I1 unknown").crash().boot()

    assert judge(story).verdict == "fail"


def test_what_the_venue_refused_is_not_lost_even_if_the_refusal_never_arrived(story):
    assert judge(story.place("I1").rejected("I1")).verdict == "pass"


def test_an_intent_cancelled_before_it_was_sent_is_not_lost(story):
    assert judge(story.place("I1").cancel("I2", of="I1").answer("I2")).verdict == "pass"


def test_ok_without_an_order_is_a_loss(story):
    assert judge(story.place("I1").answer("I1", "ok").believe("I1 unknown")).verdict == "fail"


def test_an_order_that_belongs_to_nobody_makes_absence_unknown(story):
    assert judge(story.place("I1").order("o1", None)).verdict == "unknown"


def test_a_refusal_that_belongs_to_nobody_makes_absence_unknown(story):
    assert judge(story.place("I1").rejected(None)).verdict == "unknown"


def test_a_cancel_that_ends_the_order_is_not_lost(story):
    story.place("I1").order("o1", "I1").cancel("I2", of="I1").cancelled("o1").answer("I2")

    assert judge(story).verdict == "pass"


def test_a_cancel_that_lost_the_race_against_a_fill_is_not_lost(story):
    story.place("I1").order("o1", "I1").cancel("I2", of="I1").fill("o1", "4").answer("I2", "info")

    assert judge(story).verdict == "pass"


@pytest.mark.parametrize(("outcome", "told"), [("ok", "was answered ok at 0.040 s"), (None, "was never answered")])
def test_a_cancel_that_left_the_order_open_is_lost(story, outcome, told):
    story.place("I1").order("o1", "I1").cancel("I2", of="I1")
    if outcome:
        story.answer("I2", outcome)

    verdict = judge(story)

    assert verdict.verdict == "fail"
    assert verdict.why == f"intent I2 (cancel I1) {told}, but order o1 is still new"


def test_a_cancel_that_was_refused_loudly_is_not_lost(story):
    story.place("I1").order("o1", "I1").cancel("I2", of="I1").answer("I2", "fail")

    assert judge(story).verdict == "pass"


def test_a_cancel_held_as_unknown_is_not_lost(story):
    story.place("I1").order("o1", "I1").cancel("I2", of="I1").answer("I2", "info").believe("I2 unknown")

    assert judge(story).verdict == "pass"


def test_a_cancel_must_end_every_order_of_its_intent(story):
    story.place("I1").order("o1", "I1").order("o2", "I1").cancel("I2", of="I1").cancelled("o1").answer("I2")

    assert "order o2 is still new" in judge(story).why


def test_a_replace_that_changed_the_order_is_not_lost(story):
    story.place("I1").order("o1", "I1").replace("I2", of="I1").replaced("o1", by="I2").answer("I2")

    assert judge(story).verdict == "pass"


def test_a_replace_booked_as_a_new_order_is_not_lost(story):
    story.place("I1").order("o1", "I1").replace("I2", of="I1").order("o2", "I2").cancelled("o1").answer("I2")

    assert judge(story).verdict == "pass"


def test_a_replace_that_changed_nothing_is_lost(story):
    story.place("I1").order("o1", "I1").replaced("o1").replace("I2", of="I1").answer("I2")

    verdict = judge(story)

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "intent I2 (change I1 to 6 at 100.50) was answered ok at 0.050 s, but order o1 still has its old size and price"
    )


def test_without_intents_it_judged_nothing(story):
    assert judge(story).verdict == "unknown"

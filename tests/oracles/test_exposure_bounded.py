from __future__ import annotations

from decimal import Decimal

import pytest

from faultline.oracles import ExposureBounded


def judge(story, **parameters):
    return ExposureBounded(**parameters).judge(story.end())


def sent(story, intent, order, quantity="4", side="buy", **fields):
    request = story.request(entity=intent)
    return story.order(order, intent, quantity, side, request, **fields)


def test_orders_within_what_was_asked_pass(story):
    sent(story.place("I1"), "I1", "o1").fill("o1", "4")
    sent(story.place("I2"), "I2", "o2")

    assert judge(story).verdict == "pass"


def test_a_second_order_for_one_intent_exceeds_what_was_asked(story):
    sent(story.place("I1"), "I1", "o1")
    result = judge(sent(story, "I1", "o2"))

    assert (result.verdict, result.findings[0].intent) == ("fail", "I1")
    assert "8 are or could be filled of intent I1 (buy 4 NQ at 100.25), by order o2" in result.why
    assert "the venue made" not in result.why


def test_two_orders_of_one_request_are_the_doing_of_the_venue(story):
    request = story.place("I1").request(entity="I1")
    story.order("o1", "I1", request=request).order("o2", "I1", request=request)

    assert judge(story).why.endswith("; the venue made o1 of the same request (1)")


def test_a_replacement_sent_while_the_order_is_still_open_is_seen(story):
    sent(story.place("I1"), "I1", "o1")
    sent(story.replace("R1", of="I1"), "R1", "o2", "6")

    assert judge(story.cancelled("o1")).verdict == "fail"


def test_a_replacement_sent_when_the_order_is_gone_passes(story):
    sent(story.place("I1"), "I1", "o1").fill("o1", "1").replace("R1", of="I1").cancelled("o1")

    assert judge(sent(story, "R1", "o2", "5")).verdict == "pass"


def test_a_venue_may_book_the_new_order_before_the_old_one_is_gone(story):
    sent(story.place("I1"), "I1", "o1")
    request = story.replace("R1", of="I1").request("PUT /orders/{id}", entity="R1")
    t = story.t
    story.order("o2", "R1", "6", request=request)
    story.at(t)._effect("cancel", "o1", "canceled", request=request)

    assert judge(story).verdict == "pass"


def test_a_change_within_and_beyond_what_was_asked(story, new_story):
    sent(story.place("I1"), "I1", "o1").replace("R1", of="I1")
    story._effect("replace", "o1", "new", quantity="6", request=9)
    beyond = sent(new_story().place("I1"), "I1", "o1")
    beyond._effect("replace", "o1", "new", quantity="6", request=9)

    assert (judge(story).verdict, judge(beyond).verdict) == ("pass", "fail")


def test_the_limit_counts_open_orders_as_filled(story):
    sent(story.place("I1"), "I1", "o1").fill("o1", "4")
    sent(story.place("I2"), "I2", "o2")

    assert judge(story, limit=Decimal(8)).verdict == "pass"
    result = judge(story, limit=Decimal(7))
    assert "order o2 made a position of 8 NQ long possible, beyond 7" in result.why


def test_the_limit_holds_on_the_short_side_and_the_sides_do_not_add_up(story):
    sent(story.place("I1"), "I1", "o1")
    sent(story.place("I2", side="sell"), "I2", "o2", side="sell")

    assert judge(story, limit=Decimal(4)).verdict == "pass"
    assert judge(story, limit=Decimal(3)).count == 2


def test_a_limit_can_be_told_of_orders_that_belong_to_nobody(story):
    sent(story.place("I1"), None, "o1")

    assert judge(story, limit=Decimal(3)).verdict == "fail"
    assert judge(story).verdict == "unknown"


def test_what_the_venue_does_alone_is_not_judged(story):
    story.order("external", None, "100")

    assert judge(story, limit=Decimal(3)).verdict == "unknown"


def test_a_limit_below_zero_makes_no_sense():
    with pytest.raises(ValueError, match="limit is below zero"):
        ExposureBounded(limit=Decimal(-1))


# Kill and flatten


def killed(story):
    sent(story.place("I1"), "I1", "o1").fill("o1", "4")
    return story.place("I2").command("K", "kill").answer("K")


def test_an_order_sent_after_a_kill_is_seen_and_one_that_closes_is_not(story, new_story):
    opening = sent(killed(story), "I2", "o2")
    closing = sent(killed(new_story()).place("I3", side="sell"), "I3", "o3", side="sell")

    result = judge(opening)

    assert (result.verdict, result.findings[0].intent) == ("fail", "I2")
    assert "after a kill was answered ok at" in result.why
    assert judge(closing).verdict == "pass"


def test_an_order_that_left_before_the_kill_was_answered_may_arrive_after_it(story):
    request = story.place("I1").request(entity="I1", arrives=3.0)
    story.at(1.0).command("K", "kill").answer("K").at(3.1).order("o1", "I1", request=request)

    assert judge(story).verdict == "pass"


def test_a_kill_binds_the_next_process_too(story):
    assert judge(sent(killed(story).crash().boot(), "I2", "o2")).verdict == "fail"


def test_a_kill_may_close_what_is_held_and_no_more(story):
    sent(story.place("I1"), "I1", "o1").fill("o1", "4").command("K", "kill").answer("K")
    sent(story, "K", "o2", side="sell").fill("o2", "4", "f2")
    assert judge(story).verdict == "pass"

    result = judge(sent(story, "K", "o3", side="sell").fill("o3", "4", "f3"))
    assert "fill f3 of a kill took the position from 0 to -4 NQ" in result.why


def test_a_flatten_that_closes_passes_and_one_that_closes_twice_is_seen(story):
    sent(story.place("I1"), "I1", "o1").fill("o1", "4").command("F", "flatten")
    sent(story, "F", "o2", side="sell").fill("o2", "4", "f2")
    assert judge(story).verdict == "pass"

    story.events = [event for event in story.events if type(event).__name__ not in ("Belief", "Phase")]
    sent(story, "F", "o3", side="sell").fill("o3", "4", "f3")
    result = judge(story)

    assert (result.verdict, result.findings[0].intent) == ("fail", "F")
    assert "fill f3 of a flatten took the position from 0 to -4 NQ" in result.why


def test_a_flatten_that_turns_a_position_over_makes_it_no_larger(story):
    sent(story.place("I1"), "I1", "o1").fill("o1", "2").command("F", "flatten")

    assert judge(sent(story, "F", "o2", side="sell").fill("o2", "4")).verdict == "pass"

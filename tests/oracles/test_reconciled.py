from __future__ import annotations

import pytest

from faultline.oracles import Reconciled


def judge(story, **parameters):
    return Reconciled(**parameters).judge(story.end())


def test_a_belief_that_is_the_truth_passes(story):
    verdict = judge(story.good_order(1).good_order(2), within_s=1.0)

    assert verdict.verdict == "pass"
    assert verdict.why == "2 intents believed as they are"


def test_a_wrong_state_at_the_end_names_both_sides(story):
    story.place("I7").order("o12", "I7").answer("I7").believe("I7 new").fill("o12", "4", "f1")

    verdict = judge(story.believe(fills=["f1"], positions={"NQ": 4}))

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "intent I7 (buy 4 NQ at 100.25): at the end the client believes new, filled 0, "
        "but the venue has o12 (filled, 4 of 4)"
    )


def test_a_wrong_quantity_at_the_end_is_found(story):
    story.place("I1").order("o1", "I1").fill("o1", "3").believe("I1 partially_filled 2", positions={"NQ": 3})

    assert judge(story).count == 1


def test_an_order_that_the_client_does_not_hold_is_found(story):
    story.good_order(1).place("I2").order("o2", "I2")

    assert "believes nothing, but the venue has o2" in judge(story).why


def test_a_position_that_is_not_the_signed_sum_of_fills_is_found(story):
    story.place("I1", side="sell").order("o1", "I1", side="sell").fill("o1", "4", "f1")

    verdict = judge(story.believe("I1 filled 4", fills=["f1"], positions={"NQ": 4}))

    assert verdict.why == "at the end the client believes a position of 4 NQ, but it is -4"


def test_a_position_that_the_client_never_told_of_is_not_asked_for(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1")

    assert judge(story.believe("I1 filled 4", fills=["f1"])).verdict == "pass"


@pytest.mark.parametrize("view", [None, "absent", "rejected 0", "canceled 0", "unknown", "pending"])
def test_an_intent_that_never_became_an_order_may_be_held_as_anything_but_live(story, view):
    story.good_order(1).place("I2")
    if view:
        story.believe(f"I2 {view}")

    assert judge(story).verdict == "pass"


@pytest.mark.parametrize("view", ["new 0", "filled 4", "rejected 1"])
def test_an_order_that_does_not_exist_is_not_to_be_believed_in(story, view):
    story.good_order(1).place("I2").answer("I2", "info")

    assert judge(story.believe(f"I2 {view}")).verdict == "fail"


@pytest.mark.parametrize("view", ["unknown", "pending"])
def test_an_order_that_exists_may_not_be_left_unknown(story, view):
    story.place("I1").order("o1", "I1").believe(f"I1 {view}")

    assert judge(story).verdict == "fail"


def test_the_duplicate_of_an_order_shows_in_the_quantity(story):
    story.place("I1").order("o1", "I1").order("o2", "I1").fill("o1", "4", "f1").fill("o2", "4", "f2")

    verdict = judge(story.believe("I1 filled 4", fills=["f1", "f2"], positions={"NQ": 8}))

    assert "the venue has o1 (filled, 4 of 4), o2 (filled, 4 of 4)" in verdict.why


def test_an_order_let_go_after_its_end_is_believed_as_it_was(story):
    assert judge(story.good_order(1).believe("I1 absent")).verdict == "pass"


def test_a_belief_ahead_of_the_ledger_is_found_even_if_right_in_the_end(story):
    story.place("I1").order("o1", "I1").fill("o1", "1", "f1").at(3.2)
    story.believe("I1 filled 4").at(5.0).fill("o1", "3", "f2").believe(fills=["f1", "f2"], positions={"NQ": 4})

    verdict = judge(story)

    assert verdict.count == 1
    assert verdict.why == "at 3.200 s the client believed intent I1 (buy 4 NQ at 100.25) filled 4, when 1 had been"


def test_an_ending_believed_while_the_order_is_live_is_ahead(story):
    story.place("I1").order("o1", "I1").believe("I1 canceled").cancelled("o1")

    verdict = judge(story)

    assert verdict.count == 1
    assert verdict.why.endswith("canceled, when its order was live")


def test_an_order_given_up_while_it_did_not_exist_was_not_ahead(story):
    # The late request lands after the client gave up: wrong at the end, but not at the time.
    story.place("I1").answer("I1", "fail").believe("I1 rejected").at(9.0).order("o1", "I1")

    verdict = judge(story)

    assert verdict.count == 1
    assert "at the end the client believes rejected" in verdict.why


def test_an_acknowledgement_that_outruns_the_stream_is_not_ahead(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1")
    story.believe("I1 filled 4").at(2.0).believe(fills=["f1"], positions={"NQ": 4})

    assert judge(story).verdict == "pass"


def test_a_belief_at_the_very_moment_of_the_effect_is_not_ahead(story):
    story.place("I1").order("o1", "I1").at(2.0).believe("I1 filled 4", fills=["f1"], positions={"NQ": 4})
    story.at(2.0).fill("o1", "4", "f1")

    assert judge(story).verdict == "pass"


def test_being_behind_is_legal_for_a_while(story):
    story.place("I1").order("o1", "I1").believe("I1 new").fill("o1", "4", "f1")
    story.at(29.0).believe("I1 filled 4", fills=["f1"], positions={"NQ": 4}).at(99.0)

    assert judge(story, within_s=30.0).verdict == "pass"


def test_being_behind_for_too_long_is_found_even_if_right_in_the_end(story):
    story.place("I1").order("o1", "I1").believe("I1 new").at(1.0).fill("o1", "4", "f1").at(12.0).struck()
    story.at(45.0).believe("I1 filled 4", fills=["f1"], positions={"NQ": 4}).at(99.0)

    assert judge(story, within_s=40.0).verdict == "pass"
    verdict = judge(story, within_s=30.0)
    assert verdict.count == 1
    assert verdict.why == (
        "fill of order o1 for intent I1 (buy 4 NQ at 100.25) at 1.000 s was not known to the client 30s after the last "
        "fault at 12.000 s: it believed new, filled 0"
    )


def test_what_happens_after_the_last_fault_has_its_own_time(story):
    story.struck().at(50.0).place("I1").order("o1", "I1").fill("o1", "4", "f1").at(70.0)
    story.believe("I1 filled 4", fills=["f1"], positions={"NQ": 4}).at(99.0)

    assert judge(story, within_s=30.0).verdict == "pass"
    assert judge(story, within_s=10.0).count == 1


def test_a_process_that_has_not_told_its_view_yet_is_behind(story):
    story.place("I1").order("o1", "I1").believe("I1 new").at(5.0).crash().at(6.0).boot()
    story.at(20.0).believe("I1 new").at(99.0)

    assert judge(story, within_s=20.0).verdict == "pass"
    assert "10s after the last fault at 6.000 s: it believed nothing" in judge(story, within_s=10.0).why


def test_the_down_time_of_a_crash_does_not_count(story):
    story.place("I1").order("o1", "I1").believe("I1 new").at(5.0).crash().fill("o1", "4", "f1").at(60.0).boot()
    story.at(65.0).believe("I1 filled 4", fills=["f1"], positions={"NQ": 4}).at(99.0)

    assert judge(story, within_s=10.0).verdict == "pass"


def test_a_run_too_short_for_the_time_is_judged_by_its_end(story):
    story.place("I1").order("o1", "I1").believe("I1 new")

    assert judge(story, within_s=1000.0).verdict == "pass"


def test_orders_that_belong_to_nobody_make_it_unknown(story):
    assert judge(story.place("I1").order("o1", None).believe("I1 new")).verdict == "unknown"


def test_a_wrong_position_is_certain_whoever_the_orders_belong_to(story):
    story.place("I1").order("o1", None).fill("o1", "4", "f1").believe("I1 filled 4", fills=["f1"], positions={"NQ": 8})

    assert judge(story).verdict == "fail"


def test_without_a_final_belief_it_is_unknown(story):
    assert Reconciled().judge(story.good_order(1).history()).verdict == "unknown"


def test_a_process_that_never_spoke_has_no_final_belief(story):
    story.good_order(1).crash().boot().phase("judgement")

    assert Reconciled().judge(story.history()).verdict == "unknown"


def test_the_state_filled_before_the_order_is_whole_is_ahead(story):
    story.place("I1").order("o1", "I1").fill("o1", "1", "f1").at(3.0).believe("I1 filled 1")
    story.fill("o1", "3", "f2").believe("I1 filled 4", fills=["f1", "f2"], positions={"NQ": 4})

    verdict = judge(story)

    assert verdict.count == 1
    assert verdict.why.endswith("filled, when it was not")


def test_a_cancel_known_after_it_happened_is_not_ahead(story):
    story.place("I1").order("o1", "I1").cancelled("o1").believe("I1 canceled")

    assert judge(story, within_s=1.0).verdict == "pass"


@pytest.mark.parametrize("view", ["unknown", "pending", "absent"])
def test_an_acceptance_that_is_not_known_in_time_is_late(story, view):
    story.place("I1").order("o1", "I1").believe(f"I1 {view}").at(50.0).believe("I1 new").at(99.0)

    assert judge(story, within_s=10.0).count == 1


def test_a_part_that_is_not_known_in_time_is_late(story):
    story.place("I1").order("o1", "I1").fill("o1", "1", "f1").believe("I1 partially_filled 1").fill("o1", "1", "f2")
    story.at(50.0).believe("I1 partially_filled 2", fills=["f1", "f2"], positions={"NQ": 2}).at(99.0)

    assert judge(story, within_s=10.0).count == 1


def test_an_ending_that_is_not_known_in_time_is_late(story):
    story.place("I1").order("o1", "I1").believe("I1 new").cancelled("o1").at(50.0).believe("I1 canceled").at(99.0)

    assert judge(story, within_s=10.0).count == 1


def test_an_order_let_go_after_its_end_is_not_late(story):
    story.good_order(1).believe("I1 absent").at(99.0).believe()

    assert judge(story, within_s=10.0).verdict == "pass"


def test_refusals_are_nothing_to_be_late_with(story):
    story.place("I1").rejected("I1", "o1").place("I2").order("o2", "I2").rejected("I2", "o2").believe("I2 new")

    assert judge(story.at(99.0).believe(), within_s=10.0).verdict == "pass"


def test_a_belief_that_seems_ahead_may_be_of_an_order_that_belongs_to_nobody(story):
    story.place("I1").order("o1", None).fill("o1", "4", "f1")
    story.believe("I1 filled 4", fills=["f1"], positions={"NQ": 4})

    assert judge(story, within_s=10.0).verdict == "unknown"


def test_a_client_that_never_tells_what_it_believes_cannot_be_judged(new_story):
    verdict = Reconciled().judge(new_story(booted=False).place("I1").order("o1", "I1").history())

    assert (verdict.verdict, verdict.why) == ("unknown", "the client never told what it believes")

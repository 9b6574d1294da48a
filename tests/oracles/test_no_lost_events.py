from __future__ import annotations

import msgspec

from faultline.history.event import Delivered
from faultline.oracles import NoLostEvents


def judge(story):
    return NoLostEvents().judge(story.end())


def test_a_client_that_knows_everything_passes(story):
    verdict = judge(story.good_order(1).good_order(2))

    assert verdict.verdict == "pass"
    assert verdict.judged == 6


def test_a_fill_missed_before_later_ones_is_a_gap(story):
    story.place("I3").order("o3", "I3").at(2.31).fill("o3", "1", "f7").fill("o3", "3", "f8")
    story.believe("I3 filled 4", fills=["f8"])

    verdict = judge(story)

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "fill f7 of order o3, 1 for intent I3 (buy 4 NQ at 100.25), at 2.310 s was never applied by the client, "
        "although the client applied later ones (a gap)"
    )


def test_the_last_fill_missed_is_the_tail(story):
    story.place("I1").order("o1", "I1").fill("o1", "1", "f7").believe("I1 partially_filled 1", fills=["f7"])

    verdict = judge(story.fill("o1", "3", "f8"))

    assert verdict.verdict == "fail"
    assert any("fill f8" in finding.what and "(the tail)" in finding.what for finding in verdict.findings)


def test_the_finding_says_what_became_of_the_message(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f7")
    story.add(Delivered(story.t, 2, "user", "fills", 1, "I1/2", 1, "f7", "dropped"))

    assert "its last message, on connection 2, was dropped" in judge(story).why


def test_a_client_that_applied_nothing_at_all_lost_everything(story):
    verdict = judge(story.place("I1").order("o1", "I1").fill("o1", "4"))

    assert verdict.verdict == "fail"
    assert verdict.count == 2  # the fill and the order


def test_a_fill_that_came_late_by_another_way_is_not_lost(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").at(60.0).believe("I1 filled 4", fills=["f1"])

    assert judge(story).verdict == "pass"


def test_a_fill_forgotten_in_a_restart_is_lost(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").believe("I1 filled 4", fills=["f1"])
    story.crash().boot().good_order(2)

    assert any(
        "fill f1 " in finding.what and "by the client's last process" in finding.what
        for finding in judge(story).findings
    )


def test_a_fill_restored_after_a_restart_is_not_lost(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").believe("I1 filled 4", fills=["f1"])
    story.crash().boot().believe("I1 filled 4", fills=["f1"])

    assert judge(story).verdict == "pass"


def test_a_cancel_that_the_client_never_learned_of_is_lost(story):
    story.place("I1").order("o1", "I1").believe("I1 new").at(2.0).cancelled("o1")

    verdict = judge(story)

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "order o1 of intent I1 (buy 4 NQ at 100.25) was canceled at 2.000 s, "
        "but at the end the client believes new, filled 0"
    )


def test_an_acceptance_that_the_client_holds_as_unknown_is_lost(story):
    assert judge(story.place("I1").order("o1", "I1").believe("I1 unknown")).verdict == "fail"


def test_an_order_let_go_after_its_end_is_not_lost(story):
    assert judge(story.good_order(1).believe("I1 absent")).verdict == "pass"


def test_a_client_that_never_names_fills_is_judged_by_its_orders(story):
    story.place("I1").order("o1", "I1").fill("o1", "4").believe("I1 filled 4")

    assert judge(story).verdict == "pass"


def test_a_fill_that_the_venue_never_made_is_invented(story):
    verdict = judge(story.good_order(1).at(3.0).believe(fills=["f99"]))

    assert verdict.verdict == "fail"
    assert verdict.why == "the client applied fill f99 at 3.000 s, which the venue never made"


def test_a_fill_applied_before_it_happened_is_invented(story):
    story.place("I1").order("o1", "I1").at(1.0).believe("I1 new", fills=["f1"]).at(2.0).fill("o1", "4", "f1")

    assert "before the venue made it at 2.000 s" in judge(story.believe("I1 filled 4")).why


def test_fills_of_orders_that_belong_to_nobody_are_not_charged(story):
    verdict = judge(story.good_order(1).order("o9", None).fill("o9", "4"))

    assert verdict.verdict == "unknown"


def test_a_certain_loss_is_one_whatever_else_is_unattributed(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").order("o9", None)

    assert judge(story).verdict == "fail"


def test_any_ending_will_do_where_an_intent_has_two_orders(story):
    story.place("I1").order("o1", "I1").order("o2", "I1").cancelled("o1").fill("o2", "4", "f1")

    assert judge(story.believe("I1 filled 4", fills=["f1"])).verdict == "pass"


def test_without_a_final_belief_it_is_unknown(story):
    story.good_order(1)

    assert NoLostEvents().judge(story.history()).verdict == "unknown"


def test_a_client_that_nobody_reads_is_not_judged(new_story):
    story = new_story(booted=False).place("I1").order("o1", "I1").answer("I1")

    verdict = NoLostEvents().judge(story.history())

    assert (verdict.verdict, verdict.judged) == ("unknown", 0)


def test_a_fill_applied_in_the_moment_it_was_made_is_not_invented(story):
    story.place("I1").order("o1", "I1").at(2.0).fill("o1", "4", "f1").at(2.0).believe("I1 filled 4", fills=["f1"])

    assert judge(story).verdict == "pass"


def test_an_open_order_that_the_client_holds_is_known(story):
    assert judge(story.place("I1").order("o1", "I1").believe("I1 new")).verdict == "pass"


def test_a_fill_is_charged_through_its_order(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").believe("I1 filled 4", fills=["f0"])
    story.events = [
        msgspec.structs.replace(event, intent=None) if getattr(event, "fill", "") else event for event in story.events
    ]

    assert any("fill f1 of order o1, 4 for intent I1" in finding.what for finding in judge(story).findings)


def test_what_is_not_known_yet_is_not_lost_before_the_end(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").believe()

    assert NoLostEvents().judge(story.history()).verdict == "unknown"


def test_a_client_that_a_test_speaks_for_is_judged_by_what_was_said_last(new_story):
    story = new_story(booted=False).place("I1").order("o1", "I1").fill("o1", "4", "f1").believe("I1 new")
    assert NoLostEvents().judge(story.history()).verdict == "fail"

    story.believe("I1 filled 4", fills=["f1"])
    assert NoLostEvents().judge(story.history()).verdict == "pass"

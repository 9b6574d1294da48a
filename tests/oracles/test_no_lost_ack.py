from __future__ import annotations

import pytest

from faultline.oracles import NoLostAck


def judge(story):
    return NoLostAck().judge(story.end())


def test_a_kept_promise_passes(story):
    assert judge(story.good_order(1)).verdict == "pass"


def test_ok_without_an_order_is_a_lost_promise(story):
    verdict = judge(story.place("I7").at(3.1).answer("I7").believe("I7 new"))

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "intent I7 (buy 4 NQ at 100.25) was answered ok at 3.100 s, but the venue has no order for it"
    )


def test_ok_for_what_the_venue_refused_is_a_lost_promise(story):
    verdict = judge(story.place("I1").at(2.0).rejected("I1").answer("I1").believe("I1 new"))

    assert "but the venue had refused it at 2.000 s" in verdict.why


def test_a_promise_forgotten_in_a_restart_is_lost(story):
    story.place("I1").order("o1", "I1").answer("I1").believe("I1 new").crash().boot()

    verdict = judge(story.good_order(2))

    assert verdict.verdict == "fail"
    assert verdict.why.endswith("but the client no longer knows of it at the end")


def test_a_promise_remembered_after_a_restart_is_kept(story):
    story.place("I1").order("o1", "I1").answer("I1").believe("I1 new").crash().boot().believe("I1 new")

    assert judge(story).verdict == "pass"


def test_an_acknowledgement_that_a_crash_kept_from_the_caller_is_no_promise(story):
    story.place("I1").order("o1", "I1").crash().boot()

    verdict = judge(story)

    assert (verdict.verdict, verdict.judged) == ("unknown", 0)


@pytest.mark.parametrize("state", ["unknown", "pending", "rejected"])
def test_a_promise_that_the_client_has_come_to_doubt_is_lost(story, state):
    story.place("I1").order("o1", "I1").answer("I1").believe(f"I1 {state}")

    assert judge(story).verdict == "fail"


def test_an_order_let_go_after_its_end_is_not_forgotten(story):
    story.good_order(1).believe("I1 absent")

    assert judge(story).verdict == "pass"


def test_an_order_let_go_while_it_is_open_is_forgotten(story):
    story.place("I1").order("o1", "I1").answer("I1").believe("I1 new").believe("I1 absent")

    assert judge(story).verdict == "fail"


def test_a_later_answer_does_not_take_back_the_promise(story):
    story.place("I1").answer("I1", "ok").answer("I1", "fail").believe("I1 rejected")

    assert judge(story).verdict == "fail"


def test_a_cancel_answered_ok_is_kept_once_the_order_has_ended_however(story):
    story.place("I1").order("o1", "I1").cancel("I2", of="I1").fill("o1", "4").answer("I2").believe("I1 filled 4")

    assert judge(story).verdict == "pass"


def test_a_cancel_answered_ok_with_the_order_open_is_a_lost_promise(story):
    story.place("I1").order("o1", "I1").cancel("I2", of="I1").answer("I2").believe("I1 new")

    assert "but order o1 is still new" in judge(story).why


def test_a_replace_answered_ok_needs_the_change(story):
    story.place("I1").order("o1", "I1").replace("I2", of="I1").answer("I2").believe("I1 new")
    assert "order o1 was never changed" in judge(story).why


def test_a_replace_that_happened_is_kept(story):
    story.place("I1").order("o1", "I1").replace("I2", of="I1").replaced("o1", by="I2").answer("I2").believe("I1 new")

    assert judge(story).verdict == "pass"


def test_absence_cannot_be_told_while_an_order_belongs_to_nobody(story):
    assert judge(story.place("I1").order("o1", None).answer("I1").believe("I1 new")).verdict == "unknown"


def test_without_a_final_belief_memory_cannot_be_told(story):
    story.place("I1").order("o1", "I1").answer("I1").believe("I1 new")

    verdict = NoLostAck().judge(story.history())

    assert verdict.verdict == "unknown"
    assert "no final belief" in verdict.why


def test_a_client_that_nobody_reads_is_judged_by_the_ledger_alone(new_story):
    kept = new_story(booted=False).place("I1").order("o1", "I1").answer("I1").history()
    lost = new_story(booted=False).place("I1").answer("I1").history()

    assert NoLostAck().judge(kept).verdict == "pass"
    assert NoLostAck().judge(lost).verdict == "fail"


def test_an_answer_to_what_nobody_wanted_is_no_promise_about_an_order(story):
    assert judge(story.good_order(1).answer("X9")).verdict == "pass"

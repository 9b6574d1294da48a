from __future__ import annotations

import pytest

from faultline.oracles import ResolvedUnknowns


def judge(story):
    return ResolvedUnknowns().judge(story.end())


def test_an_unknown_that_was_found_out_right_passes(story):
    story.place("I1").order("o1", "I1").answer("I1", "info").believe("I1 unknown").believe("I1 new")

    verdict = judge(story)

    assert verdict.verdict == "pass"
    assert verdict.why == "1 unknown outcome resolved"


@pytest.mark.parametrize("view", [None, "rejected", "absent", "canceled"])
def test_an_unknown_that_came_to_nothing_is_resolved_by_disowning_it(story, view):
    story.place("I1").answer("I1", "info")
    if view:
        story.believe(f"I1 {view}")

    assert judge(story).verdict == "pass"


@pytest.mark.parametrize("view", ["unknown", "pending"])
@pytest.mark.parametrize("exists", [True, False])
def test_an_unknown_that_stays_one_is_found(story, view, exists):
    story.place("I7")
    if exists:
        story.order("o12", "I7")
    story.answer("I7", "info").believe(f"I7 {view}")

    verdict = judge(story)

    truth = "the venue has o12 (new, 0 of 4)" if exists else "the venue has no order for it"
    assert verdict.verdict == "fail"
    assert verdict.why == (
        "intent I7 (buy 4 NQ at 100.25) is an outcome that was never resolved: "
        f"at the end the client believes {view}, and {truth}"
    )


@pytest.mark.parametrize("view", ["rejected", "absent", "canceled"])
def test_an_order_that_exists_and_is_disowned_is_a_phantom_reject(story, view):
    story.place("I1").order("o1", "I1").answer("I1", "info").believe(f"I1 {view}")

    assert "is a phantom reject" in judge(story).why


def test_an_order_that_never_was_and_is_believed_in_is_a_phantom_success(story):
    story.place("I1").answer("I1", "info").believe("I1 new")

    assert "is a phantom success" in judge(story).why


def test_an_ending_taken_for_another_is_resolved_wrongly(story):
    story.place("I1").order("o1", "I1").answer("I1", "info").expired("o1").believe("I1 canceled")

    assert "is resolved wrongly" in judge(story).why


def test_an_unknown_that_nobody_was_told_of_counts_as_well(story):
    story.place("I1").order("o1", "I1").answer("I1", "ok").believe("I1 unknown")

    assert judge(story).verdict == "fail"


def test_an_order_answered_fail_that_lives_is_a_phantom_reject(story):
    story.place("I1").order("o1", "I1").at(2.1).answer("I1", "fail").believe("I1 new")

    verdict = judge(story)

    assert verdict.why == (
        "intent I1 (buy 4 NQ at 100.25) is a phantom reject: it was answered fail at 2.100 s, "
        "and the venue has o1 (new, 0 of 4)"
    )


def test_an_order_answered_fail_that_was_filled_before_it_ended_is_a_phantom_reject(story):
    story.place("I1").order("o1", "I1").fill("o1", "1").cancelled("o1").answer("I1", "fail").believe("I1 canceled 1")

    assert judge(story).verdict == "fail"


def test_an_order_undone_without_a_trace_was_rightly_answered_fail(story):
    story.place("I1").order("o1", "I1").cancelled("o1").answer("I1", "fail").believe("I1 canceled")

    assert judge(story).verdict == "pass"


def test_fail_without_an_order_is_right(story):
    assert judge(story.place("I1").answer("I1", "fail")).verdict == "pass"


def test_an_answer_that_was_later_made_definite_is_no_longer_in_doubt(story):
    story.place("I1").order("o1", "I1").answer("I1", "info").answer("I1", "ok").believe("I1 new")

    verdict = judge(story)

    assert (verdict.verdict, verdict.judged) == ("unknown", 0)


def test_a_phantom_success_cannot_be_told_while_an_order_belongs_to_nobody(story):
    story.place("I1").order("o1", None).answer("I1", "info").believe("I1 new")

    assert judge(story).verdict == "unknown"


def test_an_unknown_that_stays_one_is_found_whatever_is_unattributed(story):
    story.place("I1").order("o1", None).answer("I1", "info").believe("I1 unknown")

    assert judge(story).verdict == "fail"


def test_without_a_final_belief_it_is_unknown(story):
    verdict = ResolvedUnknowns().judge(story.place("I1").answer("I1", "info").history())

    assert verdict.verdict == "unknown"
    assert verdict.judged == 1


def test_when_nothing_was_ever_in_doubt_it_judged_nothing(story):
    verdict = judge(story.good_order(1))

    assert (verdict.verdict, verdict.judged) == ("unknown", 0)
    assert verdict.why == "no outcome was ever in doubt"


@pytest.mark.parametrize(("status", "fate"), [(201, "lost"), (201, "cut"), (503, "sent")])
def test_an_answer_that_did_not_reach_the_client_leaves_the_outcome_in_doubt(story, status, fate):
    story.place("I1").respond(story.request(entity="I1"), status, fate).order("o1", "I1").answer("I1")

    assert judge(story.believe("I1 new")).judged == 1
    assert judge(story.believe("I1 canceled")).verdict == "fail"


def test_an_answer_that_arrived_leaves_no_doubt(story):
    story.place("I1").respond(story.request(entity="I1"), 499).order("o1", "I1").answer("I1").believe("I1 new")

    assert judge(story).judged == 0


def test_every_order_is_judged_once_and_cancels_are_not(story):
    story.place("I1").answer("I1", "info").place("I2").answer("I2", "fail").place("I3").answer("I3", "info")
    story.cancel("C1", of="I1").answer("C1", "info").believe("C1 unknown")

    verdict = judge(story)

    assert (verdict.verdict, verdict.judged) == ("pass", 3)

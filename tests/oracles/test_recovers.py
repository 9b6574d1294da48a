from __future__ import annotations

import pytest

from faultline.history.event import Stuck
from faultline.oracles import Recovers


def judge(story, within_s=10.0):
    return Recovers(within_s=within_s).judge(story.end())


def test_an_answer_in_time_after_the_last_fault_passes(story):
    verdict = judge(story.place("I1").at(5.0).struck().at(8.0).answer("I1").at(60.0))

    assert verdict.verdict == "pass"
    assert verdict.why == "the last answer came 3.000 s after the last fault"


def test_a_late_answer_is_found(story):
    verdict = judge(story.place("I7").at(5.0).struck().at(50.2).answer("I7").at(60.0))

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "intent I7 (buy 4 NQ at 100.25) was not answered within 10s after the last fault at 5.000 s: it took 45.2s"
    )


def test_an_intent_issued_later_has_its_own_time(story):
    story.at(5.0).struck().at(40.0).place("I1").at(48.0).answer("I1").at(90.0)

    assert judge(story).verdict == "pass"
    assert "was not answered within 5s after it was issued: it took 8s" in judge(story, within_s=5.0).why


def test_a_missing_answer_is_found(story):
    assert judge(story.place("I1").at(60.0)).why.endswith("within 10s after it was issued: it never was")


@pytest.mark.parametrize("outcome", ["ok", "fail", "info"])
def test_any_answer_is_a_sign_of_life(story, outcome):
    assert judge(story.place("I1").answer("I1", outcome).at(60.0)).verdict == "pass"


def test_the_end_of_the_faults_counts_from_when_the_run_says_so(story):
    story.place("I1").at(5.0).struck().at(30.0).phase("faults_over").at(38.0).answer("I1").at(60.0)

    assert judge(story).verdict == "pass"


def test_the_down_time_of_a_crash_is_part_of_the_fault(story):
    story.place("I1").at(5.0).crash().at(30.0).boot().at(38.0).answer("I1").at(60.0)

    assert judge(story).verdict == "pass"


def test_a_run_that_ended_before_the_time_was_up_cannot_tell(story):
    verdict = judge(story.place("I1").at(5.0))

    assert verdict.verdict == "unknown"
    assert verdict.why == "the run ended too early to tell for 1 intent without an answer"


def test_a_task_that_is_stuck_will_never_answer(story):
    story.place("I1").at(5.0).add(Stuck(5.0, "intent I1", "it was never answered"))

    assert judge(story).verdict == "fail"


def test_an_intent_that_nobody_was_left_to_answer_counts_once_it_is_believed_ended(story):
    story.place("I1").order("o1", "I1").fill("o1", "4").at(8.0).believe("I1 filled 4").at(60.0)

    assert judge(story).verdict == "pass"
    assert judge(story, within_s=5.0).verdict == "fail"


def test_an_ending_believed_by_a_process_that_died_does_not_count(story):
    story.place("I1").order("o1", "I1").fill("o1", "4").believe("I1 filled 4").crash().boot().at(60.0)

    assert judge(story).verdict == "fail"


def test_a_client_that_died_and_never_came_back_has_not_recovered(story):
    story.place("I1").answer("I1").at(3.0).crash().at(60.0).phase("judgement")

    verdict = Recovers().judge(story.history())

    assert verdict.why == "process 1 of the client ended at 3.000 s and none was started again"


def test_a_client_that_never_came_up_again_has_not_recovered(story):
    story.place("I1").answer("I1").at(3.0).crash().at(4.0).boot().at(60.0).phase("judgement")

    verdict = Recovers(within_s=10.0).judge(story.history())

    assert verdict.why == "process 2 of the client, started at 4.000 s, was not up at the end"


def test_the_first_answer_counts(story):
    assert judge(story.place("I1").answer("I1", "info").at(55.0).answer("I1", "ok")).verdict == "pass"


def test_without_intents_it_judged_nothing(story):
    assert judge(story).verdict == "unknown"


def test_a_process_that_is_not_up_yet_may_still_come(story):
    story.place("I1").answer("I1").at(3.0).crash().at(4.0).boot().at(6.0).phase("judgement")

    assert Recovers(within_s=10.0).judge(story.history()).verdict == "pass"


def test_the_very_moment_of_the_deadline_is_in_time(story):
    assert judge(story.at(1.0).place("I1").at(11.0).answer("I1").at(60.0)).verdict == "pass"

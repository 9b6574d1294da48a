from __future__ import annotations

import pytest

from faultline.oracles import CrashConsistent


def judge(story):
    return CrashConsistent().judge(story.end())


def placed_and_crashed(story, outcome="ok"):
    return story.place("I1").order("o1", "I1").answer("I1", outcome).believe("I1 new 0").crash().boot()


def test_a_process_that_stands_by_what_was_said_passes(story):
    result = judge(placed_and_crashed(story).believe("I1 new 0"))

    assert (result.verdict, result.judged, result.why) == ("pass", 1, "1 process carried on where another had ended")


@pytest.mark.parametrize(
    ("view", "why"), [("I1 absent", "knew nothing of it"), ("I1 rejected", "believed it rejected")]
)
def test_a_promise_that_a_crash_made_forget_is_seen(story, view, why):
    result = judge(placed_and_crashed(story).believe(view))

    assert (result.verdict, result.findings[0].intent) == ("fail", "I1")
    assert result.why.endswith(f"but process 2 at its first view, at 0.070 s, {why}")


def test_only_the_first_view_counts_and_a_stale_one_is_none(story):
    placed_and_crashed(story).believe("I1 absent", stale=True).believe("I1 new")
    assert judge(story).verdict == "pass"


def test_a_later_view_is_for_other_oracles(story):
    assert judge(placed_and_crashed(story).believe("I1 new").believe("I1 absent")).verdict == "pass"


@pytest.mark.parametrize("view", ["I1 unknown", "I1 pending"])
def test_doubt_about_what_the_dead_one_said_is_honest(story, view):
    assert judge(placed_and_crashed(story).believe(view)).verdict == "pass"


def test_an_order_that_ended_meanwhile_may_be_gone(story):
    story.place("I1").order("o1", "I1").answer("I1").believe("I1 new").crash().fill("o1", "4").boot()

    assert judge(story.believe("I1 absent")).verdict == "pass"


def test_what_was_never_promised_may_be_unknown_to_the_next(story):
    story.place("I1").order("o1", "I1").crash().boot().believe("I1 absent").answer("I1").believe("I1 new")

    assert judge(story).verdict == "pass"


def test_an_order_that_the_caller_was_told_does_not_exist_must_not_come_to_life(story):
    story.place("I1").rejected("I1").answer("I1", "fail").believe("I1 rejected").crash().boot().believe("I1 new")

    assert "was answered fail at 0.030 s, but process 2" in judge(story).why


def test_fills_that_were_told_and_are_gone_are_seen(story):
    story.place("I1").order("o1", "I1").answer("I1").fill("o1", "2").believe("I1 partially_filled 2")
    story.crash().boot().believe("I1 new 0")

    result = judge(story)

    assert (result.verdict, result.count) == ("fail", 1)
    assert "was told filled 2 before, but process 2 at its first view" in result.why


def test_fills_that_were_never_told_need_not_be_known_at_once(story):
    story.place("I1").order("o1", "I1").answer("I1").believe("I1 new").fill("o1", "2").crash().boot()

    assert judge(story.believe("I1 new 0").believe("I1 partially_filled 2")).verdict == "pass"


def test_what_the_dead_process_believed_ahead_of_the_truth_nobody_has_to_remember(story):
    story.place("I1").order("o1", "I1").answer("I1").believe("I1 filled 4").crash().boot().believe("I1 new 0")

    assert judge(story).verdict == "pass"


def test_a_process_that_does_not_come_up_after_nothing_but_a_crash_is_seen(story):
    story.place("I1").struck("crash", "Crash(down_s=0.5)").crash().boot().crash("exit").boot().believe("I1 new")

    result = judge(story)

    assert result.verdict == "fail"
    assert result.why == "process 2, started at 0.040 s, did not come up: it ended at 0.050 s"


def test_a_fault_that_struck_may_be_why_it_does_not_come_up(story):
    story.struck("partition", "Hold()").place("I1").crash().boot().crash("exit").boot().believe("I1 pending")

    assert judge(story).verdict == "pass"


def test_no_fault_is_an_excuse_once_faults_are_over(story):
    story.struck("partition", "Hold()").crash().phase("faults_over").boot().crash("exit").boot().believe("I1 pending")

    assert judge(story).verdict == "fail"


def test_an_order_sent_anew_by_the_next_process_is_seen(story):
    first = story.place("I1").request(entity="I1")
    story.order("o1", "I1", request=first).crash().boot()
    again = story.request(entity="I1")
    story.order("o2", "I1", request=again).believe("I1 new")

    assert judge(story).why.endswith("the process started at 0.051 s sent it anew, which became order o2")


def test_a_request_of_the_dead_process_that_arrives_late_is_not_the_next_ones(story):
    first = story.place("I1").request(entity="I1")
    late = story.request(entity="I1", arrives=5.0)
    story.at(0.5).order("o1", "I1", request=first).crash().boot().at(5.1).order("o2", "I1", request=late)

    assert judge(story.believe("I1 new")).verdict == "pass"


def test_one_process_alone_is_unknown_and_so_is_a_silent_one(story, new_story):
    assert judge(story.good_order(1)).verdict == "unknown"
    silent = new_story().place("I1").crash().boot().history()
    assert CrashConsistent().judge(silent).verdict == "unknown"


def test_the_first_process_follows_nobody(story):
    story.crash("exit").boot().place("I1").believe("I1 pending")

    assert judge(story).verdict == "pass"


def test_a_copy_that_faultline_made_is_not_what_the_next_process_sent(story):
    first = story.place("I1").request(entity="I1")
    story.order("o1", "I1", request=first).crash().boot()
    story.order("o2", "I1", request=story.request(entity="I1", injected=True)).believe("I1 new")

    assert judge(story).verdict == "pass"

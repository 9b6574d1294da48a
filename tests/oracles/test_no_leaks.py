from __future__ import annotations

import pytest

from faultline.oracles import NoLeaks


def judge(story, **parameters):
    return NoLeaks(**parameters).judge(story.end())


def cycles(story, *held, name="tasks"):
    """A fault, a sample in its midst, and one when the client has recovered, over and over."""
    for number, count in enumerate(held):
        start = story.t + 10.0
        story.at(start).struck("disconnect").at(start + 1).gauge(50)
        story.at(start + 9).gauge(**({"tasks": 5, name: count}))
        assert number >= 0
    return story


def test_a_client_that_lets_everything_go_passes(story):
    result = judge(cycles(story, 5, 6, 5, 7, 5, 6, 5, 5))

    assert (result.verdict, result.judged) == ("pass", 6)


@pytest.mark.parametrize("name", ["tasks", "timers", "connections"])
def test_one_more_after_every_fault_is_seen(story, name):
    result = judge(cycles(story, *range(5, 15), name=name))

    assert (result.verdict, result.count) == ("fail", 1)
    assert result.why.startswith(
        f"process 1 of the client went from 7 to 14 {name} over 8 cycles of fault and recovery"
    )


def test_pools_that_fill_in_the_first_cycles_are_no_leak(story):
    assert judge(cycles(story, 1, 8, 10, 10, 10, 10, 10, 10, 10)).verdict == "pass"


def test_a_few_high_samples_are_no_trend(story):
    assert judge(cycles(story, 5, 5, 5, 40, 5, 5, 60, 5, 5, 5)).verdict == "pass"


def test_what_is_gone_at_the_end_was_no_leak(story):
    assert judge(cycles(story, *range(5, 15), 5)).verdict == "pass"


def test_a_slow_leak_is_seen_over_many_cycles(story):
    assert judge(cycles(story, *(5 + number // 3 for number in range(300)))).verdict == "fail"


def test_growth_that_is_too_small_to_tell_passes(story):
    assert judge(cycles(story, 5, 5, 5, 6, 6, 7, 7, 8)).verdict == "pass"


def test_what_is_held_for_each_open_order_is_work_in_hand(story):
    for number in range(10):
        story.place(f"I{number}").order(f"o{number}", f"I{number}").answer(f"I{number}")
        cycles(story, 5 + number)

    assert judge(story).verdict == "pass"


def test_each_process_begins_anew(story):
    for _ in range(3):
        cycles(story, *range(5, 10)).crash().boot()

    assert judge(story).verdict == "unknown"


def test_too_few_cycles_show_no_trend_and_no_samples_none(story, new_story):
    assert judge(cycles(story, *range(5, 10))).verdict == "unknown"
    assert judge(new_story().good_order(1)).verdict == "unknown"


def test_a_step_that_stays_is_no_trend(story):
    assert judge(cycles(story, *[5] * 9, 9, 9, 9)).verdict == "pass"

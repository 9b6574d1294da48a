from __future__ import annotations

import pytest

from faultline.oracles import Latency


def waits(story, *durations_s):
    """One intent a second, each answered after that long."""
    for number, duration_s in enumerate(durations_s, start=1):
        start_t = float(number) * 100
        story.at(start_t).place(f"I{number}").at(start_t + duration_s).answer(f"I{number}")
    return story.end()


def test_figures_within_their_bounds_pass_and_are_reported(story):
    verdict = Latency(p50="< 1s", p99="<= 3s", max="< 10s").judge(waits(story, 0.25, 0.5, 3.0))

    assert verdict.verdict == "pass"
    assert verdict.why == "p50 500ms, p99 3s, max 3s over 3 intents"


def test_a_figure_over_its_bound_names_the_slowest_intent(story):
    verdict = Latency(p99="< 2s").judge(waits(story, 0.25, 0.5, 3.0))

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "p99 of the time to an answer is 3s, not < 2s (intent I3 (buy 4 NQ at 100.25); "
        "p50 500ms, p99 3s, max 3s over 3 intents)"
    )


@pytest.mark.parametrize(("bound", "verdict"), [("< 500ms", "fail"), ("<= 500ms", "pass"), ("<501ms", "pass")])
def test_a_bound_means_what_it_says(story, bound, verdict):
    assert Latency(p50=bound).judge(waits(story, 0.25, 0.5, 3.0)).verdict == verdict


def test_percentiles_are_of_the_nearest_rank(story):
    durations_s = [float(number) for number in range(1, 101)]

    assert Latency().judge(waits(story, *durations_s)).why.startswith("p50 50s, p99 99s, max 100s")


def test_an_intent_without_an_answer_counts_as_long_as_it_has_waited(story):
    story.place("I1").answer("I1").at(1.0).place("I2").at(61.0)

    verdict = Latency(max="< 30s").judge(story.end())

    assert verdict.verdict == "fail"
    assert ", 1 of them still waiting" in verdict.why


def test_an_intent_asked_again_after_a_crash_has_waited_since_the_first_time(story):
    story.at(1.0).place("I1").at(5.0).place("I1").at(6.0).answer("I1")

    assert Latency(max="< 2s").judge(story.end()).verdict == "fail"


@pytest.mark.parametrize("bound", ["30s", "> 3s", "< 30", "< -1s", "< fast"])
def test_a_bound_that_cannot_be_read_is_refused(bound):
    with pytest.raises(ValueError, match=r"bound|unit|duration|negative"):
        Latency(p99=bound)


def test_without_intents_it_judged_nothing(story):
    assert Latency(p50="< 1s").judge(story.end()).verdict == "unknown"


def test_the_finding_is_of_the_slowest_intent_when_its_answer_came(story):
    finding = Latency(max="< 2s").judge(waits(story, 0.25, 3.0)).findings[0]

    assert (finding.intent, finding.t) == ("I2", 203.0)

from __future__ import annotations

import pytest

from faultline.oracles import AlertsDelivered

STREAM = {"disconnect": "stream *"}


def judge(story, conditions=STREAM, until=1000.0, **parameters):
    return AlertsDelivered(conditions=conditions, **parameters).judge(story.at(until).end())


def test_a_condition_that_is_told_in_time_passes(story):
    result = judge(story.at(10.0).struck("disconnect").at(69.0).alert("stream user"))

    assert (result.verdict, result.judged) == ("pass", 2)


@pytest.mark.parametrize("alert", [None, (71.0, "stream user"), (11.0, "orders"), (9.0, "orders")])
def test_silence_is_seen_and_so_is_a_late_alert_and_one_of_something_else(story, alert):
    story.at(10.0).struck("disconnect#2")
    if alert is not None:
        story.at(alert[0]).alert(alert[1])

    result = judge(story)

    assert (result.verdict, result.findings[0].t) == ("fail", 70.0)
    assert "disconnect at 10.000 s led to no alert 'stream *' within 60s" in result.why


def test_distinct_keys_never_do_for_each_other(story):
    story.at(10.0).struck("disconnect").struck("reject").alert("stream user")

    result = judge(story, {"disconnect": "stream *", "reject": "order *"})

    assert (result.count, result.why[:6]) == (1, "reject")


def test_an_alert_that_went_out_shortly_before_does_for_the_same_condition(story):
    story.at(10.0).alert("stream user").at(60.0).struck("disconnect")
    assert judge(story).verdict == "pass"


def test_an_alert_that_went_out_long_ago_does_not(story):
    story.at(10.0).alert("stream user").at(80.0).struck("disconnect")
    assert judge(story).verdict == "fail"


def test_a_condition_that_is_still_on_needs_no_second_alert(story):
    story.at(10.0).alert("stream user").at(500.0).struck("disconnect").alert("stream user", resolved=True)
    assert judge(story).verdict == "pass"


def test_once_resolved_it_must_be_told_anew(story):
    story.at(10.0).alert("stream user").alert("stream user", resolved=True).at(30.0).struck("disconnect")
    assert judge(story).verdict == "fail"


def test_the_same_alert_again_within_the_window_is_seen(story):
    story.at(10.0).alert("stream user").at(69.9).alert("stream user")
    result = judge(story)

    assert result.verdict == "fail"
    assert result.why.startswith("alert 'stream user' (warning) went out at 10.000 s and again at 69.900 s")


def test_the_edge_of_the_window_another_level_key_or_process_and_a_resolved_one_are_no_repeats(story):
    story.at(10.0).alert("a").alert("b").alert("a", level="critical").at(70.0).alert("a")
    story.alert("a", resolved=True).alert("a").crash().boot().alert("a")

    assert judge(story).verdict == "pass"


def test_a_process_that_ends_before_the_time_is_up_is_not_judged_for_it(story):
    story.at(10.0).struck("disconnect").at(20.0).crash().at(30.0).struck("disconnect").at(40.0).boot()

    assert judge(story).verdict == "unknown"


def test_a_run_that_ends_before_the_time_is_up_is_not_judged_for_it(story):
    assert judge(story.at(10.0).struck("disconnect"), until=40.0).verdict == "unknown"


def test_answers_and_effects_are_conditions_too(story):
    story.at(10.0).place("I1").rejected("I1").answer("I1", "info").alert("rejected I1")

    result = judge(story, {"reject": "rejected *", "info": "unknown *"})

    assert (result.count, result.why[:4]) == (1, "info")


def test_a_client_that_tells_no_alerts_fails_where_one_was_due_and_is_unknown_elsewhere(story, new_story):
    assert "tells no alerts at all" in judge(story.at(10.0).struck("disconnect")).why
    assert judge(new_story().good_order(1)).verdict == "unknown"


def test_an_alert_of_the_process_before_does_not_do(story):
    story.at(9.0).alert("stream user").crash().boot().at(10.0).struck("disconnect")

    assert judge(story).verdict == "fail"

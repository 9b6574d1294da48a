from __future__ import annotations

import pytest

from faultline.history.event import Stuck, Trouble
from faultline.oracles import NoStuckTasks


def judge(story):
    return NoStuckTasks().judge(story.end())


def test_a_client_that_leaves_nothing_behind_passes(story):
    verdict = judge(story.crash().boot())

    assert verdict.verdict == "pass"
    assert verdict.why == "2 client processes left nothing behind"


def test_a_stuck_task_is_named_with_the_place_where_it_waits(story):
    verdict = judge(story.add(Stuck(9.0, "listen", "client.py:40")))

    assert verdict.why == "task listen still waited at the end: client.py:40"


@pytest.mark.parametrize(("what", "how"), [("unhandled", "that nobody handled"), ("swallowed", "that was swallowed")])
def test_a_lost_exception_is_found(story, what, how):
    verdict = judge(story.add(Trouble(9.0, what, "ValueError: no", 1)))

    assert verdict.why == f"process 1 of the client had an exception {how} at 9.000 s: ValueError: no"


@pytest.mark.parametrize("what", ["blocking", "escape"])
def test_what_the_harness_reports_itself_is_not_charged(story, what):
    assert judge(story.add(Trouble(9.0, what, "time.sleep"))).verdict == "pass"


def test_a_run_without_a_judgement_is_not_judged(story):
    verdict = NoStuckTasks().judge(story.end(judged=False))

    assert (verdict.verdict, verdict.judged) == ("unknown", 0)

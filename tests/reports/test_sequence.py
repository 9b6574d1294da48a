"""Which events led to a verdict, how they are told, and why it failed."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from faultline.history import History
from faultline.history.event import Answered, Received, Struck
from faultline.oracles import ORACLES, NoDuplicates
from faultline.reports.cause import ADVICE, why
from faultline.reports.cone import cone
from faultline.reports.diagram import svg
from faultline.reports.sequence import STEPS_MAX, Step, steps
from tests.reports.histories import long, sealed, twice


def told(history: History) -> list[Step]:
    return steps(history, cone(history, NoDuplicates().judge(history)), "no_duplicates")


def line(step: Step) -> str:
    way = step.source if step.is_note else f"{step.source}>{step.target}"
    return f"{step.t:.1f} {way}: {step.text}" + (f" [{step.fault}]" if step.fault else "")


def test_a_lost_response_and_what_the_client_did_then() -> None:
    found = told(twice())
    assert [line(step) for step in found] == [
        "0.1 caller>client: A: buy 4 NQ at 100",
        "0.2 client>venue: POST /orders",
        "0.2 venue: o1 accepted",
        "0.2 venue>wire: 201 to POST /orders, lost [lost_response: cut how=silence]",
        "2.0 client>venue: POST /orders, attempt 2",
        "2.0 venue: o2 accepted",
        "2.0 venue>client: 201 to POST /orders",
        "2.0 caller>venue: from here on no_duplicates fails",
        "2.1 client>caller: A: done",
        "2.2 venue>client: orders #1: o2",
        "2.3 client: unhandled",
        "3.0 client: the run ends; this view is judged",
        "3.0 client: believes A new (o2)",
    ]
    assert found[4].detail == "key second, a new one"
    assert found[5].tone == "bad", "the second order is what should not have been"
    assert found[0].skipped == 3, "a boot and another intent with its answer"


def test_a_crash_is_shown_on_the_client_and_nobody_hears_the_answer() -> None:
    lines = [line(step) for step in told(twice(crash=True))]
    assert "0.2 client: process 1 killed [crash: after POST /orders [A]]" in lines
    assert "0.2 venue>wire: 201 to POST /orders, nobody is there" in lines
    assert "1.2 store>client: process 2 starts from what was stored" in lines


def test_a_request_that_was_held_back_arrives_late() -> None:
    events = list(twice())
    struck = next(event for event in events if isinstance(event, Struck))
    place = events.index(struck)
    events[place] = Struck(0.2, 1, "late", "message", "POST /orders", "A", 1, "before", "Delay(delay_s=2.5)")
    late = events.pop(place - 1)
    answered = events.pop(place + 1)
    assert isinstance(answered, Answered)
    moved = [type(late)(**{**{f: getattr(late, f) for f in late.__struct_fields__}, "t": 2.7})]
    events = sorted([*events, *moved], key=lambda event: event.t)
    lines = [line(step) for step in told(sealed(events))]
    assert "0.2 client>wire: POST /orders [late: delay delay_s=2.5]" in lines
    assert lines.index("2.7 wire>venue: POST /orders arrives late") + 1 == lines.index("2.7 venue: o1 accepted")


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        (
            twice(),
            "The response to POST /orders of A was lost at 0.200 s, after the venue had done it; "
            "then the client sent POST /orders for A again at 2.000 s under a new key.",
        ),
        (
            twice(crash=True),
            "The client's process was killed at 0.200 s, right after POST /orders of A (after the venue had done it); "
            "then the client sent POST /orders for A again at 2.000 s under a new key.",
        ),
    ],
)
def test_the_cause_is_a_sentence(history: History, sentence: str) -> None:
    assert why(history, cone(history, NoDuplicates().judge(history))) == sentence


def test_every_oracle_that_blames_a_client_comes_with_advice() -> None:
    assert set(ADVICE) <= set(ORACLES)
    assert {"no_duplicates", "no_lost_intent", "no_lost_ack", "no_lost_events", "reconciled"} <= set(ADVICE)


def test_what_is_asked_again_and_again_is_counted() -> None:
    events = list(twice())
    asked = [
        event
        for n in range(20)
        for event in (
            Received(2.5 + n / 100, 10 + n, 1, "GET /orders", "A", n + 1, 2.5 + n / 100),
            Answered(2.5 + n / 100, 10 + n, 200),
        )
    ]
    found = told(sealed(sorted([*events, *asked], key=lambda event: event.t)))
    shown = [step for step in found if "GET /orders" in step.text]
    assert len(shown) == 4, "two of the requests, two of the responses"
    assert sum(step.alike for step in found) == 40 - len(shown)


def test_a_diagram_stays_short_and_says_what_it_leaves_out() -> None:
    history = long(2000)
    found = steps(history, cone(history, None))
    assert 0 < len(found) <= STEPS_MAX
    assert all(step.skipped >= 0 for step in found)


def test_a_finding_about_no_intent_shows_the_requests_before_it() -> None:
    history = long(200)
    verdict = ORACLES["rate_limit_respected"]().judge(history)
    found = cone(history, verdict)
    assert found.places or verdict.verdict != "fail"


@pytest.mark.parametrize("crash", [False, True])
def test_the_picture_has_each_fault_on_its_arrow_and_a_lane_for_the_store_after_a_crash(crash: bool) -> None:
    root = ElementTree.fromstring(svg(told(twice(crash=crash)), "what it shows"))
    kinds = [element.get("class", "") for element in root.iter()]
    assert kinds.count("bolt") == 1
    assert ("head store" in kinds) is crash
    assert (root.get("role"), root.get("aria-label")) == ("img", "what it shows")
    words = [element.text for element in root.iter() if element.get("class") == "fault-text"]
    assert words == (["crash: after POST /orders [A]"] if crash else ["lost_response: cut how=silence"])
    assert [kind for kind in kinds if kind.startswith("waiting")] == ["waiting known"]

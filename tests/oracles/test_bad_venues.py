"""A venue that breaks its own contract is told apart from a client that does."""

from __future__ import annotations

import pytest

from faultline.history import RateBucket
from faultline.oracles import ORACLES


def judge(name, story):
    return ORACLES[name]().judge(story.end())


def test_two_orders_of_one_request_are_the_venues_doing(story):
    request = story.place("I1").request(entity="I1")
    story.order("o1", "I1", request=request).order("o2", "I1", request=request).answer("I1").believe("I1 new")

    for name in ("no_duplicates", "exposure_bounded"):
        result = judge(name, story)
        assert result.verdict == "fail"
        assert "the venue made" in result.why


def test_two_orders_of_two_requests_are_the_clients_doing(story):
    for order in ("o1", "o2"):
        story.place("I1") if order == "o1" else None
        story.order(order, "I1", request=story.request(entity="I1"))

    for name in ("no_duplicates", "exposure_bounded"):
        result = judge(name, story)
        assert result.verdict == "fail"
        assert "the venue made" not in result.why


@pytest.mark.parametrize(
    ("name", "why"), [("legal_order_states", "the venue took order o1"), ("fills_conserved", "venue")]
)
def test_a_step_after_the_end_of_an_order_is_the_venues(story, name, why):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").answer("I1")
    story.believe("I1 filled 4", fills=["f1"], positions={"NQ": 4})
    story.fill("o1", "4", "f2")

    result = judge(name, story)

    assert result.verdict == "fail"
    assert "venue" in result.why
    assert "the client" not in result.why


def test_a_client_that_believes_what_a_bad_venue_did_is_right(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").answer("I1").fill("o1", "4", "f2")
    story.believe("I1 filled 8", fills=["f1", "f2"], positions={"NQ": 8})

    assert {name: judge(name, story).verdict for name in ("counter_bounds", "read_your_writes", "reconciled")} == {
        "counter_bounds": "pass",
        "read_your_writes": "pass",
        "reconciled": "pass",
    }


def test_a_limit_that_the_venue_enforces_too_early_is_not_the_clients_fault(new_story):
    bucket = RateBucket("orders", 2, 10.0, (("POST /orders", 1),))
    story = new_story(buckets=(bucket,))
    for _ in range(2):
        story.respond(story.request(), 429)

    result = judge("rate_limit_respected", story)

    assert result.verdict == "pass"


def test_a_limit_that_the_venue_does_not_enforce_still_binds_the_client_and_says_so(new_story):
    bucket = RateBucket("orders", 2, 10.0, (("POST /orders", 1),))
    lax, strict = new_story(buckets=(bucket,)), new_story(buckets=(bucket,))
    for story, status in ((lax, 200), (strict, 429)):
        for number in range(3):
            story.respond(story.request(), 200 if number < 2 else status)

    told = "; the venue let it through"
    assert judge("rate_limit_respected", lax).why.endswith(told)
    assert not judge("rate_limit_respected", strict).why.endswith(told)

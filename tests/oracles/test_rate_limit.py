from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.history import RateBucket
from faultline.oracles import RateLimitRespected
from faultline.oracles.rate_limit import Send, bursts

ORDERS = RateBucket("orders", 3, 1.0, (("POST /orders", 1),))
FIXED = RateBucket("orders", 3, 1.0, (("POST /orders", 1),), "fixed")
GLOBAL = RateBucket("all", 10, 1.0, (("* *", 1),))


def judge(story, **parameters):
    return RateLimitRespected(**parameters).judge(story.end())


def send(story, *times, **fields):
    for t in times:
        story.at(t).request(**fields)
    return story


def test_sends_a_window_apart_are_within_the_limit(new_story):
    verdict = judge(send(new_story(buckets=(ORDERS,)), 1.0, 1.1, 1.2, 2.0, 2.1, 2.2))

    assert verdict.verdict == "pass"
    assert verdict.why == "6 requests within 1 limit, 0 requests to wait"


def test_a_burst_is_one_finding_with_its_size(new_story):
    verdict = judge(send(new_story(buckets=(ORDERS,)), 3.0, 3.1, 3.2, 3.3, 3.4, 9.0))

    assert verdict.count == 1
    assert verdict.why == (
        "limit 'orders' allows 3 in any 1s, but from 3.000 s to 3.400 s the client sent up to 5: "
        "2 requests too many, the last being request 5"
    )


def test_a_boundary_burst_breaks_a_sliding_window_and_not_a_fixed_one(new_story):
    times = (1.7, 1.8, 1.9, 2.0, 2.1, 2.2)

    assert judge(send(new_story(buckets=(ORDERS,)), *times)).verdict == "fail"
    assert judge(send(new_story(buckets=(FIXED,)), *times)).verdict == "pass"


def test_a_fixed_window_counts_from_multiples_of_its_length(new_story):
    verdict = judge(send(new_story(buckets=(FIXED,)), 2.0, 2.5, 2.6, 2.9))

    assert "allows 3 in each 1s" in verdict.why


def test_weights_count_and_other_endpoints_do_not(new_story):
    bucket = RateBucket("all", 4, 1.0, (("POST /orders", 3), ("GET /fills", 1)))
    story = send(new_story(buckets=(bucket,)), 1.0)
    story.request("GET /fills")
    story.request("GET /time")
    story.request("GET /time")
    assert judge(story).verdict == "pass"

    story.request("GET /fills")
    assert judge(story).verdict == "fail"


def test_the_first_pattern_that_matches_gives_the_weight():
    bucket = RateBucket("all", 4, 1.0, (("POST /orders", 3), ("* *", 1)))

    assert [bucket.weight_of(endpoint) for endpoint in ("POST /orders", "DELETE /orders/{id}")] == [3, 1]


def test_copies_that_faultline_made_are_nobodys(new_story):
    story = send(new_story(buckets=(ORDERS,)), 1.0, 1.1, 1.2)

    assert judge(send(story, 1.3, 1.4, injected=True)).verdict == "pass"


def test_requests_are_judged_by_when_they_were_sent_not_by_when_they_arrived(new_story):
    story = new_story(buckets=(ORDERS,))
    for t in (1.0, 1.4, 1.8, 2.2, 2.6):
        story.at(t).request(arrives=5.0)

    assert judge(story).verdict == "pass"


def test_arrival_counts_where_the_world_does_not_know_when_it_was_sent(new_story):
    story = send(new_story(buckets=(ORDERS,)), 1.0, 1.1, 1.2, 1.3, sent_t=None)

    assert judge(story).verdict == "fail"


def test_a_crash_does_not_excuse_a_burst(new_story):
    story = send(new_story(buckets=(ORDERS,)), 1.0, 1.1, 1.2).crash().boot()

    assert judge(send(story, 1.5)).verdict == "fail"


def test_without_limits_and_requests_to_wait_it_judged_nothing(story):
    verdict = judge(send(story, 1.0))

    assert (verdict.verdict, verdict.judged) == ("unknown", 0)


# Retry-After


def refused(story, t=1.0, status=429, wait=2.0, entity="I1", connection=1, **fields):
    story.at(t)
    request = story.request(entity=entity, connection=connection)
    story.at(t + 0.002).respond(request, status, wait=wait, **fields)
    return story


@pytest.mark.parametrize("status", [418, 429, 503])
def test_a_resend_on_the_same_connection_proves_that_the_wait_was_heard(story, status):
    verdict = judge(send(refused(story, status=status), 1.1, entity="I1"))

    assert verdict.verdict == "fail"
    assert verdict.why == (
        f"POST /orders (request 1) was told at 1.002 s to wait 2s ({status}), but the client, having heard it, "
        "sent POST /orders (request 2) at 1.100 s"
    )


def test_waiting_as_long_as_told_is_right(story):
    assert judge(send(refused(story), 3.002, entity="I1")).verdict == "pass"


def test_requests_sent_before_the_refusal_left_do_not_count(story):
    story.at(1.0)
    first = story.request(entity="I1")
    second = story.request(entity="I2", connection=2)
    story.respond(first, 429, wait=2.0).respond(second, 429, wait=2.0)

    assert judge(story).verdict == "pass"


def test_a_request_on_another_connection_may_not_have_heard_yet(story):
    assert judge(send(refused(story), 1.1, entity="I2", connection=2)).verdict == "pass"


def test_others_that_were_past_the_gate_get_a_moment_of_grace(story):
    story = send(refused(story), 1.1, entity="I2")
    assert judge(story).verdict == "pass"

    assert judge(send(story, 1.5, entity="I2")).verdict == "fail"


def test_a_prompt_refusal_has_been_heard_after_a_second_on_any_connection(story):
    assert judge(send(refused(story, wait=5.0), 2.1, entity="I1", connection=2)).verdict == "fail"


def test_a_refusal_that_came_after_the_client_may_have_given_up_proves_nothing(story):
    story.at(1.0)
    request = story.request(entity="I1")
    story.at(4.0).respond(request, 429, wait=5.0)

    assert judge(send(story, 6.0, entity="I1", connection=2)).verdict == "pass"


@pytest.mark.parametrize("fate", ["lost", "cut"])
def test_a_refusal_that_never_arrived_binds_nobody(story, fate):
    assert judge(send(refused(story, fate=fate), 1.5, entity="I1")).verdict == "pass"


def test_a_refusal_that_faultline_made_up_binds_like_any_other(story):
    assert judge(send(refused(story, fate="replaced"), 1.5, entity="I1")).verdict == "fail"


def test_a_new_process_does_not_know_what_the_old_one_was_told(story):
    story = refused(story).crash().boot()

    assert judge(send(story, 1.5, entity="I1")).verdict == "pass"


def test_a_refusal_without_a_readable_time_binds_nobody(story):
    assert judge(send(refused(story, wait=None), 1.5, entity="I1")).verdict == "unknown"


def test_a_refusal_binds_the_endpoints_of_the_same_limit_and_no_others(new_story):
    bucket = RateBucket("trading", 100, 1.0, (("* /orders*", 1),))
    story = refused(new_story(buckets=(bucket,)), entity="-").at(1.5)
    story.request("GET /fills")
    assert judge(story).verdict == "pass"

    story.at(1.9).request("DELETE /orders/{id}")
    assert judge(story).verdict == "fail"


def test_in_two_limits_at_once_only_what_shares_both_is_bound(new_story):
    story = refused(new_story(buckets=(GLOBAL, ORDERS)), entity="-").at(1.5)
    story.request("GET /fills")
    assert judge(story).verdict == "pass"

    story.at(1.9).request("POST /orders")
    assert judge(story).verdict == "fail"


def test_service_unavailable_binds_its_own_endpoint_only(new_story):
    story = refused(new_story(buckets=(GLOBAL,)), status=503, entity="-").at(1.5)
    story.request("GET /fills")
    assert judge(story).verdict == "pass"

    story.at(1.9).request("POST /orders")
    assert judge(story).verdict == "fail"


@pytest.mark.parametrize("wait", [0.0, -3.0])
def test_a_refusal_that_asks_for_no_time_binds_nobody(story, wait):
    assert judge(send(refused(story, wait=wait), 1.1, entity="I1")).verdict == "unknown"


def test_other_answers_with_a_time_bind_nobody(story):
    assert judge(send(refused(story, status=301), 1.1, entity="I1")).verdict == "unknown"


def test_a_refusal_of_a_request_that_never_arrived_binds_nobody(story):
    assert judge(send(story.respond(99, 429, wait=2.0), 1.0)).verdict == "pass"


def test_the_finding_names_the_intent_that_did_not_wait(story):
    verdict = judge(send(refused(story.place("I1")), 1.1, entity="I1"))

    assert (verdict.findings[0].intent, verdict.findings[0].t) == ("I1", 1.1)


# Against the definition, read literally

sends = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 3)), max_size=40)


@given(sends=sends, limit=st.integers(1, 6), window=st.integers(1, 20), kind=st.sampled_from(["sliding", "fixed"]))
def test_it_agrees_with_looking_at_every_window(sends, limit, window, kind):
    bucket = RateBucket("b", limit, window / 10, (("*", 1),), kind)
    ordered = [Send(tick / 10, weight, n) for n, (tick, weight) in enumerate(sorted(sends))]

    over = [
        last
        for last, send in enumerate(ordered)
        if sum(
            earlier.weight
            for earlier in ordered[: last + 1]
            if (
                round(send.t * 10) - round(earlier.t * 10) < window
                if kind == "sliding"
                else round(send.t * 10) // window == round(earlier.t * 10) // window
            )
        )
        > limit
    ]

    found = bursts(bucket, ordered)
    assert sum(burst.over for burst in found) == len(over)
    assert [burst.last.request for burst in found] == [last for last in over if last + 1 not in over]

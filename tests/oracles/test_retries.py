"""What the oracles of retries say of hand-made histories: each rule broken, each trap that must not count as broken."""

from __future__ import annotations

import pytest

from faultline.history import RateBucket
from faultline.oracles import Backoff, RetryAfterHonoured, RetryBudget, RetryPolicy


def attempts(story, *times, entity="I1", status=503, **fields):
    """Sent at ``times``, each answered ``status`` 10 ms later."""
    for t in times:
        number = story.at(t).request(entity=entity, **fields)
        story.at(t + 0.01).respond(number, status)
    return story


# retry_budget


def test_one_attempt_too_many_is_over_the_budget(story):
    verdict = RetryBudget(attempts_max=3).judge(attempts(story, 1, 2, 3, 4, 5).end())

    assert verdict.count == 1
    assert verdict.why == "POST /orders for I1 was sent 4 times by 4.000 s (request 4); 3 are allowed"


def test_attempts_count_per_call_and_per_process_and_copies_of_ours_do_not(story):
    attempts(story, 1, 2).at(2.5)
    attempts(story, 3, 3.1, injected=True)
    attempts(story, 4, 5, entity="I2")
    attempts(story, 5.2, 5.3, 5.4, entity="-")
    story.crash().boot()
    verdict = RetryBudget(attempts_max=2).judge(attempts(story, 6, 7).end())

    assert (verdict.verdict, verdict.judged) == ("pass", 3)


def test_a_budget_over_a_time_forgets_what_is_older(story):
    attempts(story, 1, 2, 3, 11, 12)

    assert RetryBudget(attempts_max=3, within_s=10).judge(story.history()).verdict == "pass"
    assert RetryBudget(attempts_max=2, within_s=10).judge(story.history()).verdict == "fail"


def test_many_calls_that_retry_a_little_can_be_too_much_together(story):
    for number in range(20):
        attempts(story, number * 0.1, number * 0.1 + 0.05, entity=f"I{number}")
    history = story.end()

    assert RetryBudget().judge(history).verdict == "pass"
    assert RetryBudget(ratio_max=1.0).judge(history).verdict == "pass"
    verdict = RetryBudget(ratio_max=0.2).judge(history)
    assert "the client sent 11 retries beside 11 first attempts; 20% are allowed" in verdict.why


def test_ten_retries_are_always_within_the_ratio(story):
    for number in range(10):
        attempts(story, number, number + 0.5, entity=f"I{number}")

    assert RetryBudget(ratio_max=0.01, window_s=100).judge(story.end()).verdict == "pass"


# retry_policy


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_a_definite_refusal_is_not_asked_again(story, status):
    verdict = RetryPolicy().judge(attempts(story, 1, 2, status=status).end())

    assert verdict.verdict == "fail"
    assert f"refused for good ({status}, request 1) and sent again at 2.000 s (request 2)" in verdict.why


@pytest.mark.parametrize("status", [401, 429, 418])
def test_a_request_that_was_not_read_may_be_sent_again(story, status):
    assert RetryPolicy().judge(attempts(story, 1, 2, status=status).end()).verdict == "pass"


def test_a_refusal_that_nobody_heard_or_that_another_process_heard_binds_nobody(story):
    number = story.at(1).request(entity="I1")
    story.at(1.01).respond(number, 422, fate="lost").request("GET /orders")
    attempts(story, 2, status=422)
    story.at(3).crash().boot()
    story.request("GET /orders")

    assert RetryPolicy().judge(attempts(story, 4).end()).verdict == "pass"


def test_a_poll_may_be_repeated_whatever_it_was_told(story):
    assert RetryPolicy().judge(attempts(story, 1, 2, 3, status=403, endpoint="GET /orders").end()).verdict == "unknown"


def ordered(story, at, entity="I1", order="o1"):
    number = story.at(at).request(entity=entity)
    story.order(order, entity, request=number)
    return number


def test_an_order_that_may_exist_is_not_sent_again_blind(new_story):
    story = new_story(idempotency="none")
    ordered(story, 1)
    story.at(4).request(entity="I1")
    verdict = RetryPolicy().judge(story.end())

    assert verdict.why == (
        "POST /orders for I1 was sent again at 4.000 s (request 2) although request 1 may have been carried out, and "
        "nothing was asked in between"
    )


def test_asking_first_or_a_venue_that_knows_the_key_makes_a_resend_safe(new_story):
    asked = new_story(idempotency="none")
    ordered(asked, 1)
    asked.at(3).respond(asked.request("GET /orders", entity="I1"))
    asked.at(4).request(entity="I1")
    assert RetryPolicy().judge(asked.end()).verdict == "pass"

    for scope in ("first_result", "unique_forever"):
        known = new_story(idempotency=scope)
        ordered(known, 1)
        known.at(4).request(entity="I1")
        assert RetryPolicy().judge(known.end()).verdict == "pass"


def test_a_question_that_was_not_answered_tells_nothing(new_story):
    story = new_story(idempotency="none")
    ordered(story, 1)
    story.at(3).respond(story.request("GET /orders", entity="I1"), 503)
    story.at(4).request(entity="I1")

    assert RetryPolicy().judge(story.end()).verdict == "fail"


def test_a_refusal_with_a_time_to_wait_was_not_carried_out(new_story):
    story = new_story(idempotency="none")
    ordered(story, 1, "I9", "o9")
    number = story.at(2).request(entity="I1")
    story.at(2.01).respond(number, 503, wait=1.0)
    story.at(4).request(entity="I1")

    assert RetryPolicy().judge(story.end()).verdict == "pass"


def test_an_order_is_not_sent_once_its_cancel_was_told_done(story):
    ordered(story.place("I1"), 1)
    story.at(2).cancel("C1", of="I1").cancelled("o1").answer("C1")
    assert RetryPolicy().judge(story.history()).verdict == "pass"

    story.at(3).crash().boot().at(4).request(entity="I1")
    verdict = RetryPolicy().judge(story.end())
    assert "after its cancel was answered ok at 2.02" in verdict.why


def test_a_cancel_that_failed_binds_nobody(story):
    ordered(story.place("I1"), 1)
    story.at(2).cancel("C1", of="I1").answer("C1", "fail")
    story.at(3).crash().boot().at(4).request(entity="I1")

    assert RetryPolicy().judge(story.end()).verdict == "unknown"


# backoff


def test_a_retry_before_its_delay_is_seen_and_the_last_delay_holds_on(story):
    declared = Backoff(delays_s=(1.0, 2.0))
    assert declared.judge(attempts(story, 1, 2, 4, 6, 8).history()).verdict == "pass"

    verdict = declared.judge(attempts(story, 9.9).end())
    assert verdict.count == 1
    assert verdict.why == (
        "POST /orders for I1 was sent again after 1.9s, before the 2s that are due (requests 5 and 6, 9.900 s)"
    )


def test_after_a_success_the_delays_begin_anew(story):
    attempts(story, 1, 2)
    attempts(story, 4, status=200)

    assert Backoff(delays_s=(1.0, 2.0, 9.0)).judge(attempts(story, 4.5, 5.5).end()).verdict == "pass"


def test_a_new_token_and_a_wait_that_was_told_are_not_backoff(story):
    attempts(story, 1, status=401)
    number = story.at(1.05).request(entity="I1")
    story.respond(number, 429, wait=0.01)

    assert Backoff(delays_s=(1.0,)).judge(attempts(story, 1.1).end()).verdict == "unknown"


def test_a_retry_that_comes_far_too_late_is_seen_only_where_slack_is_stated(story):
    attempts(story, 1, 30)

    assert Backoff(delays_s=(1.0,)).judge(story.history()).verdict == "pass"
    verdict = Backoff(delays_s=(1.0,), slack_s=5).judge(story.end())
    assert "27.99s after its failure was heard, where 1s were due" in verdict.why


def test_a_failure_that_nobody_need_have_heard_has_no_upper_bound(story):
    number = story.at(1).request(entity="I1")
    story.respond(number, 503, fate="lost")

    assert Backoff(delays_s=(1.0,), slack_s=1).judge(attempts(story, 30).end()).verdict == "pass"


# retry_after_honoured


def test_a_wait_that_was_heard_and_ignored_is_seen_by_its_own_oracle(new_story):
    bucket = RateBucket("all", 100, 1.0, (("* *", 1),))
    story = new_story(buckets=(bucket,))
    number = story.at(1).request(entity="I1")
    story.at(1.01).respond(number, 429, wait=5.0)
    patient = story.at(6.02).request(entity="I1")
    assert RetryAfterHonoured().judge(story.history()).verdict == "pass"
    assert patient == 2

    story.events.pop()
    story.at(4).request(entity="I1")
    assert RetryAfterHonoured().judge(story.end()).verdict == "fail"


def test_without_a_request_to_wait_there_is_nothing_to_honour(story):
    assert RetryAfterHonoured().judge(attempts(story, 1, 2).end()).verdict == "unknown"

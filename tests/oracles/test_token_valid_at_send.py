from __future__ import annotations

import pytest

from faultline.oracles import TokenValidAtSend

A, B = "<token#1>", "<token#2>"


def judge(story, **parameters):
    return TokenValidAtSend(**parameters).judge(story.end())


def send(story, t, token=A, **fields):
    return story.at(t).request(token=token, **{"entity": "I1"} | fields)


def test_a_token_used_while_it_is_valid_passes(story):
    story.token(A, 10.0).connect(token=A)
    send(story, 9.9)

    verdict = judge(story)

    assert verdict.verdict == "pass"
    assert verdict.why == "2 uses of 1 token"


def test_a_token_sent_after_it_expired_is_found(story):
    send(story.token(A, 10.0), 10.5)

    verdict = judge(story)

    assert verdict.verdict == "fail"
    assert verdict.why == "POST /orders (request 1) was sent at 10.500 s with <token#1>, which had expired at 10.000 s"
    assert verdict.findings[0].t == 10.5


def test_a_token_that_expired_on_the_way_was_valid_when_it_was_sent(story):
    story.token(A, 10.0).at(9.9).request(token=A, arrives=14.0)

    assert judge(story).verdict == "pass"


def test_where_nobody_knows_when_it_was_sent_a_second_is_granted(story):
    story.token(A, 10.0).at(10.8).request(token=A, sent_t=None)
    assert judge(story).verdict == "pass"

    story.at(11.2).request(token=A, sent_t=None)
    assert judge(story).count == 1


def test_copies_that_faultline_made_are_nobodys(story):
    send(story.token(A, 10.0), 9.0)
    send(story, 12.0, injected=True)

    assert judge(story).verdict == "pass"


def test_a_request_that_was_accepted_all_the_same_needed_no_token(story):
    story.token(A, 10.0)
    request = send(story, 11.0)

    assert judge(story.respond(request, 200)).verdict == "pass"


def test_a_request_that_was_refused_needed_one(story):
    story.token(A, 10.0)
    request = send(story, 11.0)

    assert judge(story.respond(request, 401)).verdict == "fail"


def test_an_acceptance_that_faultline_made_up_says_nothing(story):
    story.token(A, 10.0)
    request = send(story, 11.0)

    assert judge(story.respond(request, 200, "replaced")).verdict == "fail"


# Tokens that ended before their time


def revoked(story, *, connection=1, endpoint="POST /orders"):
    story.token(A, 900.0).at(4.9).token_ended(A)
    request = send(story, 5.0, connection=connection)
    return story.at(5.002).respond(request, 401)


def test_a_client_cannot_know_that_a_token_ended_until_it_is_told(story):
    story.token(A, 900.0).at(4.9).token_ended(A)
    send(story, 5.0)
    send(story, 9.0, entity="I2", connection=2)

    assert judge(story).verdict == "pass"


def test_a_resend_with_a_token_that_was_refused_is_found(story):
    send(revoked(story), 5.1)

    verdict = judge(story)

    assert verdict.why == (
        "POST /orders (request 2) was sent at 5.100 s with <token#1>, which the venue had refused with a 401 at 5.002 s"
    )


def test_a_resend_with_the_new_token_is_right(story):
    revoked(story).token(B, 900.0)
    send(story, 5.1, B)

    assert judge(story).verdict == "pass"


def test_requests_that_were_in_flight_when_the_refusal_left_do_not_count(story):
    story.token(A, 900.0).at(4.9).token_ended(A).at(5.0)
    requests = [send(story, 5.0 + n / 1000, entity=f"I{n}", connection=n) for n in (1, 2, 3)]
    for request in requests:
        story.respond(request, 401)

    assert judge(story).verdict == "pass"


def test_others_get_the_time_that_a_refresh_takes(story):
    revoked(story)
    send(story, 5.5, entity="I2")  # on the same connection: by now the refusal was read
    send(story, 5.8, entity="I3")
    assert judge(story).verdict == "pass"
    assert judge(story, grace_s=0.1).count == 1

    send(story, 7.0, entity="I4")
    assert judge(story).count == 1


@pytest.mark.parametrize("fate", ["lost", "cut"])
def test_a_refusal_that_never_arrived_tells_nobody(story, fate):
    story.token(A, 900.0).at(4.9).token_ended(A)
    request = send(story, 5.0)
    story.respond(request, 401, fate)
    send(story, 9.0)

    assert judge(story).verdict == "pass"


def test_a_new_process_does_not_know_what_the_old_one_was_told(story):
    revoked(story).at(6.0).crash().boot()
    send(story, 8.0)

    assert judge(story).verdict == "pass"


def test_a_refusal_that_faultline_made_up_does_not_end_a_token(story):
    story.token(A, 900.0)
    request = send(story, 5.0)
    story.respond(request, 401, "replaced")
    send(story, 9.0)

    assert judge(story).verdict == "pass"


# Streams


def test_a_stream_opened_with_an_expired_token_is_found(story):
    story.token(A, 10.0).at(12.0).connect(3, A)

    assert judge(story).why.startswith("the opening of stream user (connection 3) was sent at 11.000 s with <token#1>")


def test_a_subscription_on_an_open_stream_does_not_use_the_token_anew(story):
    story.token(A, 10.0).at(5.0).connect(3, A).at(40.0).connect(3, A, ("fills",))

    assert judge(story).verdict == "pass"


def test_without_tokens_it_judged_nothing(story):
    send(story, 1.0, token="")

    assert judge(story).verdict == "unknown"


def test_a_token_that_this_venue_never_issued_is_not_judged(story):
    send(story, 1.0, token="<token#9>")

    assert judge(story).judged == 0


def test_an_error_of_another_kind_says_nothing_about_the_token(story):
    story.token(A, 900.0).at(4.9).token_ended(A)
    story.respond(send(story, 5.0), 503)
    send(story, 9.0)

    assert judge(story).verdict == "pass"


def test_the_finding_names_the_intent_if_there_is_one(story):
    story.place("I1").token(A, 10.0)
    send(story, 11.0)
    send(story, 12.0, entity="-")

    assert [finding.intent for finding in judge(story).findings] == ["I1", ""]


def test_the_very_moment_of_expiry_is_in_time(story):
    send(story.token(A, 10.0), 10.0)

    assert judge(story).verdict == "pass"


def test_answers_to_requests_that_never_arrived_do_not_matter(story):
    story.token(A, 10.0).respond(99, 401)
    send(story, 11.0)

    assert judge(story).count == 1

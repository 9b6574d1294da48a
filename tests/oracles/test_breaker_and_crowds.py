"""The breaker, the renewal of tokens, and crowds at the door."""

from __future__ import annotations

import pytest

from faultline.oracles import BreakerLegal, SingleFlightRefresh, ThunderingHerd


def failures(story, *times, status=500):
    for t in times:
        number = story.at(t).request("GET /fills")
        story.at(t + 0.01).respond(number, status)
    return story


FIVE = (1.0, 2.0, 3.0, 4.0, 5.0)


def send(story, t, status=200, takes=0.01, endpoint="GET /fills"):
    number = story.at(t).request(endpoint)
    return story.at(t + takes).respond(number, status)


# breaker_legal. An answer that came promptly is known to be heard a second after it left.


def test_after_five_failures_nothing_is_sent_for_a_minute(story):
    failures(story, *FIVE)
    # Who heard of the last failure as soon as it was answered counts from there.
    assert BreakerLegal().judge(send(story, 65.02).end()).verdict == "pass"


def test_a_send_while_it_is_open_is_seen(story):
    failures(story, *FIVE)
    verdict = BreakerLegal().judge(send(story, 30).end())

    assert verdict.count == 1
    assert "GET /fills (request 6) was sent at 30.000 s while the breaker was open until 65.010 s" in verdict.why


@pytest.mark.parametrize(
    "change",
    [
        lambda story: failures(story, *FIVE[:4]),
        lambda story: send(failures(story, *FIVE[:4]), 4.5),
        lambda story: failures(story, *FIVE[:4], status=422),
        lambda story: failures(story, *FIVE, status=422),
    ],
    ids=["four", "a success between", "refusals", "five refusals"],
)
def test_fewer_failures_a_success_between_or_refusals_do_not_open_it(story, change):
    change(story)
    verdict = BreakerLegal().judge(send(story, 30).end())

    assert (verdict.verdict, verdict.judged) == ("unknown", 0)


def test_failures_that_nobody_need_have_heard_do_not_open_it(story):
    for t in FIVE:
        number = story.at(t).request("GET /fills")
        story.respond(number, 500, fate="lost")

    assert BreakerLegal().judge(send(story, 30).end()).verdict == "unknown"


def test_half_open_lets_three_probes_through_at_once_and_no_fourth(story):
    failures(story, *FIVE)
    for t in (70.0, 70.1, 70.2):
        story.at(t).request("GET /fills")
    assert BreakerLegal().judge(story.history()).verdict == "pass"

    story.at(70.3).request("GET /fills")
    assert "as probe 4 under way; 3 are allowed" in BreakerLegal().judge(story.end()).why


def test_a_probe_that_succeeds_closes_it(story):
    failures(story, *FIVE)
    send(story, 70)
    for t in range(71, 80):
        story.at(t).request("GET /fills")

    assert BreakerLegal().judge(story.end()).verdict == "pass"


def test_a_probe_that_fails_opens_it_again(story):
    failures(story, *FIVE, 70.0)
    verdict = BreakerLegal().judge(send(story, 100).end())

    assert verdict.judged == 2
    assert "was sent at 100.000 s while the breaker was open until 130.010 s" in verdict.why


def test_exempt_endpoints_and_a_new_process_are_not_bound(story):
    failures(story, *FIVE)
    send(story, 20, endpoint="DELETE /orders/{id}")
    assert BreakerLegal().judge(story.history()).verdict == "fail"
    assert BreakerLegal(exempt=("DELETE *",)).judge(story.history()).verdict == "pass"

    story.events.pop()
    story.events.pop()
    story.at(20).crash().boot()
    assert BreakerLegal().judge(send(story, 21).end()).verdict == "pass"


# single_flight_refresh


def renew(story, t, token=None, *, until=900.0, takes=0.05, status=200):
    number = story.at(t).request("POST /auth/refresh")
    if token:
        story.token(token, until)
    return story.at(t + takes).respond(number, status)


def test_renewals_that_overlap_are_seen(story):
    renew(story, 1.0, "<token#1>", takes=0.5)
    verdict = SingleFlightRefresh().judge(renew(story, 1.2, "<token#2>").end())

    assert verdict.why == (
        "POST /auth/refresh (request 2) was sent at 1.200 s, while request 1, sent at 1.000 s, was under way"
    )


def test_a_renewal_right_after_a_good_one_is_seen(story):
    renew(story, 1.0, "<token#1>")
    verdict = SingleFlightRefresh().judge(renew(story, 1.5, "<token#2>").end())

    assert "right after request 1 had brought <token#1>, which was good" in verdict.why


def test_renewals_that_were_needed_or_given_up_are_legal(story):
    renew(story, 1.0, "<token#1>", until=4.0)
    renew(story, 3.0, "<token#2>")
    story.token_ended("<token#2>")
    renew(story, 3.5, "<token#3>")
    renew(story, 100.0, takes=9.0, status=503)
    renew(story, 102.0, "<token#4>")
    assert SingleFlightRefresh().judge(story.history()).verdict == "pass"

    story.at(200).request("POST /auth/refresh")
    story.at(200.1).crash().boot()
    assert SingleFlightRefresh().judge(renew(story, 200.2, "<token#5>").end()).verdict == "pass"


def test_short_lived_tokens_may_be_renewed_often(story):
    for number in range(5):
        renew(story, 1.0 + number * 0.9, f"<token#{number}>", until=1.0 + number * 0.9 + 1.5)

    assert SingleFlightRefresh().judge(story.end()).verdict == "pass"


def test_without_tokens_there_is_nothing_to_judge(story):
    assert SingleFlightRefresh().judge(send(story, 1).end()).verdict == "unknown"


# thundering_herd


def outage(story, count, back):
    for connection in range(1, count + 1):
        story.at(0.001 * connection).connect(connection)
    for connection in range(1, count + 1):
        story.at(10 + 0.01 * connection).disconnect(connection)
    for number, t in enumerate(back):
        story.at(t).connect(count + 1 + number)
    return story


def test_all_at_once_is_a_crowd(story):
    verdict = ThunderingHerd().judge(outage(story, 20, [11 + 0.01 * number for number in range(20)]).end())

    assert "20 connections ended by 10.200 s, and 20 came back within 1s" in verdict.why
    assert verdict.why.endswith("6 are allowed")


def test_a_spread_return_is_none(story):
    verdict = ThunderingHerd().judge(outage(story, 20, [11 + 0.5 * number for number in range(20)]).end())

    assert (verdict.verdict, verdict.judged) == ("pass", 1)


def test_a_few_clients_are_no_herd(story):
    assert ThunderingHerd().judge(outage(story, 19, [11.0] * 19).end()).verdict == "unknown"


def test_subscribing_again_on_the_same_connection_is_no_arrival(story):
    outage(story, 20, [11 + 0.5 * number for number in range(20)])
    for _ in range(20):
        story.connect(21, topics=("orders",))

    assert ThunderingHerd().judge(story.end()).verdict == "pass"

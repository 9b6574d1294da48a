"""Drop, double, swap or alter one event of a history without a flaw, and the right oracle must see it."""

from __future__ import annotations

import msgspec
import pytest

from faultline.history import History, RateBucket
from faultline.history.event import (
    AlertBelief,
    Answer,
    Answered,
    Belief,
    Connected,
    Effect,
    Event,
    Gauge,
    OrderBelief,
    Received,
)
from faultline.oracles import ORACLES


def flawless(new_story) -> list[Event]:
    """Three plain orders, one cancelled, one replaced, one whose outcome was unknown for a while, and a crash."""
    bucket = RateBucket("all", 2, 0.1, (("POST /orders", 1),))
    story = new_story(buckets=(bucket,)).token("<token#1>", 900.0).struck()
    for _ in range(8):
        story.gauge(5).struck()
    for number in (1, 2, 3):
        story.at(number * 1.0).request(entity=f"I{number}", token="<token#1>")
        story.good_order(number)
    story.place("I4").order("o4", "I4").answer("I4").believe("I4 new")
    story.cancel("C4", of="I4").cancelled("o4").answer("C4").believe("I4 canceled")
    story.place("I5").order("o5", "I5").answer("I5").believe("I5 new")
    story.replace("R5", of="I5").replaced("o5", "6", by="R5").answer("R5").fill("o5", "6", "f5")
    story.believe("I5 filled 6", fills=["f5"], positions={"NQ": 18})
    story.place("I6").order("o6", "I6").answer("I6", "info").believe("I6 unknown").believe("I6 new")
    story.alert("unknown order I6").alert("unknown order I6", resolved=True)
    story.crash().boot()
    fills = [f"f{number}{part}" for number in (1, 2, 3) for part in "ab"]
    views = ["I1 filled 4", "I2 filled 4", "I3 filled 4", "I4 canceled", "I5 filled 6", "I6 new"]
    story.believe(*views, fills=[*fills, "f5"], positions={"NQ": 18})
    on_the_wire(story)
    return list(story.end())


def on_the_wire(story) -> None:
    """A renewal, a wait that is heeded, retries, a breaker that opens and closes, an outage for twenty clients."""
    login = story.at(100.0).request("POST /auth/token")
    story.token("<token#2>", 900.0).respond(login)
    refused = story.at(101.0).request("GET /fills")
    story.respond(refused, 429, wait=2.0)
    for attempt in range(5):
        number = story.at(110.0 + attempt).request("DELETE /orders/{id}", entity="I9")
        story.respond(number, 503)
    story.at(180.0).respond(story.request("GET /fills"))
    for connection in range(1, 21):
        story.at(190.0 + connection * 0.01).connect(connection)
    for connection in range(1, 21):
        story.at(191.0 + connection * 0.01).disconnect(connection)
    for connection in range(21, 41):
        story.at(192.0 + connection * 0.4).connect(connection)
    story.at(300.0)


def verdicts(events: list[Event]) -> dict[str, str]:
    history = History(events)
    history.seal()
    return {name: oracle().judge(history).verdict for name, oracle in ORACLES.items()}


def find(events: list[Event], kind: type[Event], **fields: object) -> int:
    return next(
        at
        for at, event in enumerate(events)
        if type(event) is kind and all(getattr(event, name) == value for name, value in fields.items())
    )


def drop(events: list[Event], at: int) -> list[Event]:
    return events[:at] + events[at + 1 :]


def double(events: list[Event], at: int) -> list[Event]:
    return events[: at + 1] + events[at:]


def swap(events: list[Event], at: int, other: int) -> list[Event]:
    first = msgspec.structs.replace(events[at], t=events[other].t)
    second = msgspec.structs.replace(events[other], t=events[at].t)
    swapped = list(events)
    swapped[at], swapped[other] = second, first
    return swapped


def alter(events: list[Event], at: int, **changes: object) -> list[Event]:
    return [*events[:at], msgspec.structs.replace(events[at], **changes), *events[at + 1 :]]


def test_the_history_without_a_flaw_passes_every_oracle(new_story):
    assert set(verdicts(flawless(new_story)).values()) == {"pass"}


@pytest.mark.parametrize(
    ("fields", "oracle"),
    [
        ({"what": "order", "order": "o1"}, "no_lost_ack"),
        ({"what": "order", "order": "o1"}, "no_lost_intent"),
        ({"what": "order", "order": "o6"}, "resolved_unknowns"),
        ({"what": "fill", "fill": "f2a"}, "fills_conserved"),
        ({"what": "fill", "fill": "f2a"}, "no_lost_events"),
        ({"what": "fill", "fill": "f2b"}, "reconciled"),
        ({"what": "cancel", "order": "o4"}, "reconciled"),
        ({"what": "cancel", "order": "o4"}, "no_lost_intent"),
        ({"what": "replace", "order": "o5"}, "no_lost_ack"),
        ({"what": "replace", "order": "o5"}, "fills_conserved"),
        ({"what": "fill", "fill": "f3a"}, "legal_order_states"),
        ({"what": "fill", "fill": "f2b"}, "counter_bounds"),
    ],
)
def test_a_line_missing_from_the_ledger_is_seen(new_story, fields, oracle):
    events = flawless(new_story)

    assert verdicts(drop(events, find(events, Effect, **fields)))[oracle] == "fail"


@pytest.mark.parametrize(
    ("fields", "oracle"),
    [
        ({"what": "order", "order": "o1"}, "no_duplicates"),
        ({"what": "order", "order": "o1"}, "legal_order_states"),
        ({"what": "fill", "fill": "f2a"}, "fills_conserved"),
        ({"what": "cancel", "order": "o4"}, "legal_order_states"),
    ],
)
def test_a_line_that_is_twice_in_the_ledger_is_seen(new_story, fields, oracle):
    events = flawless(new_story)

    assert verdicts(double(events, find(events, Effect, **fields)))[oracle] == "fail"


@pytest.mark.parametrize("oracle", ["legal_order_states", "fills_conserved"])
def test_two_lines_of_the_ledger_in_the_wrong_order_are_seen(new_story, oracle):
    events = flawless(new_story)
    first, second = (find(events, Effect, fill=fill) for fill in ("f1a", "f1b"))

    assert verdicts(swap(events, first, second))[oracle] == "fail"


@pytest.mark.parametrize(
    ("changes", "oracle"),
    [
        ({"intent": "I2"}, "no_duplicates"),
        ({"intent": "I2", "request": 1}, "exposure_bounded"),
        ({"intent": None, "tied_by": ""}, None),
        ({"quantity": "3"}, "fills_conserved"),
    ],
)
def test_an_altered_acceptance_is_seen_or_makes_the_verdict_unknown(new_story, changes, oracle):
    events = flawless(new_story)
    result = verdicts(alter(events, find(events, Effect, what="order", order="o1"), **changes))

    if oracle is None:
        assert {result[name] for name in ("no_duplicates", "no_lost_intent", "no_lost_ack")} == {"unknown"}
    else:
        assert result[oracle] == "fail"


def test_every_change_of_the_final_view_is_seen(new_story):
    events = flawless(new_story)
    last = max(at for at, event in enumerate(events) if type(event) is Belief and event.orders)
    final = events[last]

    assert verdicts(drop(events, last))["reconciled"] == "fail"
    assert verdicts(drop(events, last))["no_lost_ack"] == "fail"
    for at in range(len(final.orders)):
        fewer = final.orders[:at] + final.orders[at + 1 :]
        assert verdicts(alter(events, last, orders=fewer))["no_lost_events"] == "fail"
    for at in range(len(final.fills)):
        fewer = final.fills[:at] + final.fills[at + 1 :]
        result = verdicts(alter(events, last, fills=fewer))
        assert (result["no_lost_events"], result["fills_conserved"]) == ("fail", "fail")
        more = (*final.fills, final.fills[at])
        assert verdicts(alter(events, last, fills=more))["no_duplicates"] == "fail"
    assert verdicts(alter(events, last, positions=(("NQ", "17"),)))["reconciled"] == "fail"


def test_a_belief_told_twice_is_a_fill_applied_twice(new_story):
    events = flawless(new_story)

    assert verdicts(double(events, find(events, Belief, fills=("f1a",))))["no_duplicates"] == "fail"


def test_a_belief_before_what_it_believes_is_seen(new_story):
    events = flawless(new_story)
    belief, effect = find(events, Belief, fills=("f1b",)), find(events, Effect, fill="f1b")

    result = verdicts(swap(events, belief, effect))

    assert (result["reconciled"], result["no_lost_events"]) == ("fail", "fail")


@pytest.mark.parametrize(
    ("fields", "changes", "oracle"),
    [
        ({"endpoint": "POST /auth/token"}, {"token": "<token#2>"}, None),
        ({"endpoint": "GET /fills", "request": 11}, {"sent_t": 102.5, "t": 102.6}, "retry_after_honoured"),
        ({"endpoint": "GET /fills", "request": 11}, {"sent_t": 120.0, "t": 120.1}, "breaker_legal"),
        ({"request": 8}, {"sent_t": 111.05}, "backoff"),
    ],
)
def test_a_request_sent_at_another_time_is_seen(new_story, fields, changes, oracle):
    events = flawless(new_story)
    result = verdicts(sorted(alter(events, find(events, Received, **fields), **changes), key=lambda event: event.t))

    failed = [name for name, word in result.items() if word == "fail" and name != "rate_limit_respected"]
    assert failed == ([] if oracle is None else [oracle])


def test_a_request_that_is_sent_twice_is_seen(new_story):
    events = flawless(new_story)
    login = find(events, Received, endpoint="POST /auth/token")
    assert verdicts(double(events, login))["single_flight_refresh"] == "fail"

    cancel = find(events, Received, request=9)
    assert verdicts(double(events, cancel))["retry_budget"] == "fail"
    assert verdicts(double(events, cancel))["backoff"] == "fail"


def test_a_definite_refusal_in_place_of_an_uncertain_one_is_seen(new_story):
    events = flawless(new_story)

    assert verdicts(alter(events, find(events, Answered, request=6), status=422))["retry_policy"] == "fail"


def test_connections_that_come_back_together_are_seen(new_story):
    events = flawless(new_story)
    crowd = [
        msgspec.structs.replace(event, t=200.0) if isinstance(event, Connected) and event.connection > 20 else event
        for event in events
    ]

    assert verdicts(crowd)["thundering_herd"] == "fail"


def test_a_missing_answer_is_seen(new_story):
    events = flawless(new_story)
    # The place is believed ended in time, which would do; the cancel is nobody's belief.
    assert verdicts(drop(events, find(events, Answer, intent="C4")))["recovers"] == "fail"


def test_an_answer_that_denies_what_happened_is_seen(new_story):
    events = flawless(new_story)

    assert verdicts(alter(events, find(events, Answer, intent="I1"), outcome="fail"))["resolved_unknowns"] == "fail"


def test_a_request_sent_earlier_or_with_a_dead_token_is_seen(new_story):
    events = flawless(new_story)
    third = find(events, Received, entity="I3")
    first = events[find(events, Received, entity="I1")]

    crowded = alter(double(events, third), third, sent_t=first.sent_t + 0.01)
    crowded = alter(crowded, third + 1, sent_t=first.sent_t + 0.02)
    assert verdicts(crowded)["rate_limit_respected"] == "fail"
    assert verdicts(alter(events, third, sent_t=901.0))["token_valid_at_send"] == "fail"


def test_views_that_change_places_are_seen(new_story):
    events = flawless(new_story)
    later, sooner = (find(events, Belief, fills=(fill,)) for fill in ("f1b", "f1a"))

    result = verdicts(swap(events, sooner, later))

    assert (result["legal_order_states"], result["counter_bounds"]) == ("fail", "fail")


def test_a_view_that_denies_an_answer_is_seen(new_story):
    events = flawless(new_story)
    denial = Belief(events[find(events, Answer, intent="I6")].t + 0.001, 1, (OrderBelief("I1", "rejected"),))
    promised = find(events, Answer, intent="I6")

    assert verdicts([*events[: promised + 1], denial, *events[promised + 1 :]])["read_your_writes"] == "fail"


def test_a_first_view_after_a_crash_that_lacks_something_is_seen(new_story):
    events = flawless(new_story)
    first = max(at for at, event in enumerate(events) if type(event) is Belief and event.orders)
    fewer = tuple(
        msgspec.structs.replace(view, filled="3") if view.filled == "4" else view for view in events[first].orders
    )

    assert verdicts(alter(events, first, orders=fewer))["crash_consistent"] == "fail"


def test_an_alert_that_is_told_twice_is_seen(new_story):
    events = flawless(new_story)

    assert (
        verdicts(double(events, find(events, Belief, alerts=(AlertBelief("unknown order I6", "warning"),))))[
            "alerts_delivered"
        ]
        == "fail"
    )


def test_tasks_that_are_there_after_every_fault_are_seen(new_story):
    events, number = [], 0
    for event in flawless(new_story):
        number += type(event) is Gauge
        events.append(msgspec.structs.replace(event, tasks=5 + number) if type(event) is Gauge else event)

    assert verdicts(events)["no_leaks"] == "fail"

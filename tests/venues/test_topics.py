"""The stream as the venue sees it, without a wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faultline.faults.actions import ExpireTokens
from faultline.history.event import Connected

from .conftest import EPOCH_S, Bench, Recorded

Make = Any


def say(venue: Bench, connection: Recorded, text: object) -> None:
    venue.venue.received(connection, text if isinstance(text, str) else json.dumps(text))


def test_a_connection_that_did_not_subscribe_gets_nothing(bench: Make) -> None:
    venue = bench()
    silent, subscribed = venue.connect(), venue.subscribe()
    venue.place("k1")
    venue.turn(10.0)
    assert silent.messages == []
    assert [body["topic"] for body in subscribed.take() if body["topic"] != "heartbeat"] == [
        "subscribed", "orders", "fills", "orders",
    ]  # fmt: skip


def test_a_reconnect_is_not_a_resubscribe(bench: Make) -> None:
    venue = bench()
    first = venue.subscribe()
    venue.venue.disconnected(first, 1006)
    second = venue.connect()
    first.take()
    venue.place("k1")
    venue.turn(3.0)
    assert first.messages == []
    assert second.messages == []


def test_only_the_topics_asked_for_come(bench: Make) -> None:
    venue = bench()
    connection = venue.subscribe("fills")
    venue.place("k1")
    venue.turn(0.5)
    assert [body["topic"] for body in connection.take()] == ["subscribed", "fills"]
    say(venue, connection, {"op": "unsubscribe", "topics": ["fills"]})
    venue.place("k2")
    venue.turn(0.4)
    assert [body["topic"] for body in connection.take()] == ["unsubscribed"]


def test_each_topic_counts_for_itself_the_same_on_all_connections(bench: Make) -> None:
    venue = bench()
    early = venue.subscribe()
    venue.place("k1")
    venue.turn(0.5)
    late = venue.subscribe()
    assert late.take()[0]["last_sequence"] == {"fills": 1, "orders": 2}
    venue.place("k2")
    venue.turn(0.4)
    assert [(body["topic"], body["sequence"]) for body in late.take()] == [("orders", 3), ("fills", 2), ("orders", 4)]
    numbers = [body["sequence"] for body in early.take("orders")]
    assert numbers == [1, 2, 3, 4]


def test_stream_numbers_of_fills_are_those_of_the_query(bench: Make) -> None:
    venue = bench()
    connection = venue.subscribe("fills")
    for _ in range(3):
        venue.place(type="market")
    streamed = [(body["sequence"], body["data"]) for body in connection.take("fills")]
    assert [data for _, data in streamed] == venue.json("GET", "/fills")["fills"]
    assert [sequence for sequence, _ in streamed] == [1, 2, 3]


def test_without_sequences_no_number_is_told(bench: Make) -> None:
    venue = bench(sequences=False, snapshot_on_subscribe=True)
    connection = venue.subscribe()
    venue.place(type="market")
    venue.turn(1.0)
    assert all(message.sequence == 0 for message in connection.messages)
    assert "sequence" not in "".join(message.body for message in connection.messages)
    assert venue.json("GET", "/fills")["fills"][0]["sequence"] == 1


def test_a_snapshot_of_open_orders_follows_the_subscription(bench: Make) -> None:
    venue = bench(snapshot_on_subscribe=True)
    venue.place("done", type="market")
    venue.place("open")
    subscribed, snapshot = venue.subscribe().take()
    assert subscribed["topic"] == "subscribed"
    assert snapshot["topic"] == "snapshot"
    assert [order["client_order_id"] for order in snapshot["orders"]] == ["open"]
    assert snapshot["last_sequence"] == {"fills": 1, "orders": 3}


def test_heartbeats_come_while_a_connection_is_subscribed(bench: Make) -> None:
    venue = bench(heartbeat_s=2.0)
    connection = venue.subscribe()
    say(venue, connection, {"op": "subscribe", "topics": ["fills"]})
    venue.turn(6.5)
    beats = connection.take("heartbeat")
    assert [beat["time"] for beat in beats] == [EPOCH_S + 2, EPOCH_S + 4, EPOCH_S + 6]
    assert beats[0]["last_sequence"] == {"fills": 0, "orders": 0}
    venue.venue.disconnected(connection, 1000)
    venue.turn(10.0)
    assert connection.messages == []


def test_messages_name_the_intent_and_its_kth_effect(bench: Make) -> None:
    venue = bench(idempotency="none")
    venue.parts.announce("i1")
    connection = venue.subscribe()
    venue.place("x")
    venue.place("y")
    venue.place("stranger", price="999")
    venue.turn(0.5)
    named = [(m.topic, m.entity, m.subject, m.control) for m in connection.messages if not m.control]
    assert named == [
        ("orders", "i1/1", "order1", False),
        ("orders", "i1/2", "order2", False),
        ("orders", "-/1", "order3", False),
        ("fills", "i1/1", "fill1", False),
        ("orders", "i1/3", "order1", False),
        ("fills", "i1/2", "fill2", False),
        ("orders", "i1/4", "order2", False),
        ("fills", "-/1", "fill3", False),
        ("orders", "-/2", "order3", False),
    ]


def test_everything_else_is_control(bench: Make) -> None:
    venue = bench(snapshot_on_subscribe=True)
    connection = venue.subscribe()
    say(venue, connection, {"op": "ping"})
    venue.turn(1.0)
    assert [json.loads(message.body)["topic"] for message in connection.messages] == [
        "subscribed", "snapshot", "pong", "heartbeat",
    ]  # fmt: skip
    assert all(message.control for message in connection.messages)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '{"op": 1}',
        '{"op": "dance"}',
        '{"op": "subscribe", "topics": ["books"]}',
        "\ud800",
        '{"more":' + "[" * 99999,
    ],
)
def test_what_cannot_be_read_is_answered_with_an_error(bench: Make, text: str) -> None:
    venue = bench()
    connection = venue.connect()
    say(venue, connection, text)
    (error,) = connection.take()
    assert error["topic"] == "error"
    venue.place("k1")
    assert connection.messages == []


@pytest.mark.parametrize(
    ("path", "token", "code"), [("/stream", "wrong", 4401), ("/stream", "", 4401), ("/other", None, 4404)]
)
def test_a_bad_token_or_path_is_closed_and_never_served(bench: Make, path: str, token: str | None, code: int) -> None:
    venue = bench()
    connection = venue.connect(path, token)
    assert connection.closed == code
    say(venue, connection, {"op": "subscribe", "topics": ["fills"]})
    assert connection.messages == []
    venue.venue.disconnected(connection, code)


def test_an_open_stream_survives_its_token_but_a_new_one_needs_a_valid_one(bench: Make) -> None:
    venue = bench()
    connection = venue.subscribe()
    venue.venue.expire_tokens(ExpireTokens())
    venue.turn(1.0)
    assert connection.take("heartbeat")
    assert venue.connect().closed == 4401


def test_subscriptions_are_in_the_history(bench: Make) -> None:
    venue = bench()
    venue.subscribe("fills")
    (event,) = venue.of(Connected)
    assert (event.connection, event.stream, event.topics, event.token) == (1, "user", ("fills",), "<token#1>")

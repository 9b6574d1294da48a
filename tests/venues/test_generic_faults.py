"""What faults may decide inside the venue: refusals, partial and late fills, old answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faultline.faults.actions import Delay, Drop, FillPart, Reject, Stale
from faultline.history.event import Effect

from .conftest import Bench

Make = Any


def fills(venue: Bench) -> list[tuple[float, str]]:
    return [(round(event.t, 6), event.quantity) for event in venue.of(Effect) if event.what == "fill"]


def points(venue: Bench, endpoint: str) -> list[tuple[str, int]]:
    asked = venue.decider.asked
    return [(moment.point.entity, moment.point.nth) for moment in asked if moment.point.endpoint == endpoint]


def test_an_order_is_refused_and_can_be_looked_up(bench: Make) -> None:
    venue = bench()
    venue.parts.announce("i1")
    venue.decider.strike("accept", "decide", Reject("insufficient_funds"))
    refused = venue.place("i1")
    body = json.loads(refused.body)
    assert (refused.status, body["error"], body["message"]) == (422, "rejected", "insufficient_funds")
    assert venue.json("GET", f"/orders/{body['order']['order_id']}")["reason"] == "insufficient_funds"
    (effect,) = venue.of(Effect)
    assert (effect.what, effect.intent, effect.before, effect.after) == ("reject", "i1", "", "rejected")
    assert venue.venue.effects() == 1  # the login
    assert venue.parts.resolved() == ["not_applied"]
    assert venue.place("i1").status == 201


def test_under_first_result_a_refusal_is_answered_again(bench: Make) -> None:
    venue = bench(idempotency="first_result")
    venue.decider.strike("accept", "decide", Reject("no"))
    assert [venue.place("k").status, venue.place("k").status] == [422, 422]
    assert len(venue.of(Effect)) == 1


def test_a_fill_comes_in_parts(bench: Make) -> None:
    venue = bench()
    venue.decider.strike("match", "decide", FillPart(3, 0.5))
    venue.place("k1", quantity="1")
    venue.turn(0.5)
    assert venue.json("GET", "/orders/order1")["status"] == "partially_filled"
    assert venue.parts.resolved() == ["applied"]
    assert not venue.venue.idle()
    venue.turn(5.0)
    assert fills(venue) == [(0.3, "0.33333333"), (0.8, "0.33333333"), (1.3, "0.33333334")]
    assert venue.json("GET", "/orders/order1")["status"] == "filled"
    assert venue.venue.idle()


def test_a_market_order_is_filled_in_parts_from_the_first_moment(bench: Make) -> None:
    venue = bench()
    venue.decider.strike("match", "decide", FillPart(2, 1.0))
    assert json.loads(venue.place(type="market").body)["status"] == "partially_filled"
    venue.turn(1.0)
    assert fills(venue) == [(0.0, "1"), (1.0, "1")]


def test_parts_that_remain_are_not_filled_after_a_cancel(bench: Make) -> None:
    venue = bench()
    venue.decider.strike("match", "decide", FillPart(2, 1.0))
    venue.place("k1")
    venue.turn(0.5)
    assert venue.json("DELETE", "/orders/order1")["filled"] == "1"
    venue.turn(5.0)
    assert len(fills(venue)) == 1
    assert venue.venue.idle()


def test_parts_follow_a_change_of_size(bench: Make) -> None:
    venue = bench()
    venue.decider.strike("match", "decide", FillPart(3, 1.0))
    venue.place("k1", quantity="3")
    venue.turn(0.5)
    venue.send("PUT", "/orders/order1", {"quantity": "7", "price": "100"})
    venue.turn(5.0)
    assert [quantity for _, quantity in fills(venue)] == ["1", "3", "3"]


def test_a_fill_can_be_late_and_then_in_parts(bench: Make) -> None:
    venue = bench()
    venue.decider.strike("match", "decide", Delay(2.0), FillPart(2, 0.5))
    venue.place("k1")
    venue.turn(2.0)
    assert fills(venue) == []
    assert not venue.venue.idle()
    venue.turn(5.0)
    assert [t for t, _ in fills(venue)] == [2.3, 2.8]
    assert venue.parts.resolved() == ["applied", "applied"]


def test_a_late_fill_of_an_order_that_was_cancelled_was_not_applied(bench: Make) -> None:
    venue = bench()
    venue.decider.strike("match", "decide", Delay(2.0))
    venue.place("k1")
    venue.turn(1.0)
    venue.send("DELETE", "/orders/order1")
    venue.turn(5.0)
    assert venue.parts.resolved() == ["not_applied"]
    assert fills(venue) == []


def test_an_action_that_the_match_cannot_carry_says_so(bench: Make) -> None:
    venue = bench()
    venue.decider.strike("match", "decide", Drop())
    venue.place("k1")
    venue.turn(1.0)
    assert venue.parts.resolved() == ["not_applied"]
    assert len(fills(venue)) == 1


def test_a_read_is_answered_from_the_past(bench: Make) -> None:
    venue = bench()
    venue.place("k1")
    venue.turn(1.0)
    venue.decider.strike("read", "decide", Stale(0.9))
    assert venue.json("GET", "/orders/order1")["status"] == "new"
    venue.decider.strike("read", "decide", Stale(2.0))
    assert venue.send("GET", "/orders/order1").status == 404
    assert venue.json("GET", "/orders/order1")["status"] == "filled"
    assert venue.parts.resolved() == ["applied", "applied"]


@pytest.mark.parametrize("path", ["/orders", "/fills", "/positions"])
def test_every_read_can_be_stale(bench: Make, path: str) -> None:
    venue = bench()
    before = venue.json("GET", path)
    venue.turn(1.0)
    venue.place(type="market")
    venue.decider.strike("read", "decide", Stale(0.5))
    assert venue.json("GET", path) == before
    assert venue.json("GET", path) != before


def test_a_stale_read_that_says_the_same_was_not_applied(bench: Make) -> None:
    venue = bench()
    venue.place("k1")
    venue.turn(5.0)
    venue.decider.strike("read", "decide", Stale(1.0))
    assert venue.json("GET", "/orders/order1")["status"] == "filled"
    assert venue.parts.resolved() == ["not_applied"]


def test_a_stale_read_never_makes_a_lagging_venue_fresher(bench: Make) -> None:
    venue = bench(read_lag_s=2.0)
    venue.turn(5.0)
    venue.place("k1")
    venue.turn(1.0)
    venue.decider.strike("read", "decide", Stale(0.5))
    assert venue.send("GET", "/orders/order1").status == 404


def test_points_are_named_by_the_intent_and_its_nth_order(bench: Make) -> None:
    venue = bench(idempotency="none")
    venue.parts.announce("i1", price="100")
    venue.parts.announce("i2", price="200")
    for key, price in (("x", "100"), ("y", "200"), ("z", "100"), ("w", "999")):
        venue.place(key, price=price)
    venue.turn(1.0)
    assert points(venue, "accept") == [("i1", 1), ("i2", 1), ("i1", 2), ("-", 1)]
    assert points(venue, "match") == [("i1", 1), ("i2", 1), ("i1", 2), ("-", 1)]
    venue.send("GET", "/orders/order1")
    venue.send("GET", "/orders/order1")
    venue.send("GET", "/fills")
    assert points(venue, "read") == [("i1", 1), ("i1", 2), ("-", 1)]


def test_a_repeated_key_is_no_decision_of_the_venue(bench: Make) -> None:
    venue = bench()
    venue.place("k1")
    venue.place("k1")
    assert len(points(venue, "accept")) == 1

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.faults.actions import ExpireTokens
from faultline.history.attribution import Identity
from faultline.history.event import Effect, Intent, TokenEnded, TokenIssued
from faultline.venues import PROFILES
from faultline.venues.base import Request
from faultline.venues.settings import GenericSettings, RateLimit
from faultline.venues.wire import ENDPOINTS

from .conftest import EPOCH_S, ORDER, Bench, TurnedClock, make_parts

Make = Any


def test_a_limit_order_is_accepted_and_filled_after_its_delay(bench: Make) -> None:
    venue = bench()
    answered = venue.place("k1")
    order = json.loads(answered.body)
    assert answered.status == 201
    assert order == {
        **ORDER, "order_id": "order1", "client_order_id": "k1", "filled": "0", "status": "new", "reason": None,
    }  # fmt: skip
    venue.turn(0.299)
    assert venue.json("GET", "/orders/order1")["status"] == "new"
    assert not venue.venue.idle()
    venue.turn(0.001)
    assert venue.json("GET", "/orders/order1")["status"] == "filled"
    assert venue.json("GET", "/positions") == {"positions": {"NQ": "2"}}
    assert venue.json("GET", "/fills") == {
        "fills": [
            {
                "fill_id": "fill1", "order_id": "order1", "client_order_id": "k1", "symbol": "NQ", "side": "buy",
                "quantity": "2", "price": "100", "fee": "0.04", "sequence": 1,
            }
        ],
        "last_sequence": 1,
    }  # fmt: skip
    assert venue.venue.idle()


def test_a_market_order_is_filled_when_it_is_answered(bench: Make) -> None:
    venue = bench()
    order = json.loads(venue.place(type="market", price=None).body)
    assert (order["status"], order["filled"], order["price"]) == ("filled", "2", None)
    assert venue.json("GET", "/fills")["fills"][0]["price"] == "100"


@pytest.mark.parametrize(
    ("scope", "while_open", "after"),
    [
        ("none", 201, 201),
        ("unique_while_pending", 409, 201),
        ("unique_forever", 409, 409),
        ("first_result", 200, 200),
    ],
)
def test_what_a_repeated_client_order_id_gets(bench: Make, scope: str, while_open: int, after: int) -> None:
    venue = bench(idempotency=scope)
    first = json.loads(venue.place("k1").body)
    again = venue.place("k1")
    venue.turn(1.0)
    later = venue.place("k1")
    assert (again.status, later.status) == (while_open, after)
    if scope == "first_result":
        assert json.loads(later.body)["order_id"] == first["order_id"]
    if again.status == 409:
        assert json.loads(again.body)["error"] == "duplicate_client_order_id"
    listed = venue.json("GET", "/orders", query={"client_order_id": "k1"})["orders"]
    assert len(listed) == 1 + (while_open == 201) + (after == 201)


def test_a_cancelled_order_is_not_filled(bench: Make) -> None:
    venue = bench()
    venue.place("k1")
    assert venue.json("DELETE", "/orders/order1")["status"] == "canceled"
    venue.turn(5.0)
    assert venue.json("GET", "/fills")["fills"] == []
    refused = venue.send("DELETE", "/orders/order1")
    assert (refused.status, json.loads(refused.body)["error"]) == (409, "not_cancelable")
    assert venue.send("DELETE", "/orders/order9").status == 404
    assert venue.venue.idle()


def test_with_a_cancel_delay_the_fill_may_win(bench: Make) -> None:
    venue = bench(cancel_delay_s=0.2)
    venue.place("lost")
    venue.turn(0.2)
    assert venue.json("DELETE", "/orders/order1")["status"] == "pending_cancel"
    venue.place("won")
    assert venue.json("DELETE", "/orders/order2")["status"] == "pending_cancel"
    venue.turn(1.0)
    assert venue.json("GET", "/orders/order1")["status"] == "filled"
    assert venue.json("GET", "/orders/order2")["status"] == "canceled"
    assert venue.venue.idle()


def test_a_replaced_order_is_filled_at_its_new_size_and_price(bench: Make) -> None:
    venue = bench()
    venue.place("k1")
    order = venue.json("PUT", "/orders/order1", {"quantity": "5", "price": "99.5"})
    assert (order["order_id"], order["quantity"], order["price"]) == ("order1", "5", "99.5")
    venue.turn(1.0)
    fill = venue.json("GET", "/fills")["fills"][0]
    assert (fill["quantity"], fill["price"]) == ("5", "99.5")
    assert venue.send("PUT", "/orders/order1", {"quantity": "6", "price": "1"}).status == 409
    assert venue.send("PUT", "/orders/order9", {"quantity": "6", "price": "1"}).status == 404
    assert venue.send("PUT", "/orders/order1", {"quantity": "-6", "price": "1"}).status == 400


def test_resting_orders_rest_and_the_seed_chooses_them_by_intent(bench: Make) -> None:
    def resting(order_first: bool) -> set[str]:
        venue = bench(resting=0.5)
        names = [f"i{number}" for number in range(20)]
        for name in names if order_first else reversed(names):
            venue.parts.announce(name, price=str(100 + names.index(name)))
            venue.place(name, price=str(100 + names.index(name)))
        venue.turn(10.0)
        assert venue.venue.idle()
        return {order["client_order_id"] for order in venue.json("GET", "/orders", query={"status": "open"})["orders"]}

    chosen = resting(order_first=True)
    assert 3 < len(chosen) < 17
    assert resting(order_first=False) == chosen


def test_an_order_that_lives_too_long_expires(bench: Make) -> None:
    venue = bench(resting=1.0, order_life_s=5.0)
    venue.place("k1")
    venue.turn(4.9)
    assert not venue.venue.idle()
    venue.turn(0.1)
    assert venue.json("GET", "/orders/order1")["status"] == "expired"
    assert venue.venue.idle()


def test_reads_trail_the_ledger_by_the_read_lag(bench: Make) -> None:
    venue = bench(read_lag_s=1.0)
    venue.place("k1")
    assert venue.send("GET", "/orders/order1").status == 404
    assert venue.json("GET", "/orders", query={"client_order_id": "k1"}) == {"orders": []}
    venue.turn(1.0)
    assert venue.json("GET", "/orders/order1")["status"] == "new"
    assert venue.json("GET", "/fills") == {"fills": [], "last_sequence": 0}
    assert venue.json("GET", "/positions") == {"positions": {}}
    venue.turn(0.3)
    assert venue.json("GET", "/orders/order1")["status"] == "filled"
    assert venue.json("GET", "/fills")["last_sequence"] == 1


def test_orders_are_listed_by_id_and_by_being_open(bench: Make) -> None:
    venue = bench()
    venue.place("a")
    venue.turn(1.0)
    venue.place("b")
    venue.place("c")

    def listed(**query: str) -> list[str]:
        return [order["client_order_id"] for order in venue.json("GET", "/orders", query=query)["orders"]]

    assert listed() == ["a", "b", "c"]
    assert listed(status="open") == ["b", "c"]
    assert listed(client_order_id="c,a") == ["a", "c"]
    assert listed(client_order_id="c,a", status="open") == ["c"]
    assert listed(client_order_id="z") == []
    assert venue.send("GET", "/orders", query={"status": "closed"}).status == 400


def test_fills_come_in_pages(bench: Make) -> None:
    venue = bench()
    for _ in range(4):
        venue.place(type="market")
    page = venue.json("GET", "/fills", query={"since": "1", "limit": "2"})
    assert [fill["sequence"] for fill in page["fills"]] == [2, 3]
    assert page["last_sequence"] == 4
    for query in ({"since": "-1"}, {"since": "x"}, {"limit": "²"}, {"limit": "9" * 30}):
        assert venue.send("GET", "/fills", query=query).status == 400


# Doors


def test_everything_but_the_front_door_needs_a_token(bench: Make) -> None:
    venue = bench()
    for endpoint in ENDPOINTS:
        method, path = endpoint.split()
        status = venue.send(method, path.replace("{id}", "7"), token="wrong").status
        assert (status == 401) == (endpoint not in ENDPOINTS[:4]), endpoint
    assert venue.json("GET", "/time", token="") == {"time": EPOCH_S}
    assert venue.json("GET", "/health", token="") == {"status": "ok"}
    assert venue.send("GET", "/orders", token="").status == 401


def test_a_token_ends_with_its_time_and_a_refresh_gives_another(bench: Make) -> None:
    venue = bench(token_ttl_s=60.0)
    granted = venue.login()
    assert granted["expires_in"] == 60.0
    venue.turn(60.0)
    assert venue.send("GET", "/orders").status == 401
    body = {"refresh_token": granted["refresh_token"]}
    fresh = venue.json("POST", "/auth/refresh", body, token="")
    assert venue.send("GET", "/orders", token=fresh["access_token"]).status == 200
    assert venue.send("POST", "/auth/refresh", body, token="").status == 401
    assert [event.until_t for event in venue.of(TokenIssued)] == [60.0, 60.0, 120.0]


def test_tokens_expire_when_a_fault_says_so(bench: Make) -> None:
    venue = bench()
    granted = venue.login()
    venue.venue.expire_tokens(ExpireTokens(refresh_too=True))
    assert venue.send("GET", "/orders").status == 401
    assert venue.send("POST", "/auth/refresh", {"refresh_token": granted["refresh_token"]}).status == 401
    assert [event.token for event in venue.of(TokenEnded)] == ["<token#1>", "<token#2>"]


def test_no_secret_is_in_the_history(bench: Make) -> None:
    venue = bench()
    granted = venue.login()
    venue.place("k1")
    text = repr(list(venue.history))
    assert granted["access_token"] not in text
    assert granted["refresh_token"] not in text
    assert "<token#2>" in text


@pytest.mark.parametrize("body", [{"client_id": "", "client_secret": "s"}, {"client_id": "c", "client_secret": ""}])
def test_a_login_without_credentials_is_refused(bench: Make, body: object) -> None:
    assert bench().send("POST", "/auth/token", body, token="").status == 401


def test_the_rate_limit_comes_before_everything_else(bench: Make) -> None:
    limit = RateLimit(name="orders", limit=2, window_s=10.0, weights={"POST /orders": 1})
    venue = bench(rate_limit=(limit,), ban_after=1, ban_s=60.0)
    answers = [venue.place(), venue.send("POST", "/orders", b"garbage"), venue.place()]
    assert [answer.status for answer in answers] == [201, 400, 429]
    assert dict(answers[0].headers)["X-RateLimit-Remaining"] == "1"
    assert dict(answers[2].headers)["Retry-After"] == "10"
    assert json.loads(answers[2].body)["error"] == "rate_limited"
    assert venue.send("GET", "/time").status == 200
    assert venue.place().status == 418
    assert venue.send("GET", "/time").status == 418
    assert len(venue.of(Effect)) == 1


# Whatever arrives


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"symbol": "NQ"}',
        b'{"symbol": "NQ", "side": "hold", "type": "limit", "quantity": "1", "price": "1"}',
        b'{"symbol": "NQ", "side": "buy", "type": "limit", "quantity": "1"}',
        b'{"symbol": "NQ", "side": "buy", "type": "limit", "quantity": "one", "price": "1"}',
        b'{"symbol": "NQ", "side": "buy", "type": "limit", "quantity": "NaN", "price": "1"}',
        b'{"symbol": "NQ", "side": "buy", "type": "limit", "quantity": "1e999999999", "price": "1"}',
        b"[" * 100_000,
        b'{"more": ' + b"[" * 100_000,
        '{"symbol": "\ud800"'.encode("utf-8", "surrogatepass"),
    ],
)
def test_a_body_that_is_no_order_is_a_400_and_shows_nothing(bench: Make, body: bytes) -> None:
    venue = bench()
    answered = venue.send("POST", "/orders", body)
    assert (answered.status, json.loads(answered.body)["error"]) == (400, "bad_request")
    assert venue.venue.identify(Request("POST", "/orders", body=body)) == Identity(op="place")
    assert venue.of(Effect) == []


_FUZZED = Bench(make_parts(TurnedClock()))


@settings(max_examples=100, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "BREW"]),
    path=st.one_of(
        st.sampled_from(["/orders", "/orders/", "/orders/1/2", "/orders/order1", "/fills", "/auth/token"]),
        st.text(max_size=40),
    ),
    query=st.dictionaries(st.sampled_from(["client_order_id", "status", "since", "limit"]), st.text(max_size=12)),
    headers=st.dictionaries(st.just("authorization"), st.text(max_size=20)),
    body=st.one_of(st.binary(max_size=60), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
        lambda value: json.dumps(value).encode()
    )),
)  # fmt: skip
def test_no_request_makes_the_venue_raise(
    method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    if not _FUZZED.token:
        _FUZZED.login()
    venue = _FUZZED.venue
    for more in (headers, {"authorization": f"Bearer {_FUZZED.token}"}):
        request = Request(method, path, query, more, body)
        answered = venue.handle(request)
        json.loads(answered.body)
        assert 200 <= answered.status < 500
        venue.identify(request)
        venue.token_of(request)
        assert len(venue.endpoint(request)) <= 120


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/orders/", 404), ("PATCH", "/orders", 405), ("DELETE", "/time", 405)],
)
def test_an_unknown_path_is_a_404_and_a_wrong_method_a_405(bench: Make, method: str, path: str, status: int) -> None:
    assert bench().send(method, path).status == status


def test_head_is_answered_as_get(bench: Make) -> None:
    assert bench().send("HEAD", "/orders").status == 200


# What it shows of itself


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("POST", "/orders", "POST /orders"),
        ("GET", "/orders", "GET /orders"),
        ("GET", "/orders/order7", "GET /orders/{id}"),
        ("DELETE", "/orders/x-y", "DELETE /orders/{id}"),
        ("GET", "/orders/a/b", "GET /orders/a/b"),
    ],
)
def test_endpoints_have_their_ids_replaced(bench: Make, method: str, path: str, endpoint: str) -> None:
    assert bench().venue.endpoint(Request(method, path)) == endpoint


def test_requests_show_their_key_their_order_and_what_they_want(bench: Make) -> None:
    identify = bench().venue.identify
    placed = identify(Request("POST", "/orders", body=json.dumps({**ORDER, "client_order_id": "k1"}).encode()))
    assert (placed.key, placed.op, dict(placed.fields)["price"]) == ("k1", "place", "100")
    assert identify(Request("DELETE", "/orders/o1")) == Identity(order="o1", op="cancel")
    assert identify(Request("PUT", "/orders/o1", body=b"{}")) == Identity(order="o1", op="replace")
    assert identify(Request("GET", "/orders/o1")) == Identity(order="o1")
    assert identify(Request("GET", "/orders", {"client_order_id": "k1"})) == Identity(key="k1")
    assert identify(Request("GET", "/fills")) == Identity()


def test_effects_are_tied_to_the_intents_that_wanted_them(bench: Make) -> None:
    venue = bench(resting=1.0)
    parts = venue.parts
    parts.announce("buy-one", price="100")
    parts.announce("buy-two", price="200")
    venue.place("buy-one", price="100")
    venue.place("own-key", price="200.0")
    venue.place("stranger", price="300")
    parts.attribution.announce(_cancel("cancel-two", of="buy-two"))
    venue.send("DELETE", "/orders/order2")
    venue.send("DELETE", "/orders/order3")
    tied = [(event.what, event.order, event.intent, event.tied_by) for event in venue.of(Effect)]
    assert tied == [
        ("order", "order1", "buy-one", "key"),
        ("order", "order2", "buy-two", "watermark"),
        ("order", "order3", None, ""),
        ("cancel", "order2", "cancel-two", "order"),
        ("cancel", "order3", None, ""),
    ]


def _cancel(intent: str, of: str) -> Any:
    return Intent(t=0.0, id=intent, op="cancel", of=of)


def test_a_fill_is_tied_through_its_order_and_names_its_request(bench: Make) -> None:
    venue = bench()
    venue.parts.announce("i1")
    raw = json.dumps({**ORDER, "client_order_id": "k1"}).encode()
    headers = {"authorization": f"Bearer {venue.token}"}
    venue.venue.handle(Request("POST", "/orders", {}, headers, raw, number=7))
    venue.turn(1.0)
    order, fill = venue.of(Effect)
    assert (order.what, order.intent, order.tied_by, order.request) == ("order", "i1", "watermark", 7)
    assert (fill.what, fill.intent, fill.tied_by, fill.request) == ("fill", "i1", "order", 0)
    assert (fill.before, fill.after, fill.quantity, fill.filled, fill.fill, fill.fee) == (
        "new", "filled", "2", "2", "fill1", "0.04",
    )  # fmt: skip
    assert (order.sequence, fill.sequence, fill.t) == (1, 2, 0.3)


def test_the_ledger_grows_exactly_when_something_took_effect(bench: Make) -> None:
    venue = bench()
    seen = [venue.venue.effects()]

    def grew() -> bool:
        seen.append(venue.venue.effects())
        return seen[-1] > seen[-2]

    venue.place("k1")
    assert grew()
    venue.place("k1")
    assert not grew()
    venue.send("GET", "/orders")
    assert not grew()
    venue.send("DELETE", "/orders/order1")
    assert grew()
    venue.login()
    assert grew()


def test_first_times_are_marked(bench: Make) -> None:
    venue = bench()
    venue.place("k1")
    venue.turn(1.0)
    assert venue.parts.injector.marks == {"order": 0.0, "fill": 0.3}


def test_the_contract_says_what_the_settings_promise() -> None:
    chosen = GenericSettings(
        idempotency="unique_forever", read_lag_s=0.5, token_ttl_s=60.0, sequences=False, snapshot_on_subscribe=True,
        rate_limit=(RateLimit(name="a", limit=3, window_s=1.0, kind="fixed", weights={"POST /orders": 2}),),
        fill_delay_s=7.0, cancel_delay_s=1.0,
    )  # fmt: skip
    parts = make_parts(TurnedClock())
    contract = PROFILES["generic"].contract(chosen, parts.history.contract.policy)
    assert (contract.venue, contract.idempotency, contract.read_lag_s) == ("generic", "unique_forever", 0.5)
    assert (contract.token_ttl_s, contract.sequenced, contract.snapshot_on_subscribe) == (60.0, False, True)
    assert contract.settle_s >= 8.0
    (bucket,) = contract.buckets
    assert (bucket.limit, bucket.window_s, bucket.kind, bucket.weights) == (3, 1.0, "fixed", (("POST /orders", 2),))


@pytest.mark.parametrize(
    "make",
    [
        lambda: GenericSettings(heartbeat_s=0.0),
        lambda: GenericSettings(token_ttl_s=0.0),
        lambda: GenericSettings(ban_after=0),
        lambda: RateLimit(name="x", limit=0, window_s=1.0),
        lambda: RateLimit(name="x", limit=1, window_s=0.0),
        lambda: RateLimit(name="x", limit=1, window_s=1.0, weights={"*": -1}),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="more"):
        make()

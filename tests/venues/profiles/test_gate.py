"""The rules of Gate v4 that a well-behaved client never meets."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from faultline.venues import PROFILES, signing
from faultline.venues.base import Request
from faultline.venues.http import split_target
from faultline.venues.profiles.spot import KEY, SECRET
from tests.venues.profiles.kit import Stage, played
from tests.venues.profiles.signed import Ear, answered

LIMIT = {"currency_pair": "BTC_USDT", "side": "buy", "amount": "1", "price": "99.5"}
MARKET = {"currency_pair": "BTC_USDT", "side": "sell", "amount": "1", "type": "market", "time_in_force": "ioc"}
ORDERS, ACCOUNTS = "/api/v4/spot/orders", "/api/v4/spot/accounts"


def ask(
    stage: Stage, method: str, target: str, body: Any = None, *, ahead_s: float = 0.0, **headers: str
) -> tuple[int, Any]:
    raw = b"" if body is None else json.dumps(body).encode()
    stamp = str(int(stage.simulation.start_wall_s + stage.now_s + ahead_s))
    path, _, query = target.partition("?")
    sign = signing.hex_hmac(SECRET, signing.gate_payload(method, path, query, raw, stamp), "sha512")
    sent = {"key": KEY, "timestamp": stamp, "sign": sign} | headers
    return answered(stage, Request(method, path, split_target(target)[1], sent, raw, target=target))


def at_once(body: Callable[[Stage], None], **settings: Any) -> Stage:
    async def main(stage: Stage) -> None:
        body(stage)

    return played("gate", main, **settings)


@pytest.mark.parametrize(
    ("headers", "ahead_s", "label"),
    [
        ({}, 60, None),
        ({}, -60, None),
        ({}, 61, "REQUEST_EXPIRED"),
        ({}, -61, "REQUEST_EXPIRED"),
        ({"timestamp": "now"}, 0, "REQUEST_EXPIRED"),
        ({"sign": ""}, 0, "MISSING_REQUIRED_HEADER"),
        ({"key": "other"}, 0, "INVALID_KEY"),
        ({"sign": "other"}, 0, "INVALID_SIGNATURE"),
    ],
)
def test_only_what_is_signed_in_time_is_obeyed(headers: dict[str, str], ahead_s: float, label: str | None) -> None:
    def body(stage: Stage) -> None:
        status, said = ask(stage, "GET", f"{ACCOUNTS}?currency=BTC", ahead_s=ahead_s, **headers)
        if label is None:
            assert (status, [account["currency"] for account in said]) == (200, ["BTC"])
        else:
            assert (status, said["label"]) == (401, label)

    at_once(body)


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"currency_pair": "NO_PE"}, "INVALID_CURRENCY_PAIR"),
        ({"amount": "x"}, "INVALID_PARAM_VALUE"),
        ({"amount": "0.000001"}, "INVALID_PARAM_VALUE"),
        ({"amount": "0.01"}, "INVALID_PARAM_VALUE"),
        ({"price": "99.001"}, "INVALID_PARAM_VALUE"),
        ({"text": "mine"}, "INVALID_PARAM_VALUE"),
        ({"text": "t-" + "a" * 29}, "INVALID_PARAM_VALUE"),
        ({"text": "t-a:b"}, "INVALID_PARAM_VALUE"),
        ({"type": "market"}, "INVALID_PARAM_VALUE"),
        ({"side": "hold"}, "INVALID_PARAM_VALUE"),
        ({"amount": "200000"}, "BALANCE_NOT_ENOUGH"),
        ({"amount": 1}, "INVALID_REQUEST_BODY"),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_with_a_label(change: dict[str, Any], label: str) -> None:
    def body(stage: Stage) -> None:
        status, said = ask(stage, "POST", ORDERS, LIMIT | change)
        assert (status, said["label"]) == (400, label)

    assert at_once(body).effects("order") == []


def test_the_size_of_a_market_buy_is_what_to_spend() -> None:
    def body(stage: Stage) -> None:
        bought = ask(stage, "POST", ORDERS, MARKET | {"side": "buy", "amount": "250"})[1]
        assert (bought["filled_amount"], bought["filled_total"], bought["amount"], bought["left"]) == (
            "2.5",
            "250",
            "250",
            "0",
        )
        taken = ask(stage, "POST", ORDERS, LIMIT | {"time_in_force": "ioc", "text": "t-x"})[1]
        assert (taken["status"], taken["finish_as"], taken["type"], taken["text"]) == (
            "closed",
            "filled",
            "limit",
            "t-x",
        )
        rejected = ask(stage, "GET", f"{ORDERS}/7")[1]
        assert rejected["label"] == "ORDER_NOT_FOUND"

    at_once(body)


def test_lists_are_the_newest_first_in_pages() -> None:
    async def body(stage: Stage) -> None:
        for _ in range(5):
            ask(stage, "POST", ORDERS, MARKET)
        await asyncio.sleep(10)
        ask(stage, "POST", ORDERS, MARKET)
        ask(stage, "POST", ORDERS, LIMIT)

        def ids(query: str = "") -> list[int]:
            found = ask(stage, "GET", f"/api/v4/spot/my_trades?currency_pair=BTC_USDT{query}")[1]
            return [int(fill["id"]) - 30_000_000 for fill in found]

        middle = int(stage.simulation.start_wall_s + 5)
        assert ids() == [6, 5, 4, 3, 2, 1]
        assert ids("&limit=2") == [6, 5]
        assert ids("&limit=2&page=2") == [4, 3]
        assert ids(f"&from={middle}") == [6]
        assert ids(f"&to={middle}") == [5, 4, 3, 2, 1]
        assert len(ask(stage, "GET", f"{ORDERS}?currency_pair=BTC_USDT&status=finished")[1]) == 6
        assert len(ask(stage, "GET", f"{ORDERS}?currency_pair=BTC_USDT&status=open")[1]) == 1
        assert ask(stage, "GET", "/api/v4/spot/open_orders")[1][0]["total"] == 1
        assert [order["status"] for order in ask(stage, "DELETE", ORDERS)[1]] == ["cancelled"]
        assert ask(stage, "GET", "/api/v4/spot/my_trades?limit=x")[1]["label"] == "INVALID_PARAM_VALUE"

    played("gate", body)


def command(channel: str, *payload: str, at_s: float = 0, **auth: str) -> str:
    body: dict[str, Any] = {"channel": channel, "event": "subscribe", "time": int(at_s), "id": 1, "payload": payload}
    return json.dumps(body | ({"auth": {"method": "api_key", **auth}} if auth else {}))


def private(stage: Stage, channel: str, *payload: str, ahead_s: float = 0, **changes: str) -> str:
    at_s = int(stage.simulation.start_wall_s + stage.now_s + ahead_s)
    sign = signing.hex_hmac(SECRET, signing.gate_channel_payload(channel, "subscribe", str(at_s)), "sha512")
    return command(channel, *payload, at_s=at_s, **({"KEY": KEY, "SIGN": sign} | changes))


def test_private_channels_are_signed_one_by_one() -> None:
    def body(stage: Stage) -> None:
        ear, nowhere = Ear("/ws/v4/"), Ear("/ws")
        stage.venue.connected(ear)
        stage.venue.connected(nowhere)
        assert nowhere.closed is not None
        for text, code in (
            (command("spot.orders", "BTC_USDT"), 4),
            (private(stage, "spot.orders", "BTC_USDT", SIGN="x"), 4),
            (private(stage, "spot.orders", "BTC_USDT", KEY="x"), 4),
            (private(stage, "spot.orders", "BTC_USDT", ahead_s=-61), 4),
            (private(stage, "spot.orders", "NO_PE"), 2),
            (command("spot.nothing", "BTC_USDT"), 2),
            (command("spot.obu", "ob.BTC_USDT.7"), 2),
            ("[", 1),
        ):
            stage.venue.received(ear, text)
            assert [said["error"]["code"] for said in ear.take()] == [code]
        stage.venue.received(ear, private(stage, "spot.orders", "BTC_USDT", "ETH_USDT"))
        stage.venue.received(ear, private(stage, "spot.usertrades", "!all"))
        stage.venue.received(ear, '{"channel":"spot.ping","time":1}')
        assert [said["channel"] for said in ear.take()] == ["spot.orders", "spot.usertrades", "spot.pong"]
        order_id = ask(stage, "POST", ORDERS, LIMIT)[1]["id"]
        ask(stage, "DELETE", f"{ORDERS}/{order_id}?currency_pair=BTC_USDT")
        ask(stage, "POST", ORDERS, MARKET)
        told = [(one["channel"], row.get("event"), row.get("finish_as")) for one in ear.take() for row in one["result"]]
        assert told == [
            ("spot.orders", "put", "open"),
            ("spot.orders", "finish", "cancelled"),
            ("spot.orders", "put", "open"),
            ("spot.usertrades", None, None),
            ("spot.orders", "finish", "filled"),
        ]

    at_once(body)


def test_both_books_are_numbered_and_one_is_sent_whole_now_and_then() -> None:
    async def body(stage: Stage) -> None:
        ear = Ear("/ws/v4/")
        stage.venue.connected(ear)
        stage.venue.received(ear, command("spot.obu", "ob.BTC_USDT.50"))
        stage.venue.received(ear, command("spot.order_book_update", "BTC_USDT", "100ms"))
        base = answered(
            stage, Request("GET", "/api/v4/spot/order_book", {"currency_pair": "BTC_USDT", "with_id": "true"})
        )[1]
        await asyncio.sleep(6.5)
        told = [message for message in ear.take() if message["event"] == "update"]
        full = [message["result"].get("full", False) for message in told if message["channel"] == "spot.obu"]
        assert full == [True, False, False, True, False, False, True]
        updates = [message["result"] for message in told if message["channel"] == "spot.order_book_update"]
        assert updates[0]["U"] <= base["id"] + 1 <= updates[0]["u"]
        assert all(later["U"] == earlier["u"] + 1 for earlier, later in itertools.pairwise(updates))

    played("gate", body, full_every=3)


def test_the_venue_is_closed_for_maintenance() -> None:
    async def body(stage: Stage) -> None:
        ear = Ear("/ws/v4/")
        stage.venue.connected(ear)
        await asyncio.sleep(2)
        assert ear.closed == (1001, "")
        assert ask(stage, "GET", ACCOUNTS)[0] == 503
        assert ask(stage, "GET", "/nothing")[0] == 503
        await asyncio.sleep(60)
        assert ask(stage, "GET", "/nothing")[0] == 404

    played("gate", body, maintenance_at_s=1.0)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="full_every"):
        PROFILES["gate"].settings(full_every=0)

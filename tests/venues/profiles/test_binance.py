"""The rules of Binance spot that a well-behaved client never meets."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from faultline.venues import PROFILES, signing
from faultline.venues.base import Request
from faultline.venues.profiles.spot import KEY, SECRET
from tests.venues.profiles.kit import Stage, played
from tests.venues.profiles.signed import Ear, answered, by_query

LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "99.5"}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
ORDER, ACCOUNT = "/api/v3/order", "/api/v3/account"


def at_once(body: Callable[[Stage], None], **settings: Any) -> Stage:
    async def main(stage: Stage) -> None:
        body(stage)

    return played("binance", main, **settings)


def test_only_what_is_signed_as_sent_is_obeyed() -> None:
    def body(stage: Stage) -> None:
        assert by_query(stage, "GET", ACCOUNT)[0] == 200
        assert by_query(stage, "POST", ORDER, LIMIT, in_body=True)[0] == 200
        assert by_query(stage, "GET", ACCOUNT, omitZeroBalances="true")[1]["code"] == -1022
        assert by_query(stage, "GET", ACCOUNT, header="x-other")[1]["code"] == -2014
        # The signature is over the encoded text: signing what it decodes to is another text.
        stamp = f"timestamp={round(stage.simulation.start_wall_s * 1000)}"
        wrong = signing.hex_hmac(SECRET, f"newClientOrderId=a:b&{stamp}")
        query = f"newClientOrderId=a%3Ab&{stamp}&signature={wrong}"
        request = Request("GET", ACCOUNT, {}, {"x-mbx-apikey": KEY}, target=f"{ACCOUNT}?{query}")
        assert answered(stage, request)[1]["code"] == -1022
        bare = Request("GET", ACCOUNT, {}, {"x-mbx-apikey": KEY}, target=f"{ACCOUNT}?{stamp}")
        assert answered(stage, bare)[1]["code"] == -1102
        stranger = Request("GET", ACCOUNT, {}, {"x-mbx-apikey": "other"}, target=f"{ACCOUNT}?{query}")
        assert answered(stage, stranger) == (
            401,
            {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."},
        )

    at_once(body)


@pytest.mark.parametrize(
    ("ahead_ms", "window", "code"),
    [
        (999, None, None),
        (1000, None, -1021),
        (-5000, None, None),
        (-5001, None, -1021),
        (-60_000, "60000", None),
        (-200, "100", -1021),
        (0, "60001", -1131),
        (0, "soon", -1102),
    ],
)
def test_a_request_is_good_for_its_window(ahead_ms: float, window: str | None, code: int | None) -> None:
    def body(stage: Stage) -> None:
        more = {} if window is None else {"recvWindow": window}
        status, said = by_query(stage, "GET", ACCOUNT, more, ahead_ms=ahead_ms)
        assert (status, said.get("code")) == ((200, None) if code is None else (400, code))

    at_once(body)


def test_microseconds_are_understood() -> None:
    assert signing.in_time("1767225600000000", 5000, 1_767_225_600.0)
    assert not signing.in_time("1767225594999000", 5000, 1_767_225_600.0)
    assert not signing.in_time("soon", 5000, 1_767_225_600.0)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"price": "99.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"quantity": "0.01"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "200000"}, -2010, "Account has insufficient balance for requested action."),
        ({"side": "HOLD"}, -1117, "Invalid side."),
        ({"type": "STOP"}, -1116, "Invalid orderType."),
        ({"timeInForce": "X"}, -1115, "Invalid timeInForce."),
        ({"quantity": ""}, -1102, "'quantity'"),
        ({"newClientOrderId": "a b"}, -1102, "'newClientOrderId'"),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_in_the_venues_words(
    change: dict[str, str], code: int, message: str
) -> None:
    def body(stage: Stage) -> None:
        status, said = by_query(stage, "POST", ORDER, LIMIT | change)
        assert (status, said["code"]) == (400, code)
        assert message in said["msg"]

    assert [effect.what for effect in at_once(body).effects("order")] == []


def test_a_client_id_is_unique_among_open_orders_only() -> None:
    same = {"newClientOrderId": "k"}

    async def body(stage: Stage) -> None:
        first = by_query(stage, "POST", ORDER, LIMIT | same)[1]
        assert by_query(stage, "POST", ORDER, MARKET | same)[1] == {"code": -2010, "msg": "Duplicate order sent."}
        await asyncio.sleep(1)
        second = by_query(stage, "POST", ORDER, MARKET | same)[1]
        third = by_query(stage, "POST", ORDER, LIMIT | same | {"timeInForce": "IOC"})[1]
        assert first["orderId"] < second["orderId"] < third["orderId"]
        assert (third["status"], third["timeInForce"], third["fills"][0]["price"]) == ("FILLED", "IOC", "99.50000000")

    assert [effect.key for effect in played("binance", body).effects("fill")] == ["k", "k", "k"]


def test_answers_are_as_long_as_they_were_asked_to_be() -> None:
    def body(stage: Stage) -> None:
        answers = {
            kind: by_query(stage, "POST", ORDER, MARKET | {"newOrderRespType": kind})[1]
            for kind in ("ACK", "RESULT", "FULL")
        }
        assert set(answers["ACK"]) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
        assert answers["RESULT"]["cummulativeQuoteQty"] == "100.00000000"
        assert answers["FULL"]["fills"] == [
            {
                "price": "100.00000000",
                "qty": "1.00000000",
                "commission": "0.10000000",
                "commissionAsset": "USDT",
                "tradeId": 5003,
            }
        ]
        by_cost = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quoteOrderQty": "250"}
        assert by_query(stage, "POST", ORDER, by_cost)[1]["origQty"] == "2.50000000"

    at_once(body)


def test_new_orders_have_a_limit_of_their_own() -> None:
    async def body(stage: Stage) -> None:
        for _ in range(3):
            assert by_query(stage, "POST", ORDER, LIMIT)[0] == 200
        assert by_query(stage, "POST", ORDER, LIMIT) == (
            429,
            {"code": -1015, "msg": "Too many new orders; current limit is 3 orders."},
        )
        assert by_query(stage, "DELETE", "/api/v3/openOrders", {"symbol": "BTCUSDT"})[0] == 200
        await asyncio.sleep(10)
        assert by_query(stage, "POST", ORDER, LIMIT)[0] == 200

    played("binance", body, order_limit=3)


def test_queries_know_their_windows_and_pages() -> None:
    async def body(stage: Stage) -> None:
        for _ in range(5):
            by_query(stage, "POST", ORDER, MARKET)
        await asyncio.sleep(1)
        for _ in range(2):
            by_query(stage, "POST", ORDER, MARKET)
        symbol = {"symbol": "BTCUSDT"}
        middle = round((stage.simulation.start_wall_s + 0.5) * 1000)

        def ids(**more: Any) -> list[int]:
            return [trade["id"] - 5000 for trade in by_query(stage, "GET", "/api/v3/myTrades", symbol | more)[1]]

        assert ids() == [1, 2, 3, 4, 5, 6, 7]
        assert ids(limit=2) == [6, 7]
        assert ids(fromId=5003, limit=2) == [3, 4]
        assert ids(startTime=middle) == [6, 7]
        assert ids(endTime=middle) == [1, 2, 3, 4, 5]
        assert ids(orderId=1_000_003) == [3]
        assert len(by_query(stage, "GET", "/api/v3/allOrders", symbol | {"orderId": 1_000_006})[1]) == 2
        unknown = by_query(stage, "GET", ORDER, symbol | {"orderId": 7})
        assert unknown == (400, {"code": -2013, "msg": "Order does not exist."})
        assert by_query(stage, "DELETE", ORDER, symbol | {"orderId": 1_000_001})[1]["code"] == -2011

    played("binance", body, read_lag_s=0.0)


def test_a_query_answers_from_one_moment_of_the_past() -> None:
    async def body(stage: Stage) -> None:
        order_id = by_query(stage, "POST", ORDER, LIMIT)[1]["orderId"]
        await asyncio.sleep(1.2)
        about = {"symbol": "BTCUSDT", "orderId": order_id}
        told = ("status", "executedQty", "cummulativeQuoteQty")
        before = by_query(stage, "GET", ORDER, about)[1]
        assert [before[name] for name in told] == ["NEW", "0.00000000", "0.00000000"]
        assert before["updateTime"] == before["time"]
        await asyncio.sleep(1)
        after = by_query(stage, "GET", ORDER, about)[1]
        assert [after[name] for name in told] == ["FILLED", "1.00000000", "99.50000000"]
        assert after["updateTime"] - after["time"] == 1000

    played("binance", body, fill_delay_s=1.0, read_lag_s=0.5)


def test_a_parameter_that_changes_the_weight_is_part_of_the_endpoint() -> None:
    def body(stage: Stage) -> None:
        for limit, name in ((100, ""), (101, "?limit=500"), (1000, "?limit=1000"), (5000, "?limit=5000")):
            request = Request("GET", "/api/v3/depth", {"symbol": "BTCUSDT", "limit": str(limit)})
            assert stage.venue.endpoint(request) == f"GET /api/v3/depth{name}"
        assert stage.venue.endpoint(Request("GET", "/api/v3/depth")) == "GET /api/v3/depth"

    at_once(body)


def call(method: str, **params: Any) -> str:
    return json.dumps({"id": "1", "method": method, "params": params})


def signed_call(stage: Stage, **changes: Any) -> str:
    params = {"apiKey": KEY, "timestamp": round((stage.simulation.start_wall_s + stage.now_s) * 1000)}
    params["signature"] = signing.sorted_signature(SECRET, {name: str(value) for name, value in params.items()})
    return call("userDataStream.subscribe.signature", **{**params, **changes})


def test_the_account_is_subscribed_once_per_connection_and_signed() -> None:
    def body(stage: Stage) -> None:
        ear = Ear("/ws-api/v3")
        stage.venue.connected(ear)
        for text, status, code in (
            (signed_call(stage, signature="x"), 400, -1022),
            (signed_call(stage, apiKey="x"), 401, -2015),
            (call("order.place"), 400, -1020),
            (call("userDataStream.unsubscribe"), 400, -2036),
        ):
            stage.venue.received(ear, text)
            (said,) = ear.take()
            assert (said["status"], said["error"]["code"]) == (status, code)
        by_query(stage, "POST", ORDER, MARKET)
        assert ear.take() == []
        stage.venue.received(ear, signed_call(stage))
        assert ear.take() == [{"id": "1", "status": 200, "result": {"subscriptionId": 0}}]
        stage.venue.received(ear, signed_call(stage))
        assert ear.take()[0]["error"]["code"] == -2035
        by_query(stage, "POST", ORDER, MARKET | {"newClientOrderId": "m"})
        events = [message["event"] for message in ear.take()]
        kinds = [(event["e"], event.get("x"), event.get("X")) for event in events]
        assert kinds == [
            ("executionReport", "NEW", "NEW"),
            ("outboundAccountPosition", None, None),
            ("executionReport", "TRADE", "FILLED"),
            ("outboundAccountPosition", None, None),
        ]
        assert (events[2]["t"], events[2]["c"], events[2]["z"], events[2]["L"]) == (
            5002,
            "m",
            "1.00000000",
            "100.00000000",
        )
        assert {row["a"]: row["f"] for row in events[3]["B"]} == {"BTC": "10002.00000000", "USDT": "9999799.80000000"}

    at_once(body)


def test_a_cancel_is_told_with_both_ids() -> None:
    def body(stage: Stage) -> None:
        ear = Ear("/ws-api/v3")
        stage.venue.connected(ear)
        stage.venue.received(ear, signed_call(stage))
        by_query(stage, "POST", ORDER, LIMIT | {"newClientOrderId": "mine"})
        ear.take()
        canceled = by_query(stage, "DELETE", ORDER, {"symbol": "BTCUSDT", "origClientOrderId": "mine"})[1]
        assert canceled["origClientOrderId"] == "mine" != canceled["clientOrderId"]
        told = ear.take()[0]["event"]
        assert (told["x"], told["C"]) == ("CANCELED", "mine")
        assert told["c"] != "mine"

    at_once(body)


def test_books_are_numbered_and_wrapped_as_the_connection_asked() -> None:
    async def body(stage: Stage) -> None:
        raw, wrapped = Ear("/ws/btcusdt@depth"), Ear("/stream", streams="btcusdt@depth@100ms/nothing")
        for ear in (raw, wrapped):
            stage.venue.connected(ear)
        snapshot = answered(stage, Request("GET", "/api/v3/depth", {"symbol": "BTCUSDT", "limit": "5"}))[1]
        assert len(snapshot["bids"]) == 5
        await asyncio.sleep(3.5)
        updates = raw.take()
        assert updates[0]["U"] == snapshot["lastUpdateId"] + 1
        assert all(later["U"] == earlier["u"] + 1 for earlier, later in itertools.pairwise(updates))
        told = wrapped.take()
        assert told[0]["stream"] == "btcusdt@depth@100ms"
        assert [message["data"] for message in told] == updates
        stage.venue.received(raw, '{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":7}')
        assert raw.take() == [{"result": None, "id": 7}]
        await asyncio.sleep(2)
        assert raw.take() == []
        stage.venue.received(raw, '{"method":"SUBSCRIBE","params":["nope@depth"],"id":8}')
        assert raw.take()[0]["error"]["code"] == 2
        for _ in range(5):
            stage.venue.received(raw, '{"method":"LIST_SUBSCRIPTIONS","id":9}')
        assert raw.closed == (1008, "Too many requests")

    played("binance", body)


def test_a_peer_that_does_not_answer_pings_is_gone_after_a_minute() -> None:
    async def body(stage: Stage) -> None:
        deaf, alive = Ear("/ws"), Ear("/ws")
        for ear in (deaf, alive):
            stage.venue.connected(ear)
        deaf.ponged = "unsolicited"
        for _ in range(79):
            await asyncio.sleep(1)
            alive.ponged = (alive.pings or [""])[-1]
            assert deaf.closed is None
        await asyncio.sleep(2)
        assert deaf.closed == (1008, "Pong timeout")
        assert alive.closed is None
        assert len(alive.pings) == 4

    played("binance", body)


def test_maintenance_is_announced_where_it_closes_what_is_open() -> None:
    async def body(stage: Stage) -> None:
        api, market = Ear("/ws-api/v3"), Ear("/stream")
        for ear in (api, market):
            stage.venue.connected(ear)
        await asyncio.sleep(21)
        assert api.take()[0]["event"]["e"] == "serverShutdown"
        assert market.take()[0]["stream"] == "!serverShutdown"
        assert by_query(stage, "GET", ACCOUNT)[0] == 200
        await asyncio.sleep(10)
        assert (api.closed, market.closed) == ((1001, ""), (1001, ""))
        assert by_query(stage, "POST", ORDER, MARKET) == (
            503,
            {"code": -1016, "msg": "This service is no longer available."},
        )
        late = Ear("/ws")
        stage.venue.connected(late)
        assert late.closed == (1001, "")
        await asyncio.sleep(5)
        assert by_query(stage, "GET", ACCOUNT)[0] == 200

    played("binance", body, maintenance_at_s=30.0, maintenance_for_s=5.0)


def test_what_is_no_request_is_answered_all_the_same() -> None:
    def body(stage: Stage) -> None:
        assert answered(stage, Request("GET", "/api/v3/nothing"))[0] == 404
        assert answered(stage, Request("POST", "/api/v3/userDataStream", {}, {"x-mbx-apikey": KEY}))[0] == 404
        assert answered(stage, Request("GET", "/api/v3/depth"))[1]["code"] == -1102
        ear, nowhere = Ear("/ws-api/v3"), Ear("/nowhere")
        stage.venue.connected(ear)
        stage.venue.connected(nowhere)
        assert nowhere.closed == (1008, "no such stream")
        stage.venue.received(nowhere, "{}")
        stage.venue.received(ear, "[[[")
        assert ear.closed == (1008, "not a request")

    at_once(body)


@pytest.mark.parametrize(
    ("setting", "value", "what"),
    [
        ("symbols", ("btcusdt",), "BTC/USDT"),
        ("symbols", (), "symbols is empty"),
        ("tick", "fine", "tick is 'fine'"),
        ("ban_after", 0, "ban_after"),
        ("order_limit", 0, "order_limit"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: str, value: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        PROFILES["binance"].settings(**{setting: value})

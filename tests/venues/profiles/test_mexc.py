"""The rules of MEXC spot that a well-behaved client never meets."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from faultline.faults.actions import ExpireTokens
from faultline.venues import PROFILES
from tests.venues.profiles.kit import Stage, played
from tests.venues.profiles.signed import Ear, by_query

ask = partial(by_query, header="x-mexc-apikey")
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "99.5"}
ORDER = "/api/v3/order"


def test_the_codes_are_its_own_and_an_ack_tells_little() -> None:
    async def body(stage: Stage) -> None:
        placed = ask(stage, "POST", ORDER, LIMIT)[1]
        assert set(placed) == {
            "symbol", "orderId", "orderListId", "clientOrderId", "transactTime", "price", "origQty", "type", "side",
        }  # fmt: skip
        for params, code in (
            ({"symbol": "NOPE"}, 30014),
            ({"quantity": "200000"}, 30004),
            ({"quantity": "0.01"}, 30002),
            ({"price": "1.001"}, 33333),
            ({"quantity": ""}, 700004),
        ):
            assert ask(stage, "POST", ORDER, LIMIT | params)[1]["code"] == code
        assert by_query(stage, "GET", "/api/v3/account")[1]["code"] == 400
        assert ask(stage, "GET", "/api/v3/account", ahead_ms=-6000)[1]["code"] == 700003
        assert ask(stage, "GET", "/api/v3/account", extra="1")[1]["code"] == 700002
        assert ask(stage, "GET", ORDER, {"symbol": "BTCUSDT", "orderId": "7"})[1]["code"] == 22222

    played("mexc", body)


def test_an_order_cancelled_after_a_fill_is_partly_cancelled() -> None:
    async def body(stage: Stage) -> None:
        order_id: Any = ask(stage, "POST", ORDER, LIMIT)[1]["orderId"]
        stage.venue._broker.fill(stage.now_s, order_id, "5001", stage.venue._broker.order(order_id).quantity / 2, 99)
        about = {"symbol": "BTCUSDT", "orderId": order_id}
        assert ask(stage, "DELETE", ORDER, about)[1]["status"] == "PARTIALLY_CANCELED"
        assert [order["status"] for order in ask(stage, "GET", "/api/v3/allOrders", {"symbol": "BTCUSDT"})[1]] == [
            "PARTIALLY_CANCELED"
        ]

    played("mexc", body)


def test_streams_are_closed_at_once_instead_of_staying_silent() -> None:
    async def body(stage: Stage) -> None:
        key = ask(stage, "POST", "/api/v3/userDataStream")[1]["listenKey"]
        ear = Ear("/ws", listenKey=key)
        stage.venue.connected(ear)
        assert ear.closed == (1008, "this profile has no streams: they push protocol buffers")
        stage.venue.received(ear, "{}")
        stage.venue.expire_tokens(ExpireTokens())
        assert ask(stage, "GET", "/api/v3/userDataStream")[1] == {"listenKey": []}
        await asyncio.sleep(0)

    played("mexc", body)
    assert "stream user" not in [point for points in PROFILES["mexc"].endpoints.values() for point in points]


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="ban_after"):
        PROFILES["mexc"].settings(ban_after=0)

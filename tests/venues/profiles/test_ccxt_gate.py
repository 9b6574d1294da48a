"""The Gate profile with ccxt, unmodified, in virtual time: what works, and the traps that it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from faultline.faults.actions import Cut, Drop, Hold
from faultline.history.event import Connected
from tests.venues.profiles.kit import REST, STREAM, Stage, ccxt_client, proven

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed: the profiles are proven with it")

PAIR = "BTC/USDT"
ORDERS = "POST /api/v4/spot/orders"


def client() -> Any:
    made = ccxt_client("gate")
    for access in ("public", "private"):
        made.urls["api"][access] |= {"spot": f"{REST}/api/v4", "margin": f"{REST}/api/v4"}
    made.urls["api"]["spot"] = f"{STREAM}/ws/v4/"
    made.options["unifiedAccount"] = False
    return made


def with_client(body: Callable[[Stage, Any], Awaitable[None]], **settings: Any) -> Stage:
    return proven("gate", client, body, **settings)


def test_orders_are_placed_found_cancelled_and_accounted_for() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        resting = await exchange.create_order(PAIR, "limit", "buy", 2, 99.5, {"clientOrderId": "mine1"})
        assert (resting["status"], resting["clientOrderId"]) == ("open", "t-mine1")
        found = await exchange.fetch_order(None, PAIR, {"clientOrderId": "t-mine1"})
        assert (found["id"], found["price"], found["remaining"]) == (resting["id"], 99.5, 2)
        cost = {"cost": 100}
        bought = await exchange.create_order(PAIR, "market", "buy", 1, None, cost)
        assert (bought["status"], bought["filled"], bought["average"]) == ("closed", 1, 100)
        sold = await exchange.create_order(PAIR, "market", "sell", 3)
        assert (sold["status"], sold["filled"], sold["cost"]) == ("closed", 3, 300)
        assert [order["id"] for order in await exchange.fetch_open_orders(PAIR)] == [resting["id"]]
        balance = await exchange.fetch_balance()
        assert (balance["BTC"]["total"], balance["USDT"]["used"]) == (9_998, 199)
        edited = await exchange.edit_order(resting["id"], PAIR, "limit", "buy", 3, 99)
        assert (edited["id"], edited["amount"], edited["price"]) == (resting["id"], 3, 99)
        assert (await exchange.cancel_order(resting["id"], PAIR))["status"] == "canceled"
        with pytest.raises(ccxt.InvalidOrder, match="ORDER_CLOSED"):
            await exchange.cancel_order(resting["id"], PAIR)
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.fetch_order("7", PAIR)
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order(PAIR, "limit", "buy", 200_000, 100)
        trades = await exchange.fetch_my_trades(PAIR)
        assert [(trade["order"], trade["takerOrMaker"]) for trade in trades] == [
            (bought["id"], "taker"),
            (sold["id"], "taker"),
        ]

    stage = with_client(body, fill_delay_s=60.0)
    whats = [effect.what for effect in stage.effects()]
    assert whats == ["order", "order", "fill", "order", "fill", "replace", "cancel", "reject"]


def test_orders_and_trades_are_heard_on_signed_subscriptions_of_that_connection() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        orders = asyncio.create_task(exchange.watch_orders(PAIR))
        trades = asyncio.create_task(exchange.watch_my_trades(PAIR))
        await asyncio.sleep(0.1)
        placed = await exchange.create_order(PAIR, "limit", "buy", 1, 99)
        assert [(order["id"], order["status"]) for order in await orders] == [(placed["id"], "open")]
        assert [(trade["order"], trade["amount"]) for trade in await trades] == [(placed["id"], 1)]
        assert [order["status"] for order in await exchange.watch_orders(PAIR)] == ["closed"]
        stage.interceptor.cut_streams("stream *", Cut(how="rst"))
        with pytest.raises(ccxt.NetworkError):
            await exchange.watch_orders(PAIR)
        again = asyncio.create_task(exchange.watch_orders(PAIR))
        await asyncio.sleep(2)
        second = await exchange.create_order(PAIR, "market", "sell", 1)
        assert second["id"] in [order["id"] for order in await again]

    stage = with_client(body)
    subscribed = [(event.connection, *event.topics) for event in stage.of(Connected) if event.topics]
    assert subscribed == [(1, "spot.orders"), (1, "spot.usertrades"), (2, "spot.orders")]


def test_a_lost_book_message_leaves_this_client_with_a_wrong_book_until_the_next_full_one() -> None:
    """ccxt 4.5 applies an update of ``spot.obu`` whatever its ``U`` is: it does not see a gap."""

    def differs(stage: Stage, book: Any) -> bool:
        there = stage.venue._market.books["BTC_USDT"]
        assert book["nonce"] == there.last
        held = [[list(level)[:2] for level in book[side]] for side in ("bids", "asks")]
        return held != [[[float(price), float(size)] for price, size in side] for side in there.levels(50)]

    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        for _ in range(3):
            book = await exchange.watch_order_book(PAIR)
        assert not differs(stage, book)
        stage.faults.strike("stream user", "out", Drop())
        await asyncio.sleep(1)
        wrong = [differs(stage, await exchange.watch_order_book(PAIR)) for _ in range(8)]
        assert wrong[0]
        assert not wrong[-1]

    with_client(body, full_every=10)


def test_a_client_id_protects_from_nothing() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        same = {"clientOrderId": "once"}
        stage.faults.strike(ORDERS, "after", Hold())
        with pytest.raises(ccxt.RequestTimeout):
            await exchange.create_order(PAIR, "limit", "buy", 1, 99, same)
        again = await exchange.create_order(PAIR, "limit", "buy", 1, 99, same)
        assert len(await exchange.fetch_open_orders(PAIR)) == 2
        assert (await exchange.fetch_order(None, PAIR, same))["id"] == again["id"]

    stage = with_client(body, fill_delay_s=60.0)
    assert [effect.key for effect in stage.effects("order")] == ["t-once", "t-once"]


def test_limits_are_told_and_a_refusal_says_when_the_window_ends() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        for left in (1, 0):
            await exchange.create_order(PAIR, "limit", "buy", 1, 99)
            assert exchange.last_response_headers["X-Gate-RateLimit-Requests-Remain"] == str(left)
        with pytest.raises(ccxt.RateLimitExceeded):
            await exchange.create_order(PAIR, "limit", "buy", 1, 99)
        headers = exchange.last_response_headers
        assert headers["X-Gate-RateLimit-Limit"] == "2"
        assert int(headers["X-Gate-RateLimit-Reset-Timestamp"]) == int(stage.simulation.start_wall_s + stage.now_s + 1)
        assert "Retry-After" not in headers
        await asyncio.sleep(1)
        await exchange.create_order(PAIR, "limit", "buy", 1, 99)

    with_client(body, order_limit=2)

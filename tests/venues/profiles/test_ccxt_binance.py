"""The Binance profile with ccxt, unmodified, in virtual time: what works, and the traps that it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from faultline.faults.actions import Cut, Drop, Hold, Reply
from faultline.history.event import Connected
from tests.venues.profiles.kit import REST, STREAM, Stage, ccxt_client, proven

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed: the profiles are proven with it")

PAIR = "BTC/USDT"
ORDERS = "POST /api/v3/order"


def client() -> Any:
    made = ccxt_client("binance")
    made.urls["api"] |= {"public": f"{REST}/api/v3", "private": f"{REST}/api/v3"}
    made.urls["api"]["ws"] |= {"spot": f"{STREAM}/stream", "ws-api": {"spot": f"{STREAM}/ws-api/v3"}}
    return made


def with_client(body: Callable[[Stage, Any], Awaitable[None]], **settings: Any) -> Stage:
    return proven("binance", client, body, **settings)


def test_orders_are_placed_found_cancelled_and_accounted_for() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        precision = exchange.market(PAIR)["precision"]
        assert (precision["amount"], precision["price"]) == (1e-05, 0.01)
        resting = await exchange.create_order(PAIR, "limit", "buy", 2, 99.5, {"clientOrderId": "mine"})
        assert (resting["status"], resting["filled"], resting["clientOrderId"]) == ("open", 0, "mine")
        bought = await exchange.create_order(PAIR, "market", "buy", 1)
        assert (bought["status"], bought["average"], bought["fee"]["cost"]) == ("closed", 100, 0.1)
        await asyncio.sleep(0.1)
        found = await exchange.fetch_order(None, PAIR, {"clientOrderId": "mine"})
        assert (found["id"], found["price"], found["remaining"]) == (resting["id"], 99.5, 2)
        assert [order["id"] for order in await exchange.fetch_open_orders(PAIR)] == [resting["id"]]
        balance = await exchange.fetch_balance()
        assert (balance["BTC"]["total"], balance["USDT"]["used"]) == (10_001, 199)
        canceled = await exchange.cancel_order(resting["id"], PAIR)
        assert canceled["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound, match="Unknown order sent"):
            await exchange.cancel_order(resting["id"], PAIR)
        await asyncio.sleep(0.1)
        trades = await exchange.fetch_my_trades(PAIR)
        assert [(trade["order"], trade["takerOrMaker"]) for trade in trades] == [(bought["id"], "taker")]
        assert [order["status"] for order in await exchange.fetch_orders(PAIR)] == ["canceled", "closed"]
        filled = await exchange.create_order(PAIR, "limit", "sell", 1, 101)
        await asyncio.sleep(3)
        assert (await exchange.fetch_order(filled["id"], PAIR))["status"] == "closed"

    stage = with_client(body, fill_delay_s=2.0)
    assert [effect.what for effect in stage.effects()] == ["order", "order", "fill", "cancel", "order", "fill"]


def test_the_account_is_heard_on_the_connection_that_subscribed_and_on_no_other() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        watching = asyncio.create_task(exchange.watch_orders(PAIR))
        await asyncio.sleep(0.1)
        placed = await exchange.create_order(PAIR, "limit", "buy", 1, 99)
        assert [order["id"] for order in await watching] == [placed["id"]]
        update = (await exchange.watch_orders(PAIR))[-1]
        assert (update["status"], update["filled"], update["id"]) == ("closed", 1, placed["id"])
        assert (await exchange.fetch_my_trades(PAIR)) == []  # the database trails the engine
        stage.interceptor.cut_streams("stream *", Cut(how="rst"))
        with pytest.raises(ccxt.NetworkError):
            await exchange.watch_orders(PAIR)
        again = asyncio.create_task(exchange.watch_orders(PAIR))
        await asyncio.sleep(2)
        second = await exchange.create_order(PAIR, "market", "sell", 1)
        assert second["id"] in [order["id"] for order in await again]

    stage = with_client(body)
    subscribed = [event.connection for event in stage.of(Connected) if "account" in event.topics]
    assert subscribed == [1, 2]


def test_a_lost_depth_message_is_a_gap_and_a_fresh_book_comes_back() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        for _ in range(3):
            book = await exchange.watch_order_book(PAIR)
        assert book["bids"][0][0] == 99.99
        assert book["nonce"] == stage.venue._market.books["BTCUSDT"].last
        stage.faults.strike("stream user", "out", Drop())
        with pytest.raises(ccxt.ChecksumError):
            for _ in range(3):
                await exchange.watch_order_book(PAIR)
        book = await exchange.watch_order_book(PAIR)
        bids, asks = stage.venue._market.books["BTCUSDT"].levels(20)
        assert book["nonce"] == stage.venue._market.books["BTCUSDT"].last
        assert [[float(price), float(size)] for price, size in bids] == [list(level) for level in book["bids"]]
        assert [[float(price), float(size)] for price, size in asks] == [list(level) for level in book["asks"]]

    with_client(body)


def test_a_client_id_that_is_sent_again_after_its_fill_is_filled_twice() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        same = {"clientOrderId": "once"}
        stage.faults.strike(ORDERS, "after", Hold())
        with pytest.raises(ccxt.RequestTimeout):
            await exchange.create_order(PAIR, "market", "buy", 1, None, same)
        again = await exchange.create_order(PAIR, "market", "buy", 1, None, same)
        assert again["status"] == "closed"
        await asyncio.sleep(0.1)
        assert (await exchange.fetch_balance())["BTC"]["total"] == 10_002
        # The lookup by client id hides it: it finds one of the two.
        assert (await exchange.fetch_order(None, PAIR, same))["id"] == again["id"]
        # While the order is open the id protects.
        stage.faults.strike(ORDERS, "after", Cut(how="rst"))
        resting = {"clientOrderId": "rests"}
        with pytest.raises(ccxt.NetworkError):
            await exchange.create_order(PAIR, "limit", "buy", 1, 99, resting)
        with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
            await exchange.create_order(PAIR, "limit", "buy", 1, 99, resting)

    stage = with_client(body, fill_delay_s=60.0)
    assert [effect.key for effect in stage.effects("fill")] == ["once", "once"]
    assert [effect.key for effect in stage.effects("order")] == ["once", "once", "rests"]
    assert stage.resolved() == ["applied", "applied"]


def test_a_query_right_after_an_order_may_not_find_it() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        placed = await exchange.create_order(PAIR, "limit", "buy", 1, 99)
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.fetch_order(placed["id"], PAIR)
        await asyncio.sleep(0.1)
        assert (await exchange.fetch_order(placed["id"], PAIR))["status"] == "open"

    with_client(body)


def test_an_unknown_execution_status_is_not_a_rejection() -> None:
    text = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    answer = f'{{"code":-1007,"msg":"{text}"}}'.encode()

    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        stage.faults.strike(ORDERS, "after", Reply(504, (("Content-Type", "application/json"),), answer))
        with pytest.raises(ccxt.RequestTimeout, match="execution status unknown"):
            await exchange.create_order(PAIR, "market", "buy", 1, None, {"clientOrderId": "unsure"})
        await asyncio.sleep(0.1)
        assert (await exchange.fetch_order(None, PAIR, {"clientOrderId": "unsure"}))["status"] == "closed"

    with_client(body)


def test_weight_is_counted_refused_and_banned_ever_longer() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        await exchange.fetch_balance()
        assert exchange.last_response_headers["X-MBX-USED-WEIGHT-1M"] == "40"
        await exchange.create_order(PAIR, "limit", "buy", 1, 99)
        headers = exchange.last_response_headers
        assert (headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1D"]) == ("1", "1")
        for _ in range(2):
            with pytest.raises(ccxt.DDoSProtection, match="429"):
                await exchange.fetch_balance()
        assert float(exchange.last_response_headers["Retry-After"]) == pytest.approx(60 - stage.now_s, abs=1)
        with pytest.raises(ccxt.DDoSProtection, match="418"):
            await exchange.fetch_balance()
        assert exchange.last_response_headers["Retry-After"] == "120"
        await asyncio.sleep(121)
        for _ in range(2):
            await exchange.fetch_balance()
        for _ in range(3):
            with pytest.raises(ccxt.DDoSProtection):
                await exchange.fetch_balance()
        assert exchange.last_response_headers["Retry-After"] == "240"

    with_client(body, weight_limit=55, ban_after=2)


def test_a_quiet_connection_is_kept_alive_and_ends_after_a_day() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        with pytest.raises(ccxt.NetworkError):
            await exchange.watch_orders(PAIR)
        assert stage.now_s == pytest.approx(86_400, abs=5)

    with_client(body)

"""The OKX profile with ccxt, unmodified, in virtual time: what works, and the traps that it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from faultline.faults.actions import Cut, Drop, Hold, Reply
from faultline.history.event import Connected, Disconnected
from tests.venues.profiles.kit import REST, STREAM, Stage, ccxt_client, proven

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed: the profiles are proven with it")

PAIR = "BTC/USDT"
ORDERS = "POST /api/v5/trade/batch-orders"


def client() -> Any:
    made = ccxt_client("okx")
    made.urls["api"] |= {"rest": REST, "ws": f"{STREAM}/ws/v5"}
    return made


def with_client(body: Callable[[Stage, Any], Awaitable[None]], **settings: Any) -> Stage:
    return proven("okx", client, body, **settings)


def test_orders_are_placed_found_cancelled_and_accounted_for() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        resting = await exchange.create_order(PAIR, "limit", "buy", 2, 99.5, {"clientOrderId": "mine1"})
        found = await exchange.fetch_order(None, PAIR, {"clientOrderId": "mine1"})
        assert (found["id"], found["status"], found["price"], found["remaining"]) == (resting["id"], "open", 99.5, 2)
        bought = await exchange.create_order(PAIR, "market", "buy", 1)
        taken = await exchange.fetch_order(bought["id"], PAIR)
        assert (taken["status"], taken["filled"], taken["average"], taken["fee"]["cost"]) == ("closed", 1, 100, 0.1)
        assert [order["id"] for order in await exchange.fetch_open_orders(PAIR)] == [resting["id"]]
        balance = await exchange.fetch_balance()
        assert (balance["BTC"]["total"], balance["USDT"]["used"]) == (10_001, 199)
        edited = await exchange.edit_order(resting["id"], PAIR, "limit", "buy", 3, 99)
        assert edited["id"] == resting["id"]
        assert (await exchange.fetch_order(resting["id"], PAIR))["amount"] == 3
        await exchange.cancel_order(resting["id"], PAIR)
        with pytest.raises(ccxt.OrderNotFound, match="51400"):
            await exchange.cancel_order(resting["id"], PAIR)
        with pytest.raises(ccxt.OrderNotFound, match="51603"):
            await exchange.fetch_order("7", PAIR)
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order(PAIR, "limit", "buy", 200_000, 100)
        trades = await exchange.fetch_my_trades(PAIR)
        assert [(trade["order"], trade["takerOrMaker"]) for trade in trades] == [(bought["id"], "taker")]
        assert [order["status"] for order in await exchange.fetch_closed_orders(PAIR)] == ["closed"]

    stage = with_client(body, fill_delay_s=60.0)
    whats = [effect.what for effect in stage.effects()]
    assert whats == ["order", "order", "fill", "replace", "cancel", "reject"]


def test_orders_are_heard_after_a_login_on_that_connection_and_nothing_on_subscribing() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        await exchange.create_order(PAIR, "limit", "buy", 1, 98)
        watching = asyncio.create_task(exchange.watch_orders(PAIR))
        await asyncio.sleep(0.1)
        assert not watching.done()
        placed = await exchange.create_order(PAIR, "limit", "buy", 1, 99)
        assert placed["id"] in [order["id"] for order in await watching]
        while (update := (await exchange.watch_orders(PAIR))[-1])["status"] != "closed":
            pass
        assert update["filled"] == 1
        stage.interceptor.cut_streams("stream *", Cut(how="rst"))
        with pytest.raises(ccxt.NetworkError):
            await exchange.watch_orders(PAIR)
        again = asyncio.create_task(exchange.watch_orders(PAIR))
        await asyncio.sleep(5)
        second = await exchange.create_order(PAIR, "market", "sell", 1)
        heard = [order["id"] for order in await again]
        while second["id"] not in heard:
            heard += [order["id"] for order in await exchange.watch_orders(PAIR)]

    stage = with_client(body, fill_delay_s=2.0)
    assert [event.connection for event in stage.of(Connected) if event.topics == ("orders",)] == [1, 2]


def test_a_lost_book_message_is_a_gap_and_a_fresh_book_comes_back() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        for _ in range(3):
            book = await exchange.watch_order_book(PAIR)
        assert book["nonce"] == stage.venue._market.books["BTC-USDT"].last
        stage.faults.strike("stream user", "out", Drop())
        with pytest.raises(ccxt.InvalidNonce):
            for _ in range(3):
                await exchange.watch_order_book(PAIR)
        book = await exchange.watch_order_book(PAIR)
        there = stage.venue._market.books["BTC-USDT"]
        assert book["nonce"] == there.last
        for side, levels in zip(("bids", "asks"), there.levels(20), strict=True):
            assert [[float(price), float(size)] for price, size in levels] == [list(level)[:2] for level in book[side]]

    with_client(body)


def test_a_client_id_that_is_sent_again_after_its_fill_is_filled_twice_and_a_query_hides_it() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        same = {"clientOrderId": "once"}
        stage.faults.strike(ORDERS, "after", Hold())
        with pytest.raises(ccxt.RequestTimeout):
            await exchange.create_order(PAIR, "market", "buy", 1, None, same)
        again = await exchange.create_order(PAIR, "market", "buy", 1, None, same)
        assert (await exchange.fetch_order(None, PAIR, same))["id"] == again["id"]
        assert (await exchange.fetch_balance())["BTC"]["total"] == 10_002
        stage.faults.strike(ORDERS, "after", Cut(how="rst"))
        resting = {"clientOrderId": "rests"}
        with pytest.raises(ccxt.NetworkError):
            await exchange.create_order(PAIR, "limit", "buy", 1, 99, resting)
        with pytest.raises(ccxt.InvalidOrder, match="51016"):
            await exchange.create_order(PAIR, "limit", "buy", 1, 99, resting)

    stage = with_client(body, fill_delay_s=60.0)
    assert [effect.key for effect in stage.effects("fill")] == ["once", "once"]
    assert [effect.key for effect in stage.effects("order")] == ["once", "once", "rests"]


def test_an_unknown_execution_status_is_not_a_rejection() -> None:
    answer = b'{"code":"50004","msg":"API endpoint request timeout","data":[]}'

    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        stage.faults.strike(ORDERS, "after", Reply(400, (("Content-Type", "application/json"),), answer))
        with pytest.raises(ccxt.RequestTimeout):
            await exchange.create_order(PAIR, "market", "buy", 1, None, {"clientOrderId": "unsure"})
        assert (await exchange.fetch_order(None, PAIR, {"clientOrderId": "unsure"}))["status"] == "closed"

    with_client(body)


@pytest.mark.parametrize("status", [429, 200])
def test_too_many_requests_are_refused_in_both_forms(status: int) -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        for _ in range(10):
            await exchange.fetch_balance()
        with pytest.raises(ccxt.RateLimitExceeded, match="50011"):
            await exchange.fetch_balance()
        assert "Retry-After" not in exchange.last_response_headers
        await asyncio.sleep(2)
        await exchange.fetch_balance()

    with_client(body, too_many_status=status)


def test_pings_keep_a_quiet_connection_alive_and_silence_ends_it() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        watching = asyncio.create_task(exchange.watch_orders(PAIR))
        await asyncio.sleep(600)
        assert stage.of(Disconnected) == []
        await exchange.create_order(PAIR, "market", "buy", 1)
        assert (await watching)[-1]["status"] in ("open", "closed")

    made = client

    def silent() -> Any:
        exchange = made()
        exchange.ping = None
        exchange.streaming["keepAlive"] = 10_000_000
        return exchange

    async def quiet(stage: Stage, exchange: Any) -> None:
        await exchange.load_markets()
        with pytest.raises(ccxt.NetworkError, match="4004"):
            await exchange.watch_orders(PAIR)
        assert stage.now_s == pytest.approx(30, abs=1)

    # ccxt pings each 30 s by default, which is just too late here.
    def brisk() -> Any:
        exchange = made()
        exchange.streaming["keepAlive"] = 20_000
        return exchange

    proven("okx", brisk, body)
    proven("okx", silent, quiet)

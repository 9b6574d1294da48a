"""The MEXC profile's REST with ccxt, unmodified, in virtual time. Its streams are protocol buffers and not modelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from faultline.faults.actions import Hold
from tests.venues.profiles.kit import REST, Stage, ccxt_client, proven

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed: the profiles are proven with it")

PAIR = "BTC/USDT"


def client() -> Any:
    made = ccxt_client("mexc")
    made.urls["api"]["spot"] |= {"public": REST, "private": REST}
    return made


def with_client(body: Callable[[Stage, Any], Awaitable[None]], **settings: Any) -> Stage:
    async def main(stage: Stage, exchange: Any) -> None:
        # load_markets would also ask for swaps, which are another venue.
        exchange.set_markets(await exchange.fetch_spot_markets())
        await body(stage, exchange)

    return proven("mexc", client, main, **settings)


def test_orders_are_placed_found_cancelled_and_accounted_for() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        resting = await exchange.create_order(PAIR, "limit", "buy", 2, 99.5, {"clientOrderId": "mine"})
        assert resting["id"].startswith("C02__")
        assert resting["status"] in (None, "open")
        found = await exchange.fetch_order(None, PAIR, {"clientOrderId": "mine"})
        assert (found["id"], found["status"], found["price"], found["remaining"]) == (resting["id"], "open", 99.5, 2)
        bought = await exchange.create_order(PAIR, "market", "buy", 1)
        # The answer to an order does not tell its state: that takes a query.
        assert (bought["status"], bought["filled"]) == (None, None)
        assert (await exchange.fetch_order(bought["id"], PAIR))["status"] == "closed"
        assert [order["id"] for order in await exchange.fetch_open_orders(PAIR)] == [resting["id"]]
        balance = await exchange.fetch_balance()
        assert (balance["BTC"]["total"], balance["USDT"]["used"]) == (10_001, 199)
        assert (await exchange.cancel_order(resting["id"], PAIR))["status"] == "canceled"
        with pytest.raises(ccxt.BadRequest, match="-2011"):
            await exchange.cancel_order(resting["id"], PAIR)
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order(PAIR, "limit", "buy", 200_000, 100)
        trades = await exchange.fetch_my_trades(PAIR)
        assert [(trade["order"], trade["takerOrMaker"]) for trade in trades] == [(bought["id"], "taker")]

    stage = with_client(body, fill_delay_s=60.0)
    assert [effect.what for effect in stage.effects()] == ["order", "order", "fill", "cancel", "reject"]


@pytest.mark.parametrize("idempotency", ["none", "unique_while_pending"])
def test_what_a_repeated_client_id_gets_is_a_setting(idempotency: str) -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        same = {"clientOrderId": "once"}
        stage.faults.strike("POST /api/v3/order", "after", Hold())
        with pytest.raises(ccxt.RequestTimeout):
            await exchange.create_order(PAIR, "limit", "buy", 1, 99, same)
        if idempotency == "none":
            await exchange.create_order(PAIR, "limit", "buy", 1, 99, same)
        else:
            with pytest.raises(ccxt.BadRequest):
                await exchange.create_order(PAIR, "limit", "buy", 1, 99, same)
        await asyncio.sleep(60)
        await exchange.create_order(PAIR, "limit", "buy", 1, 99, same)

    stage = with_client(body, fill_delay_s=30.0, idempotency=idempotency)
    assert len(stage.effects("order")) == (3 if idempotency == "none" else 2)


def test_a_listen_key_lives_for_an_hour_after_it_was_made_or_extended() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        key = (await exchange.spotPrivatePostUserDataStream())["listenKey"]
        await asyncio.sleep(3000)
        await exchange.spotPrivatePutUserDataStream({"listenKey": key})
        await asyncio.sleep(3000)
        assert (await exchange.spotPrivateGetUserDataStream())["listenKey"] == [key]
        await asyncio.sleep(700)
        with pytest.raises(ccxt.BadRequest):
            await exchange.spotPrivatePutUserDataStream({"listenKey": key})
        keys = [(await exchange.spotPrivatePostUserDataStream())["listenKey"] for _ in range(60)]
        with pytest.raises(ccxt.BadRequest):
            await exchange.spotPrivatePostUserDataStream()
        await exchange.spotPrivateDeleteUserDataStream({"listenKey": keys[0]})
        await exchange.spotPrivatePostUserDataStream()
        assert not any(key in repr(event) for event in stage.history)

    with_client(body)


def test_each_endpoint_has_its_own_limit_and_a_ban_follows() -> None:
    async def body(stage: Stage, exchange: Any) -> None:
        for _ in range(3):
            await exchange.fetch_balance()
        for _ in range(2):
            with pytest.raises(ccxt.RateLimitExceeded, match="429"):
                await exchange.fetch_balance()
        assert 0 < int(exchange.last_response_headers["Retry-After"]) <= 10
        await exchange.fetch_open_orders(PAIR)
        for _ in range(2):
            with pytest.raises(ccxt.RateLimitExceeded):
                await exchange.fetch_balance()
        with pytest.raises(ccxt.BaseError):
            await exchange.fetch_balance()
        with pytest.raises(ccxt.BaseError):
            await exchange.fetch_open_orders(PAIR)
        assert exchange.last_response_headers["Retry-After"] == "120"

    with_client(body, request_limit=3, ban_after=2)

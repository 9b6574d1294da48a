"""A market order of the bot, on a venue with Binance's rules, through requests and answers that get lost."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import faultline as fl

ccxt = pytest.importorskip("ccxt.pro", reason="ccxt is not installed")
from bot import buy, careful_buy  # noqa: E402 - it imports ccxt

ORDERS = "POST /api/v3/order"
FAULTS = [
    fl.faults.LostResponse(on=ORDERS, nth=1),
    fl.faults.LostResponse(on=ORDERS, nth=1, how="silence"),
    fl.faults.LostRequest(on=ORDERS, first=2),
    fl.faults.UnknownStatus(on=ORDERS, says="binance -1007", first=1),
]


def binance(venue: Any) -> Any:
    """ccxt's own client; only its addresses are others."""
    exchange = ccxt.binance({"apiKey": venue.client_id, "secret": venue.client_secret, "enableRateLimit": False})
    exchange.options |= {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchMargins": False}
    exchange.has["fetchCurrencies"] = False
    exchange.urls["api"] |= {"public": f"{venue.url}/api/v3", "private": f"{venue.url}/api/v3"}
    return exchange


async def buy_through(faultline: fl.Session, buy: Callable[..., Awaitable[dict[str, Any]]], fault: Any) -> None:
    exchange = binance(await faultline.venue("binance"))
    try:
        await exchange.load_markets()
        with faultline.inject(fault), faultline.intent("buy", quantity=2, symbol="BTCUSDT"):
            order = await buy(exchange, "BTC/USDT", 2, "today-1")
        assert order["status"] == "closed"
        await faultline.settle()
    finally:
        await exchange.close()
    faultline.check(fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
async def test_it_is_bought_once(faultline: fl.Session, fault: Any) -> None:
    await buy_through(faultline, careful_buy, fault)


async def test_the_same_id_buys_twice_because_a_filled_order_frees_it(faultline: fl.Session) -> None:
    with pytest.raises(fl.CheckFailed, match=r"intent I1 \(buy 2 BTCUSDT.*\) became 2 orders"):
        await buy_through(faultline, buy, FAULTS[0])

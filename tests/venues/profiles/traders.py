"""Clients under test that trade through ccxt: one that sends again under the same id, and one that looks first."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.async_support as ccxt


class Resends:
    """After a timeout it sends again, under the same client order id: that is safe, it believes."""

    def __init__(self, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str) -> None:
        options = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False}
        self.exchange: Any = ccxt.binance(
            {"apiKey": client_id, "secret": client_secret, "timeout": 1000, "options": options}
        )
        self.exchange.has["fetchCurrencies"] = False
        self.exchange.urls["api"] |= {"public": f"{rest_url}/api/v3", "private": f"{rest_url}/api/v3"}
        self.orders: dict[str, dict[str, str]] = {}

    async def start(self) -> None:
        await self.exchange.load_markets()

    async def stop(self) -> None:
        await self.exchange.close()

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        market, same = self.exchange.markets_by_id[symbol][0]["symbol"], {"clientOrderId": intent_id}
        for _ in range(10):
            try:
                limit = None if order_type == "market" else float(price)
                await self.exchange.create_order(market, order_type, side, float(quantity), limit, same)
                break
            except ccxt.InvalidOrder:
                break  # it is there already
            except ccxt.NetworkError:
                if await self.looks(market, same):
                    break
        self.orders[intent_id] = {"status": "filled" if order_type == "market" else "new"}
        return "accepted"

    async def looks(self, market: str, same: dict[str, str]) -> bool:
        return False

    def snapshot(self) -> dict[str, Any]:
        return {"orders": self.orders}


class Looks(Resends):
    """It asks for the order before it sends again, and gives the venue's database time to know."""

    async def looks(self, market: str, same: dict[str, str]) -> bool:
        await asyncio.sleep(1)
        while True:
            try:
                await self.exchange.fetch_order(None, market, same)
                return True
            except ccxt.OrderNotFound:
                return False
            except ccxt.NetworkError:
                await asyncio.sleep(1)

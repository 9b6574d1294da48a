"""A bot that buys at the market through ccxt. It gives each order an id of its own."""

import asyncio
from typing import Any

import ccxt

TRIES_MAX = 5


async def buy(exchange: Any, symbol: str, amount: float, order_id: str) -> dict[str, Any]:
    """Buy once: every try carries the same id, so that the exchange can tell."""
    for _ in range(TRIES_MAX):
        try:
            return await exchange.create_order(symbol, "market", "buy", amount, None, {"clientOrderId": order_id})
        except ccxt.NetworkError:
            await asyncio.sleep(1)
    raise ccxt.NetworkError(f"no answer for {order_id} after {TRIES_MAX} tries")


async def careful_buy(exchange: Any, symbol: str, amount: float, order_id: str) -> dict[str, Any]:
    """The same with one change: after a try without an answer it asks whether the order is there."""
    for _ in range(TRIES_MAX):
        try:
            return await exchange.create_order(symbol, "market", "buy", amount, None, {"clientOrderId": order_id})
        except ccxt.NetworkError:
            await asyncio.sleep(1)  # longer than queries trail orders, and than a request may still be on its way
        found = await look_up(exchange, symbol, order_id)
        if found is not None:
            return found
    raise ccxt.NetworkError(f"no answer for {order_id} after {TRIES_MAX} tries")


async def look_up(exchange: Any, symbol: str, order_id: str) -> dict[str, Any] | None:
    """The order, or None when the exchange has none of that id. Goes on until the exchange has said which."""
    while True:
        try:
            return await exchange.fetch_order(None, symbol, {"clientOrderId": order_id})
        except ccxt.OrderNotFound:
            return None
        except ccxt.NetworkError:
            await asyncio.sleep(1)

"""A small client of a trading API, as one writes it on the first day. It has a bug; run the scenario beside it.

faultline makes one per run, with these arguments, calls ``start``, then ``place`` for each order it wants, and asks
``snapshot`` for what the client believes. Nothing in here knows of faultline.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import aiohttp

ATTEMPTS = 6


class Client:
    """Places orders over REST, and tries again when something goes wrong on the way."""

    def __init__(self, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str) -> None:
        self.rest_url = rest_url
        self.credentials = {"client_id": client_id, "client_secret": client_secret}
        self.orders: dict[str, dict[str, str]] = {}

    async def start(self) -> None:
        """Open the connection pool and log in."""
        self.session = aiohttp.ClientSession(self.rest_url, timeout=aiohttp.ClientTimeout(total=2))
        async with self.session.post("/auth/token", json=self.credentials) as response:
            token = (await response.json())["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    async def stop(self) -> None:
        """Close the connections."""
        await self.session.close()

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        """Place an order: ``accepted``, ``rejected`` (certainly not placed) or ``unknown``."""
        order = {"symbol": symbol, "side": side, "type": order_type, "quantity": quantity, "price": price}
        for attempt in range(ATTEMPTS):
            # The bug: every try gets a new key, so the venue cannot know that it is the same order.
            # The fix: make the key once, before the loop.
            order["client_order_id"] = uuid.uuid4().hex
            try:
                async with self.session.post("/orders", json=order) as response:
                    answer = await response.json()
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.5 * 2**attempt)
                continue
            if response.status in (200, 201):
                self.orders[intent_id] = {"order_id": answer["order_id"], "status": answer["status"]}
                return "accepted"
            if response.status < 500:
                return "rejected"
            await asyncio.sleep(0.5 * 2**attempt)
        return "unknown"

    def snapshot(self) -> dict[str, Any]:
        """What the client believes now."""
        return {"orders": self.orders}

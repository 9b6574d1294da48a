"""A small client of the generic venue, just enough to be driven. The others here are this one with one change."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import aiohttp

DONE = "accepted"


class Tiny:
    """Stores each intent before it sends it, with its id as the key, and tries until it is answered."""

    def __init__(self, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str) -> None:
        self.rest_url = rest_url
        self.stream_url = stream_url
        self.store_path = store_path
        self.credentials = {"client_id": client_id, "client_secret": client_secret}
        self.tasks: list[asyncio.Task[Any]] = []
        self.db = sqlite3.connect(store_path)
        self.db.execute("CREATE TABLE IF NOT EXISTS orders (intent TEXT PRIMARY KEY, status TEXT)")

    async def start(self) -> None:
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1))
        token = (await self.send("POST", "/auth/token", self.credentials))[1]["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.session.close()
        self.db.close()

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        while True:
            try:
                async with self.session.request(method, self.rest_url + path, json=body) as response:
                    return response.status, await response.json()
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.1)

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        self.note(intent_id, "pending")
        body = {
            "client_order_id": intent_id,
            "symbol": symbol,
            "side": side,
            "type": order_type,
            "quantity": quantity,
            "price": price,
        }
        status, _ = await self.send("POST", "/orders", body)
        self.note(intent_id, "new" if status in (201, 409) else "rejected")
        return DONE if status in (201, 409) else "rejected"

    def note(self, intent: str, status: str) -> None:
        with self.db:
            self.db.execute("INSERT OR REPLACE INTO orders VALUES (?, ?)", (intent, status))

    def snapshot(self) -> dict[str, Any]:
        rows = self.db.execute("SELECT intent, status FROM orders").fetchall()
        return {"orders": {intent: {"status": status} for intent, status in rows}}

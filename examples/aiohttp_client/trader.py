"""A trading client on aiohttp that keeps a book of its own orders."""

import asyncio
import uuid
from typing import Any

import aiohttp

OPEN = ("new", "partially_filled", "pending_cancel")


class Trader:
    """Places limit orders. ``book`` is what became of each, by the name that the caller gave it."""

    def __init__(self, base_url: str, client_id: str, client_secret: str) -> None:
        self.base_url = base_url
        self.credentials = {"client_id": client_id, "client_secret": client_secret}
        self.book: dict[str, dict[str, Any]] = {}

    async def __aenter__(self) -> "Trader":
        self.session = aiohttp.ClientSession(self.base_url, timeout=aiohttp.ClientTimeout(total=2))
        async with self.session.post("/auth/token", json=self.credentials) as response:
            token = (await response.json())["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.session.close()

    async def buy(self, name: str, symbol: str, quantity: int, price: int) -> bool:
        """Whether the order was placed."""
        order = {"client_order_id": uuid.uuid4().hex, "symbol": symbol, "side": "buy", "type": "limit"}
        order |= {"quantity": str(quantity), "price": str(price)}
        self.book[name] = order | {"status": "unknown", "filled": "0"}
        await self.place(name, order)
        return self.book[name]["status"] != "rejected"

    async def place(self, name: str, order: dict[str, str]) -> None:
        """Send the order. No answer means that it failed."""
        try:
            async with self.session.post("/orders", json=order) as response:
                response.raise_for_status()
                self.book[name] = await response.json()
        except (aiohttp.ClientError, TimeoutError):
            self.book[name]["status"] = "rejected"

    async def refresh(self) -> None:
        """Look up what is open."""
        for name, order in self.book.items():
            if order["status"] in OPEN:
                async with self.session.get(f"/orders/{order['order_id']}") as response:
                    self.book[name] = await response.json()


class CarefulTrader(Trader):
    """The same with one change: no answer means that nobody knows, so it asks."""

    async def place(self, name: str, order: dict[str, str]) -> None:
        while True:
            try:
                async with self.session.post("/orders", json=order) as response:
                    if response.status in (200, 201):
                        self.book[name] = await response.json()
                        return
                    if response.status in (400, 422):
                        self.book[name]["status"] = "rejected"
                        return
                # Any other answer (409: this order is there already) and none at all: the venue has it, or has it not.
            except (aiohttp.ClientError, TimeoutError):
                pass
            found = await self.look_up(order["client_order_id"])
            if found is not None:
                self.book[name] = found
                return
            await asyncio.sleep(0.5)

    async def look_up(self, key: str) -> dict[str, Any] | None:
        try:
            async with self.session.get("/orders", params={"client_order_id": key}) as response:
                response.raise_for_status()
                orders = (await response.json())["orders"]
                return orders[-1] if orders else None
        except (aiohttp.ClientError, TimeoutError):
            return None

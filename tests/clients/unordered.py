"""A client that depends on where its objects lie in memory: it iterates over a set of them."""

from __future__ import annotations

from typing import Any

from tests.clients.tiny import Tiny


class Check:
    """Something to look at before an order is placed. It hashes by its address, like any plain object."""

    def __init__(self, path: str) -> None:
        self.path = path


class Unordered(Tiny):
    async def place(self, intent_id: str, **order: Any) -> str:
        checks = {Check(path) for path in ("/time", "/health", "/positions", "/fills", "/orders")}
        for check in checks:
            await self.send("GET", check.path)
        return await super().place(intent_id, **order)


class Ordered(Tiny):
    async def place(self, intent_id: str, **order: Any) -> str:
        for check in [Check(path) for path in ("/time", "/health", "/positions", "/fills", "/orders")]:
            await self.send("GET", check.path)
        return await super().place(intent_id, **order)

"""Small clients of the ProjectX gateway and of the payments API, each careful and careless about its key."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.clients.tiny import DONE, Tiny


class ProjectX(Tiny):
    """Places with the intent as ``customTag``; a tag that is taken means that the order is there."""

    async def start(self) -> None:
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1))
        user, key = self.credentials.values()
        login = await self.call("Auth/loginKey", {"userName": user, "apiKey": key})
        self.session.headers["Authorization"] = f"Bearer {login['token']}"

    async def call(self, path: str, body: dict[str, Any]) -> Any:
        while True:
            status, answer = await self.send("POST", f"/api/{path}", body)
            if status == 200:
                return answer
            await asyncio.sleep(1)

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        self.note(intent_id, "pending")
        body = {
            "accountId": 1,
            "contractId": f"CON.F.US.{symbol}.Z26",
            "type": 1,
            "side": 0 if side == "buy" else 1,
            "size": int(quantity),
            "limitPrice": float(price),
            "customTag": self.tag(intent_id),
        }
        answer = await self.call("Order/place", body)
        placed = answer["success"] or "customTag" in answer["errorMessage"]
        self.note(intent_id, "new" if placed else "rejected")
        return DONE if placed else "rejected"

    def tag(self, intent_id: str) -> str | None:
        return intent_id


class UntaggedProjectX(ProjectX):
    """Sends no tag, so trying again is ordering again."""

    def tag(self, intent_id: str) -> str | None:
        return None


class Payments(Tiny):
    """Charges with the intent as idempotency key."""

    async def start(self) -> None:
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1))
        self.session.headers["Authorization"] = f"Bearer {self.credentials['client_secret']}"
        self.numbers = itertools.count(1)

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        self.note(intent_id, "pending")
        form = urlencode({"amount": quantity, "currency": "usd", "source": "tok_visa"})
        while True:
            headers = {"Idempotency-Key": self.key(intent_id), "Content-Type": "application/x-www-form-urlencoded"}
            try:
                url = f"{self.rest_url}/v1/charges"
                async with self.session.post(url, data=form, headers=headers) as response:
                    if response.status in (200, 402):
                        break
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2)
        self.note(intent_id, "filled" if response.status == 200 else "rejected")
        return DONE if response.status == 200 else "rejected"

    def key(self, intent_id: str) -> str:
        return intent_id


class RekeyingPayments(Payments):
    """Makes a key for each try, as if that helped."""

    def key(self, intent_id: str) -> str:
        return f"{intent_id}-try-{next(self.numbers)}"

"""A client that works. It was written against a venue on a good day, and on such a day nothing is wrong with it.

It is what most people write first: short, readable, with retries and a reconnect. Each mistake in it has been made
in published clients, and each needs a fault to show:

=================================================== =======================================================
what it does                                        what shows it
=================================================== =======================================================
a new idempotency key for every try                 an answer that is lost: the order exists twice
takes the last timeout for a rejection              a late or a lost answer: an order nobody watches
writes an order down after sending it               a crash in between: the next process orders again
subscribes once, not on each connection             a disconnect: nothing is heard from then on
never asks for what it missed                       a disconnect, a dropped message, a silent stream
waits for the next message for ever                 a half-open connection
adds every fill that it hears of                    a message delivered twice
takes a fill for the whole order                    a partial fill
renews its token only when it is refused            a token that expires: a round of 401 first
renews it once for each request refused             several requests at once: all but one renewal are wasted
retries at its own pace, whatever ``Retry-After``   a 429, and after some more of them a ban
takes an unanswered cancel for a failed one         an answer that is lost: the order is gone all the same
=================================================== =======================================================
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from contextlib import suppress
from decimal import Decimal
from typing import Any

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_fixed
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException


class TryAgain(Exception):
    """The venue could not answer just now."""


TRANSIENT = (aiohttp.ClientError, TimeoutError, TryAgain)


class NaiveFlow:
    """Places, cancels and replaces orders over REST and follows their fills on the stream."""

    workload = "orders"

    def __init__(self, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str) -> None:
        self._rest_url = rest_url
        self._stream_url = stream_url
        self._store_path = store_path
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self._token = ""
        self._refresh_token = ""
        self._orders: dict[str, dict[str, str]] = {}
        self._intents: dict[str, str] = {}
        self._early: dict[str, list[dict[str, Any]]] = {}
        self._positions: dict[str, Decimal] = {}
        self._fills: list[str] = []

    async def start(self) -> None:
        """Log in, subscribe, and load the orders of the last run."""
        self._db = sqlite3.connect(self._store_path)
        self._db.execute("CREATE TABLE IF NOT EXISTS orders (intent TEXT PRIMARY KEY, data TEXT)")
        for intent, data in self._db.execute("SELECT intent, data FROM orders"):
            self._remember(intent, json.loads(data))
        self._session = aiohttp.ClientSession(self._rest_url, timeout=aiohttp.ClientTimeout(total=3))
        await self._log_in()
        self._socket = await self._connect()
        # Subscribed here, once: a connection made later has no subscription.
        await self._socket.send(json.dumps({"op": "subscribe", "topics": ["fills"]}))
        self._listener = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Close everything."""
        self._listener.cancel()
        with suppress(asyncio.CancelledError):
            await self._listener
        await self._socket.close()
        await self._session.close()
        self._db.close()

    def snapshot(self) -> dict[str, object]:
        """What the client believes now."""
        return {
            "orders": dict(self._orders),
            "positions": {symbol: str(quantity) for symbol, quantity in self._positions.items()},
            "fills": list(self._fills),
            "stale": False,
        }

    # Orders

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        """Place an order: ``accepted`` or ``rejected``."""
        if intent_id in self._orders:
            return "rejected" if self._orders[intent_id]["status"] == "rejected" else "accepted"
        order = {"symbol": symbol, "side": side, "type": order_type, "quantity": quantity}
        if price:
            order["price"] = price
        try:
            status, answer = await self._place(order)
        except TRANSIENT:
            # No answer, so no order. The request may have arrived all the same.
            status, answer = 0, {}
        # Written down only now: a process that dies while it waits for the answer knows nothing of the order.
        if status in (200, 201):
            self._save(intent_id, {"order_id": answer["order_id"], "status": answer["status"], "filled": "0"})
            for fill in self._early.pop(answer["order_id"], []):
                self._apply(fill)
            return "accepted"
        self._save(intent_id, {"order_id": "", "status": "rejected", "filled": "0"})
        return "rejected"

    async def _place(self, order: dict[str, str]) -> tuple[int, dict[str, Any]]:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TRANSIENT), stop=stop_after_attempt(5), wait=wait_fixed(0.2), reraise=True
        ):
            with attempt:
                # Each try under a key of its own, so the venue cannot tell a second try from a second order.
                return await self._request("POST", "/orders", {"client_order_id": uuid.uuid4().hex, **order})
        raise AssertionError("reraise=True leaves no other way out")

    async def cancel(self, intent_id: str, *, of: str) -> str:
        """Cancel the order of intent ``of``: ``accepted`` or ``rejected``."""
        order = self._orders.get(of)
        if order is None:
            return "rejected"
        status = await self._amend("DELETE", order)
        if status == 200:
            self._save(of, {**self._orders[of], "status": "canceled"})
        return "accepted" if status == 200 else "rejected"

    async def replace(self, intent_id: str, *, of: str, quantity: str, price: str) -> str:
        """Give the order of intent ``of`` a new quantity and price: ``accepted`` or ``rejected``."""
        order = self._orders.get(of)
        if order is None:
            return "rejected"
        status = await self._amend("PUT", order, {"quantity": quantity, "price": price})
        return "accepted" if status == 200 else "rejected"

    async def _amend(self, method: str, order: dict[str, str], body: dict[str, str] | None = None) -> int:
        try:
            status, _ = await self._request(method, f"/orders/{order['order_id']}", body)
        except TRANSIENT:
            # Taken for a failure, although it may have been carried out.
            return 0
        return status

    # The venue

    async def _request(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        status, answer = await self._send(method, path, body)
        if status == 401:
            # Every request that meets an expired token renews it for itself.
            await self._renew()
            status, answer = await self._send(method, path, body)
        if status >= 500 or status in (418, 429):
            # Whatever Retry-After says, the next try comes in a moment.
            raise TryAgain(status)
        return status, answer

    async def _send(self, method: str, path: str, body: dict[str, str] | None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def _renew(self) -> None:
        async with self._session.post("/auth/refresh", json={"refresh_token": self._refresh_token}) as response:
            if response.status == 200:
                self._keep(await response.json())
                return
        await self._log_in()

    async def _log_in(self) -> None:
        async with self._session.post("/auth/token", json=self._credentials) as response:
            response.raise_for_status()
            self._keep(await response.json())

    def _keep(self, tokens: dict[str, Any]) -> None:
        # How long the token lives is in the answer too; nobody looks.
        self._token = tokens["access_token"]
        self._refresh_token = tokens["refresh_token"]

    # The stream

    async def _connect(self) -> ClientConnection:
        return await connect(f"{self._stream_url}/stream?token={self._token}")

    async def _listen(self) -> None:
        while True:
            # Waits for the next message for ever, and forgets what was sent while there was no connection.
            with suppress(ConnectionClosed):
                async for text in self._socket:
                    message = json.loads(text)
                    if message["topic"] == "fills":
                        self._apply(message["data"])
            await asyncio.sleep(0.5)
            with suppress(OSError, WebSocketException):
                self._socket = await self._connect()

    def _apply(self, fill: dict[str, Any]) -> None:
        intent = self._intents.get(fill["order_id"])
        if intent is None:
            # The stream can be faster than the answer to the order.
            self._early.setdefault(fill["order_id"], []).append(fill)
            return
        quantity = Decimal(fill["quantity"])
        order = self._orders[intent]
        # Added whether or not this fill was heard of before, and taken for all there is to come.
        filled = Decimal(order["filled"]) + quantity
        self._save(intent, {**order, "status": "filled", "filled": str(filled)})
        signed = quantity if fill["side"] == "buy" else -quantity
        self._positions[fill["symbol"]] = self._positions.get(fill["symbol"], Decimal(0)) + signed
        self._fills.append(fill["fill_id"])

    # The store

    def _save(self, intent: str, order: dict[str, str]) -> None:
        self._remember(intent, order)
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO orders VALUES (?, ?)", (intent, json.dumps(order)))

    def _remember(self, intent: str, order: dict[str, str]) -> None:
        self._orders[intent] = order
        if order["order_id"]:
            self._intents[order["order_id"]] = intent

"""A service that keeps the positions of an account: it adds up the fills that a WebSocket tells."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


class Positions:
    """``held`` by symbol; ``applied`` are the ids of the fills in it."""

    def __init__(self, url: str, stream_url: str, client_id: str, client_secret: str) -> None:
        self.url = url
        self.stream_url = stream_url
        self.credentials = {"client_id": client_id, "client_secret": client_secret}
        self.held: dict[str, Decimal] = {}
        self.applied: list[str] = []
        self.live = asyncio.Event()

    def apply(self, fill: dict[str, Any]) -> None:
        sign = 1 if fill["side"] == "buy" else -1
        self.held[fill["symbol"]] = self.held.get(fill["symbol"], Decimal(0)) + sign * Decimal(fill["quantity"])
        self.applied.append(fill["fill_id"])

    async def run(self) -> None:
        """Follow the stream until cancelled. When the connection breaks, connect again."""
        async with aiohttp.ClientSession(self.url) as self.session:
            async with self.session.post("/auth/token", json=self.credentials) as response:
                token = (await response.json())["access_token"]
            self.session.headers["Authorization"] = f"Bearer {token}"
            async for stream in connect(f"{self.stream_url}/stream?token={token}"):
                try:
                    await self.follow(stream)
                except ConnectionClosed:
                    self.live.clear()

    async def follow(self, stream: ClientConnection) -> None:
        await stream.send(json.dumps({"op": "subscribe", "topics": ["fills"]}))
        async for text in stream:
            message = json.loads(text)
            if message["topic"] == "subscribed":
                self.live.set()
            if message["topic"] == "fills":
                self.apply(message["data"])


class SyncedPositions(Positions):
    """The same with one change: what happened while nobody listened is fetched, and nothing counts twice."""

    last_sequence = 0

    async def follow(self, stream: ClientConnection) -> None:
        await stream.send(json.dumps({"op": "subscribe", "topics": ["fills"]}))
        async for text in stream:
            message = json.loads(text)
            if message["topic"] == "subscribed":
                await self.resync()
                self.live.set()
            if message["topic"] == "fills":
                if message["sequence"] > self.last_sequence + 1:
                    await self.resync()
                self.apply(message["data"])
            if message["topic"] == "heartbeat" and message["last_sequence"]["fills"] > self.last_sequence:
                await self.resync()  # the gap was at the end, where no later message shows it

    async def resync(self) -> None:
        async with self.session.get("/fills", params={"since": self.last_sequence}) as response:
            for fill in (await response.json())["fills"]:
                self.apply(fill)

    def apply(self, fill: dict[str, Any]) -> None:
        if fill["sequence"] > self.last_sequence:
            self.last_sequence = fill["sequence"]
            super().apply(fill)

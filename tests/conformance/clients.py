"""Clients, as their users write them, and what they saw in a form that can be compared."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import aiohttp
import httpx
from websockets.asyncio.client import connect

from tests.conformance.pace import paced

TIMEOUT_S = 0.25
CLOSE_TIMEOUT_S = 0.1


async def aiohttp_post(url: str, requests: int, pause_s: float, payload: bytes) -> object:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=paced(TIMEOUT_S))) as session:
        seen = []
        for ordinal in range(requests):
            if ordinal:
                await asyncio.sleep(paced(pause_s))
            async with session.post(url, data=payload) as response:
                seen.append((response.status, await response.read()))
        return seen


async def aiohttp_get(url: str, requests: int, pause_s: float, payload: bytes) -> object:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=paced(TIMEOUT_S))) as session:
        seen = []
        for ordinal in range(requests):
            if ordinal:
                await asyncio.sleep(paced(pause_s))
            async with session.get(url) as response:
                seen.append((response.status, await response.read()))
        return seen


async def httpx_post(url: str, requests: int, pause_s: float, payload: bytes) -> object:
    async with httpx.AsyncClient(timeout=paced(TIMEOUT_S), trust_env=False, verify=False) as client:
        seen = []
        for ordinal in range(requests):
            if ordinal:
                await asyncio.sleep(paced(pause_s))
            response = await client.post(url, content=payload)
            seen.append((response.status_code, response.content))
        return seen


async def aiohttp_websocket(url: str, requests: int, pause_s: float, payload: bytes) -> object:
    seen: list[object] = []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=paced(CLOSE_TIMEOUT_S))) as socket,
    ):
        for _ in range(2):
            message = await socket.receive(timeout=paced(TIMEOUT_S))
            shown = message.data if not isinstance(message.data, Exception) else saw(message.data)
            seen.append((message.type.name, shown, message.extra))
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                break
        error = socket.exception()
        return seen, socket.close_code, None if error is None else saw(error)


async def websockets_client(url: str, requests: int, pause_s: float, payload: bytes) -> object:
    seen: list[object] = []
    async with connect(
        "ws" + url.removeprefix("http"), close_timeout=paced(CLOSE_TIMEOUT_S), open_timeout=paced(TIMEOUT_S), proxy=None
    ) as socket:
        try:
            seen.append(await asyncio.wait_for(socket.recv(), paced(TIMEOUT_S)))
            seen.append(await asyncio.wait_for(socket.recv(), paced(TIMEOUT_S)))
        except Exception as error:
            return seen, saw(error)
        return seen


Client = Callable[[str, int, float, bytes], Awaitable[object]]
HTTP_CLIENTS: tuple[Client, ...] = (aiohttp_post, aiohttp_get, httpx_post)
WEBSOCKET_CLIENTS: tuple[Client, ...] = (aiohttp_websocket, websockets_client)


# Ports, addresses of objects, elapsed times, and the answer to a random WebSocket key.
_UNSTEADY = re.compile(r"127\.0\.0\.1:\d+|'127\.0\.0\.1', (port=)?\d+|port=\d+|0x\w+|[\d.]+ sec|header: \S+=$")


def saw(error: BaseException) -> tuple[str, ...]:
    """An exception and what caused it: types and texts, without addresses and times."""
    chain, seen = [], set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if not isinstance(current, asyncio.CancelledError):
            text = _UNSTEADY.sub("@", str(current))[:200]
            chain.append(f"{type(current).__module__}.{type(current).__qualname__}: {text}")
        current = current.__cause__ or current.__context__
    return tuple(chain)

"""Signed requests as a client makes them, without a client: for what the published ones never send."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from faultline.venues import signing
from faultline.venues.base import Message, Request
from faultline.venues.http import split_target
from faultline.venues.profiles.spot import KEY, SECRET
from tests.venues.profiles.kit import Stage


def by_query(
    stage: Stage,
    method: str,
    path: str,
    params: dict[str, Any] | None = None,
    *,
    header: str = "x-mbx-apikey",
    in_body: bool = False,
    ahead_ms: float = 0,
    **changes: Any,
) -> tuple[int, Any]:
    """A request as Binance and MEXC sign it; ``changes`` to the parameters come after the signature was made."""
    now_ms = round((stage.simulation.start_wall_s + stage.now_s) * 1000 + ahead_ms)
    text = urlencode({**(params or {}), "timestamp": now_ms})
    text += f"&signature={signing.hex_hmac(SECRET, text)}"
    for name, value in changes.items():
        text += f"&{name}={value}"
    target = path if in_body else f"{path}?{text}"
    query = split_target(target)[1]
    request = Request(method, path, query, {header: KEY}, text.encode() if in_body else b"", target=target)
    return answered(stage, request)


def answered(stage: Stage, request: Request) -> tuple[int, Any]:
    """What the venue says to a request."""
    response = stage.venue.handle(request)
    return response.status, json.loads(response.body)


class Ear:
    """A stream connection that only remembers."""

    def __init__(self, path: str, **query: str) -> None:
        self.ordinal = 1
        self.request = Request("GET", path, query)
        self.messages: list[Message] = []
        self.pings: list[str] = []
        self.ponged = ""
        self.closed: tuple[int, str] | None = None

    def push(self, message: Message) -> None:
        self.messages.append(message)

    def ping(self, payload: str) -> None:
        self.pings.append(payload)

    def close(self, code: int, reason: str = "") -> None:
        self.closed = (code, reason)

    def take(self) -> list[Any]:
        bodies = [message.body for message in self.messages]
        self.messages.clear()
        return [json.loads(body) if body[:1] in "{[" else body for body in bodies]

"""A control API on a free port, and a client that shows status, headers and body as they are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from faultline.worlds.live.proxy import ControlApi, ProxyServer


class Answer(NamedTuple):
    status: int
    body: Any
    text: str
    headers: Any


class Api:
    def __init__(self, control: ControlApi, session: aiohttp.ClientSession) -> None:
        self.control = control
        self.session = session
        self.port = control.listen.port if control.listen else 0

    async def __call__(self, method: str, path: str, body: object = None, **options: Any) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.session.request(method, path, data=data, **options) as answer:
            text = await answer.text()
            try:
                parsed = json.loads(text)
            except ValueError:
                parsed = None
            return Answer(answer.status, parsed, text, answer.headers)


@asynccontextmanager
async def serving(*, token: str | None = None, seed: int = 7, metrics: bool = False) -> AsyncIterator[Api]:
    control = ControlApi(ProxyServer(seed=seed, counts=metrics, dial_timeout_s=2), token=token, metrics=metrics)
    at = await control.start("127.0.0.1", 0)
    timeout = aiohttp.ClientTimeout(total=8)
    try:
        async with aiohttp.ClientSession(f"http://{at}", timeout=timeout) as session:
            yield Api(control, session)
    finally:
        await control.stop()

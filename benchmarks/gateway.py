"""The gateway beside its upstream and a naive forwarder, all in one run.

Upstream, gateway, forwarder and load share one process and one loop, so a rate says what each costs in processor time
and the figures are ratios within one repetition. The load is written on bare streams, so that it costs little.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from statistics import median
from typing import Final

import aiohttp
from aiohttp import web

from benchmarks.figure import REAL, Figure
from benchmarks.loopback import serving
from faultline.gateway import Gateway
from faultline.worlds.live.gateway import EffectRule

CONNECTIONS: Final = 8
REQUESTS: Final = 400
ALONE: Final = 300
REPETITIONS: Final = 5
_BODY: Final = b'{"side": "buy", "price": "1"}'
_REQUEST: Final = (
    b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k%%d\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_keys, _ids = count(), count()


async def _orders(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"id": f"o{next(_ids)}"})


@asynccontextmanager
async def _forwarding(upstream: str) -> AsyncIterator[str]:
    """The forwarder that anybody would write."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {name: value for name, value in request.headers.items() if name != "Host"}
            url = f"http://{upstream}{request.raw_path}"
            async with session.request(request.method, url, data=body, headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        async with serving(app, "127.0.0.1") as address:
            yield address


async def _load(address: str, connections: int, requests: int) -> float:
    """Seconds for so many requests on each of so many connections."""
    host, _, port = address.rpartition(":")

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(requests):
            # A new key each time, as clients have it: nothing that remembers heads may gain by their being equal.
            writer.write(_REQUEST % next(_keys))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        writer.close()

    began_s = REAL.wall_s()
    await asyncio.gather(*(one() for _ in range(connections)))
    return REAL.wall_s() - began_s


async def _measured() -> dict[str, list[float]]:
    app = web.Application()
    app.router.add_post("/orders", _orders)
    rules = [EffectRule("POST /orders", key="header Idempotency-Key")]
    seconds: dict[str, list[float]] = {}
    async with (
        serving(app, "127.0.0.1") as upstream,
        _forwarding(upstream) as naive,
        Gateway(f"http://{upstream}", effects=rules) as gateway,
    ):
        ways = {"upstream": upstream, "naive": naive, "gateway": gateway.url.removeprefix("http://")}
        for address in ways.values():
            await _load(address, 2, 50)
        for _ in range(REPETITIONS):
            for way, address in ways.items():
                gc.collect()
                seconds.setdefault(way, []).append(await _load(address, CONNECTIONS, REQUESTS))
                seconds.setdefault(f"{way} alone", []).append(await _load(address, 1, ALONE))
    return seconds


def figures() -> Iterator[Figure]:
    """Requests per second at eight connections, and the time that one request takes more."""
    seconds = asyncio.run(_measured())
    for way in ("upstream", "naive", "gateway"):
        yield Figure(f"gateway.{way}", CONNECTIONS * REQUESTS / median(seconds[way]), "requests/s")
    for way, aim in (("naive", ""), ("gateway", ">= 0.45")):
        ratio = median(own / its for own, its in zip(seconds["upstream"], seconds[way], strict=True))
        yield Figure(f"gateway.{way}_ratio", ratio, "x", aim)
    for way, aim in (("naive", ""), ("gateway", "<= 0.2")):
        pairs = zip(seconds["upstream alone"], seconds[f"{way} alone"], strict=True)
        yield Figure(f"gateway.{way}_added", median(its - own for own, its in pairs) / ALONE * 1000, "ms", aim)

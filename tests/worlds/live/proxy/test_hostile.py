"""Clients that stop reading, upstreams that do not answer, requests that never end: the others do not notice."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from faultline.worlds.live.proxy import guard
from tests.worlds.live.proxy.api import Api, serving
from tests.worlds.live.proxy.kit import HOST, until

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


async def quick(api: Api, *request: object) -> int:
    began_s = time.monotonic()
    answer = await api(*request)  # type: ignore[arg-type]
    assert time.monotonic() - began_s < 2
    return answer.status


async def test_a_client_that_stops_reading_stalls_neither_the_api_nor_another_client() -> None:
    async with serving() as api:
        server = await asyncio.start_server(flood, HOST, 0)
        upstream = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        await api("POST", "/proxies", {"name": "db", "upstream": upstream})
        proxy = api.control.server.get("db").proxy
        with socket.socket() as stalled:
            stalled.connect((HOST, proxy.listen_port))
            await until(lambda: any(each.client.unsent_bytes for each in proxy.connections))
            for kind in ("latency", "bandwidth", "noop", "slow_close", "timeout", "limit_data"):
                toxic = {"type": kind, "name": kind, "attributes": {"rate": 1} if kind == "bandwidth" else {}}
                assert await quick(api, "POST", "/proxies/db/toxics", toxic) == 200
                assert await quick(api, "PATCH", f"/proxies/db/toxics/{kind}", {"toxicity": 0.5}) == 200
                assert await quick(api, "DELETE", f"/proxies/db/toxics/{kind}") == 204
            assert await quick(api, "POST", "/reset") == 204
            reader, writer = await asyncio.open_connection(HOST, proxy.listen_port)
            assert len(await reader.readexactly(300_000)) == 300_000
            writer.transport.abort()
            assert await quick(api, "PATCH", "/proxies/db", {"enabled": False}) == 200
            assert await quick(api, "DELETE", "/proxies/db") == 204
        server.close()


async def test_a_black_holed_upstream_stalls_neither_the_api_nor_its_own_removal() -> None:
    with socket.socket() as hole, socket.socket() as filler, socket.socket() as filler2:
        hole.bind((HOST, 0))
        hole.listen(0)
        for each in (filler, filler2):
            each.setblocking(False)
            each.connect_ex(hole.getsockname())
        async with serving() as api:
            await api("POST", "/proxies", {"name": "db", "upstream": f"{HOST}:{hole.getsockname()[1]}"})
            proxy = api.control.server.get("db").proxy
            clients = [await asyncio.open_connection(HOST, proxy.listen_port) for _ in range(5)]
            await until(lambda: len(proxy.connections) == 5)
            assert await quick(api, "POST", "/proxies/db/toxics", {"type": "latency"}) == 200
            assert await quick(api, "PATCH", "/proxies/db", {"enabled": False}) == 200
            assert await quick(api, "DELETE", "/proxies/db") == 204
            for reader, writer in clients:
                assert await reader.read() == b""
                writer.close()


async def test_hundreds_of_idle_connections_leave_room_for_the_next() -> None:
    async with serving() as api:
        server = await asyncio.start_server(flood, HOST, 0)
        await api("POST", "/proxies", {"name": "db", "upstream": f"{HOST}:{server.sockets[0].getsockname()[1]}"})
        idle = []
        for _ in range(300):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex((HOST, api.port))
            idle.append(each)
        assert await quick(api, "GET", "/proxies") == 200
        for each in idle:
            each.close()
        server.close()


async def test_a_request_that_never_ends_is_cut_off_and_others_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "IDLE_S", 0.3)
    monkeypatch.setattr(guard, "_SWEEP_S", 0.1)
    monkeypatch.setattr(guard.ConnectionGuard.__init__, "__kwdefaults__", {"idle_s": 0.3, "sweep_s": 0.1})
    async with serving() as api:
        reader, writer = await asyncio.open_connection(HOST, api.port)
        writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert await quick(api, "GET", "/version") == 200
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("nonsense", [b"\x00\xff\x00\xff\r\n\r\n", b"GET /" + b"a" * 100_000, b"x" * 70_000])
async def test_malformed_requests_end_and_harm_nobody(nonsense: bytes) -> None:
    async with serving() as api:
        reader, writer = await asyncio.open_connection(HOST, api.port)
        writer.write(nonsense + b" HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read(12)
        assert answer in (b"", b"HTTP/1.0 400", b"HTTP/1.1 400")
        writer.close()
        assert await quick(api, "GET", "/version") == 200

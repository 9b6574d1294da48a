"""A fault heals itself when its owner is gone."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
import time

import pytest

from faultline.errors import HarnessError
from faultline.worlds.live.proxy import keep_lease
from tests.worlds.live.proxy.api import Api, serving
from tests.worlds.live.proxy.kit import until

DB = {"name": "db", "upstream": "127.0.0.1:9"}
HOLE = {"type": "timeout", "name": "hole"}


def leased(lease: str) -> dict[str, dict[str, str]]:
    return {"headers": {"X-Faultline-Lease": lease}}


async def toxics(api: Api) -> list[str]:
    return [each["name"] for each in (await api("GET", "/proxies/db/toxics")).body]


OWNER = """
import asyncio, sys, aiohttp
from faultline.worlds.live.proxy import keep_lease

async def main(url):
    async with keep_lease(url) as lease, aiohttp.ClientSession(url) as session:
        headers = {"X-Faultline-Lease": lease}
        await session.post("/proxies/db/toxics", json={"type": "timeout", "name": "hole"}, headers=headers)
        await session.patch("/proxies/db", json={"enabled": False}, headers=headers)
        await session.post("/proxies", json={"name": "own", "upstream": "127.0.0.1:9"}, headers=headers)
        print("armed", flush=True)
        await asyncio.sleep(60)

asyncio.run(main(sys.argv[1]))
"""


async def test_everything_heals_within_five_seconds_when_the_owner_is_killed() -> None:
    async with serving() as api:
        await api("POST", "/proxies", DB)
        await api("POST", "/proxies/db/toxics", {"type": "latency", "name": "mine"})
        owner = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(OWNER), f"http://127.0.0.1:{api.port}", stdout=asyncio.subprocess.PIPE
        )
        try:
            assert owner.stdout is not None
            assert await asyncio.wait_for(owner.stdout.readline(), 30) == b"armed\n"
            assert await toxics(api) == ["mine", "hole"]
            assert (await api("GET", "/proxies/db")).body["enabled"] is False
        finally:
            owner.send_signal(signal.SIGKILL)
            await owner.wait()
        killed_s = time.monotonic()
        server = api.control.server
        await until(lambda: len(server.get("db").toxics) == 1 and "own" not in server.proxies)
        await until(lambda: server.get("db").proxy.is_listening)
        assert time.monotonic() - killed_s < 5
        assert await toxics(api) == ["mine"]


async def test_a_lease_is_renewed_while_its_owner_lives_and_ends_with_it() -> None:
    async with serving() as api:
        await api("POST", "/proxies", DB)
        async with keep_lease(f"http://127.0.0.1:{api.port}", seconds=0.3) as lease:
            assert (await api("POST", "/proxies/db/toxics", HOLE, **leased(lease))).status == 200
            await asyncio.sleep(0.7)
            assert await toxics(api) == ["hole"]
        assert await toxics(api) == []


async def test_a_lease_of_seconds_is_renewed_by_the_same_request_again() -> None:
    async with serving() as api:
        await api("POST", "/proxies", DB)
        await api("POST", "/proxies/db/toxics", HOLE, **leased("0.4"))
        for _ in range(3):
            await asyncio.sleep(0.2)
            assert (await api("PATCH", "/proxies/db/toxics/hole", {}, **leased("0.4"))).status == 200
        await until(lambda: not api.control.server.get("db").toxics, within_s=2)


async def test_a_lease_that_is_not_there_is_refused_before_anything_is_done() -> None:
    async with serving() as api:
        await api("POST", "/proxies", DB)
        assert (await api("POST", "/proxies/db/toxics", HOLE, **leased("gone"))).status == 404
        assert (await api("POST", "/proxies/db/toxics", HOLE, **leased("60"))).status == 400
        assert await toxics(api) == []


async def test_what_was_removed_and_made_again_does_not_fall_with_the_old_lease() -> None:
    async with serving() as api:
        await api("POST", "/proxies", DB)
        lease = (await api("POST", "/lease", {"seconds": 5})).body["lease"]
        await api("POST", "/proxies/db/toxics", HOLE, **leased(lease))
        await api("DELETE", "/proxies/db/toxics/hole")
        await api("POST", "/proxies/db/toxics", HOLE)
        assert (await api("DELETE", f"/lease/{lease}")).status == 204
        assert await toxics(api) == ["hole"]


async def test_a_server_that_knows_no_leases_is_said_so() -> None:
    async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(deny, "127.0.0.1", 0)
    with pytest.raises(HarnessError, match="gives no lease: 404"):
        async with keep_lease(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"):
            pass
    server.close()

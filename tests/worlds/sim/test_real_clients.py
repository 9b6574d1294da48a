"""redis.asyncio and asyncpg, unmodified, in the simulated world: connect, use, time out, reconnect after a fault.

The servers are stubs that speak just enough of either protocol to be believed.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim.kit import VENUE, new_simulation

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve, port: int) -> AsyncIterator[None]:
    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(quietly, VENUE, port)
    try:
        yield
    finally:
        server.close()


def played(main: Callable[[Simulation], Awaitable[None]]) -> Simulation:
    simulation = new_simulation()
    simulation.run(lambda: main(simulation))
    assert simulation.escapes == []
    assert simulation.blocking_sleeps == []
    return simulation


# Redis


class Redis:
    """Strings only, RESP2. ``slow_s`` is how long a GET takes."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.slow_s = 0.0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            count = int((await reader.readuntil(b"\r\n"))[1:])
            words = []
            for _ in range(count):
                size = int((await reader.readuntil(b"\r\n"))[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            writer.write(await self.answer(*words))

    async def answer(self, command: bytes, *words: bytes) -> bytes:
        match command.upper():
            case b"GET":
                await asyncio.sleep(self.slow_s)
                value = self.held.get(words[0])
                return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)
            case b"SET":
                self.held[words[0]] = words[1]
                return b"+OK\r\n"
            case b"INCRBY":
                self.held[words[0]] = b"%d" % (int(self.held.get(words[0], b"0")) + int(words[1]))
                return b":%b\r\n" % self.held[words[0]]
            case b"CLIENT":
                return b"+OK\r\n"
        return b"-ERR unknown command %b\r\n" % command


def test_redis_is_used_times_out_in_virtual_time_and_comes_back() -> None:
    redis = pytest.importorskip("redis.asyncio", reason="redis is not installed")
    server = Redis()

    async def main(simulation: Simulation) -> None:
        async with serving(server.serve, 6379):
            client = redis.Redis(host=VENUE, protocol=2, socket_timeout=30, retry=None)
            assert await client.set("a", "7")
            assert await client.get("a") == b"7"
            assert [await client.incr("n") for _ in range(3)] == [1, 2, 3]
            async with client.pipeline(transaction=False) as pipeline:
                assert await pipeline.incr("n").get("a").execute() == [4, b"7"]
            server.slow_s, began_s = 3600.0, simulation.now_s()
            with pytest.raises(redis.TimeoutError):
                await client.get("a")
            assert simulation.now_s() - began_s == pytest.approx(30, abs=0.1)
            server.slow_s, before = 0.0, server.connections
            assert await client.get("a") == b"7"
            simulation.network.connections("rest")[-1].cut("rst")
            await asyncio.sleep(1)
            with pytest.raises(redis.ConnectionError):
                await client.get("a")
            assert await client.get("a") == b"7"
            assert server.connections > before
            await client.aclose()

    played(main)


# PostgreSQL


def framed(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


READY = framed(b"Z", b"I")
INT4 = 23
PARAMETERS = {"server_version": "16.0", "client_encoding": "UTF8", "integer_datetimes": "on", "TimeZone": "UTC"}
ROW = struct.pack("!h", 1) + b"n\0" + struct.pack("!ihihih", 0, 0, INT4, 4, -1, 1)


class Postgres:
    """Answers every query with the number of queries so far: one row, one integer. ``slow_s`` is how long it takes."""

    def __init__(self) -> None:
        self.queries = 0
        self.slow_s = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!i", await reader.readexactly(4))
        await reader.readexactly(size - 4)
        told = [framed(b"S", f"{name}\0{value}\0".encode()) for name, value in PARAMETERS.items()]
        writer.write(
            framed(b"R", struct.pack("!i", 0)) + b"".join(told) + framed(b"K", struct.pack("!ii", 1, 1)) + READY
        )
        while True:
            kind, size = struct.unpack("!ci", await reader.readexactly(5))
            await reader.readexactly(size - 4)
            if kind == b"X":
                return
            writer.write(await self.answer(kind))

    async def answer(self, kind: bytes) -> bytes:
        done = framed(b"C", b"SELECT 1\0")
        match kind:
            case b"P":
                return framed(b"1")
            case b"D":
                return framed(b"t", struct.pack("!h", 0)) + framed(b"T", ROW)
            case b"B":
                return framed(b"2")
            case b"E":
                await asyncio.sleep(self.slow_s)
                self.queries += 1
                return framed(b"D", struct.pack("!hii", 1, 4, self.queries)) + done
            case b"C":
                return framed(b"3")
            case b"Q":
                return done + READY
            case b"S":
                return READY
        return b""


def test_asyncpg_is_used_times_out_in_virtual_time_and_comes_back() -> None:
    asyncpg = pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    server = Postgres()

    async def main(simulation: Simulation) -> None:
        async def connected() -> Any:
            return await asyncpg.connect(host=VENUE, port=5432, user="u", password="p", database="d", ssl=False)

        async with serving(server.serve, 5432):
            connection = await connected()
            assert connection.get_server_version().major == 16
            assert [await connection.fetchval("SELECT n FROM counter") for _ in range(3)] == [1, 2, 3]
            assert await connection.execute("SELECT 1") == "SELECT 1"
            server.slow_s, began_s = 3600.0, simulation.now_s()
            with pytest.raises(TimeoutError):
                await connection.fetchval("SELECT n FROM counter", timeout=20)
            assert simulation.now_s() - began_s == pytest.approx(20, abs=0.1)
            connection.terminate()
            server.slow_s = 0.0
            connection = await connected()
            before = server.queries
            simulation.network.connections("rest")[-1].cut("rst")
            with pytest.raises((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
                await connection.fetchval("SELECT n FROM counter")
            assert connection.is_closed()
            connection = await connected()
            assert await connection.fetchval("SELECT n FROM counter") == before + 1
            await connection.close()

    played(main)

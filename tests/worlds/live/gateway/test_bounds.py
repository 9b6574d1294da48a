"""Clients and upstreams that misbehave: each is bounded in time and in memory, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from faultline.gateway import Gateway
from faultline.history.event import Answered, Received
from faultline.worlds.live.gateway import EffectRule, client, streams
from faultline.worlds.live.gateway.dial import IDLE_FOR_CHANGES_S
from faultline.worlds.live.gateway.framing import UNREAD_MAX_BYTES
from tests.worlds.live.gateway.upstream import Upstream, serving
from tests.worlds.live.proxy.kit import until

RECV_BYTES = 256 * 1024
"""What a loop reads at once: a bound may be passed by one such piece."""
BUFFERED_MAX_BYTES = UNREAD_MAX_BYTES + 2 * RECV_BYTES
HELLO = b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with serving() as upstream:
        yield upstream


@asynccontextmanager
async def connected(gateway: Gateway, data: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    try:
        writer.write(data)
        yield reader, writer
    finally:
        writer.transport.abort()


async def others_go_on(gateway: Gateway) -> None:
    async with asyncio.timeout(5), connected(gateway, HELLO) as (reader, _):
        assert (await reader.read()).endswith(b"\r\n\r\nhello")


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that still comes, by an orderly end or a reset."""
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


def buffered_bytes(gateway: Gateway) -> int:
    """What waits in the gateway's memory, all connections together."""
    server, pool = gateway._server, gateway._server._around.pool
    sides = [*server._open, *pool._busy]
    unread = sum(side._body._unread_bytes for side in sides if side._body is not None)
    return unread + sum(len(side._came) + side.transport.get_write_buffer_size() for side in sides)


async def test_a_body_that_never_ends_waits_at_its_sender(upstream: Upstream) -> None:
    async with Gateway(upstream.url, answer_s=1.0) as gateway:
        head = b"POST /deaf HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with connected(gateway, head) as (_, writer):
            piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"

            async def send() -> None:
                while True:
                    writer.write(piece)
                    await writer.drain()

            sending = asyncio.create_task(send())
            await until(lambda: any(each._body and each._body.held_back for each in gateway._server._open))
            assert buffered_bytes(gateway) <= BUFFERED_MAX_BYTES
            await others_go_on(gateway)
            sending.cancel()
        # Who is held back is not heard hanging up; the silence of the upstream ends it all the same.
        await until(lambda: gateway._server.connections == 0)
        assert not gateway._server._around.pool._busy


async def test_an_answer_that_never_ends_waits_at_the_upstream_and_its_client_has_a_time_to_take_it(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n"
    async with Gateway(upstream.url, answer_s=0.3) as gateway, connected(gateway, endless):
        await until(lambda: any(each._body and each._body.held_back for each in gateway._server._around.pool._busy))
        assert buffered_bytes(gateway) <= BUFFERED_MAX_BYTES
        await others_go_on(gateway)
        assert upstream.cancelled == []
    monkeypatch.setattr(client, "SILENT_S", 0.1)
    upstream.cancelled.clear()
    async with Gateway(upstream.url) as gateway, connected(gateway, endless):
        await until(lambda: upstream.cancelled == ["/endless"])
        await until(lambda: gateway._server.connections == 0)


async def test_slow_heads_and_slow_bodies_have_a_time(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENT_S", 0.1)
    async with Gateway(upstream.url, idle_s=0.2) as gateway:
        body = b"POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1"
        async with (
            connected(gateway, b"GET / HTTP/1.1\r\n") as (reader, writer),
            connected(gateway, body) as (second, _),
        ):

            async def drip() -> None:
                while True:
                    writer.write(b"X")
                    await asyncio.sleep(0.01)

            dripping = asyncio.create_task(drip())
            assert await ended(reader) == b""
            assert await ended(second) == b""
            dripping.cancel()
        await others_go_on(gateway)
        # A head or a body that never came whole is no request.
        assert [event.endpoint for event in gateway.history.of(Received)] == ["PUT /echo"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, b"HTTP/1.1 431 "),
        (b"GET /" + b"a" * 100_000, b"HTTP/1.1 431 "),
        (b"\x16\x03\x01\x02\x00", b"HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", b"HTTP/1.1 501 "),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", b"HTTP/1.1 505 "),
        # Garbage in the middle of a body that streams: the upstream is cut off, and the client told.
        (b"POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 400 "),
        (b"POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", b"HTTP/1.1 400 "),
        (b"POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 10_000, b"HTTP/1.1 400 "),
    ],
)
async def test_what_is_not_http_or_could_be_read_two_ways_is_refused(
    upstream: Upstream, data: bytes, told: bytes
) -> None:
    async with Gateway(upstream.url) as gateway:
        async with connected(gateway, data) as (reader, _):
            assert (await ended(reader)).startswith(told)
        await others_go_on(gateway)
        assert upstream.received_bytes <= 3


async def test_there_are_only_so_many_connections_and_idle_ones_go_first(upstream: Upstream) -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    async with Gateway(upstream.url, connections_max=2) as gateway:
        async with connected(gateway, b"") as (first, _), connected(gateway, b"GET /") as (second, _):
            await until(lambda: gateway._server.connections == 2)
            await others_go_on(gateway)
            assert await ended(first) == b""
            async with connected(gateway, slow), connected(gateway, slow):
                await until(lambda: len(upstream.requests) == 3)
                assert await ended(second) == b""
                async with connected(gateway, HELLO) as (refused, _):
                    assert await ended(refused) == b""
        await until(lambda: gateway._server.connections == 0)
        await others_go_on(gateway)


# WebSockets


FRAMES = {
    "a reserved opcode": "8b00",
    "a length beyond the bound": "827f3fffffffffffffff",
    "a control frame that is too long": "897e0100",
    "a continuation of nothing": "8000",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_a_bad_frame_ends_its_stream_on_both_sides_and_no_other(
    upstream: Upstream, frame: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_CLOSE_S", 0.05)
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    shake = b" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + key
    async with Gateway(upstream.url) as gateway, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{gateway.url}/stream") as other:
            masked = bytes.fromhex(frame)
            masked = masked[:1] + bytes([masked[1] | 0x80]) + masked[2:] + b"\0\0\0\0"
            async with connected(gateway, b"GET /stream" + shake) as (reader, writer):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                writer.write(masked)
                assert len(await ended(reader)) < 200
            async with connected(gateway, b"GET /bad_frames?hex=" + frame.encode() + shake) as (reader, _):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                assert len(await ended(reader)) < 200
            await other.send_str("still here")
            assert await other.receive_str(timeout=5) == "still here"
        await until(lambda: gateway._server.connections == 0)


# Kept connections


@asynccontextmanager
async def answering(
    answer: Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """An upstream of a few lines; ``answer`` gets the number of the connection."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            await answer(count, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


ORDER = b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
DONE = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("method", [b"POST", b"GET"])
async def test_a_request_on_a_connection_that_ends_under_it_is_never_sent_again(method: bytes) -> None:
    seen: list[int] = []

    async def once(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answered in (True, False):
            await reader.readuntil(b"{}")
            seen.append(number)
            if answered:
                writer.write(DONE)

    async with answering(once) as url, Gateway(url, effects=[EffectRule("* /orders")]) as gateway:
        async with connected(gateway, ORDER) as (reader, writer):
            assert b" 201 " in await reader.readuntil(b"{}")
            writer.write(ORDER.replace(b"POST", method))
            assert b" 502 " in await reader.readuntil(b"\r\n\r\n")
        assert seen == [1, 1]
        assert [event.status for event in gateway.history.of(Answered)] == [201, 502]


async def test_a_connection_that_ended_while_idle_or_said_more_than_it_was_asked_is_not_used_again() -> None:
    seen: list[int] = []

    async def then_end(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        seen.append(number)
        writer.write(DONE + (DONE if number == 2 else b""))
        if number == 3:
            await reader.readuntil(b"{}")

    async with answering(then_end) as url, Gateway(url) as gateway, connected(gateway, b"") as (reader, writer):
        pool = gateway._server._around.pool
        for _ in range(4):
            writer.write(ORDER)
            assert b" 201 " in await reader.readuntil(b"{}")
            if len(seen) < 3:
                await until(lambda: all(each.transport.is_closing() for each in pool._idle))
            # The third stays open, and is too old for a request that changes something.
            for each in pool._idle:
                each.active_s -= IDLE_FOR_CHANGES_S + 1.0
        assert seen == [1, 2, 3, 4]

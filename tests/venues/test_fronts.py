"""Both HTTP fronts, on loopback and in the simulation: a client sees the same of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from faultline.faults.actions import Cut, Delay, Hold, How, Reply
from faultline.history.event import Answered, Effect, Received
from faultline.venues.base import Request, Response
from faultline.venues.http import HEAD_MAX_BYTES
from faultline.venues.kill import PARTIAL_PAUSE_S

from .conftest import ORDER, Live, on_each_front, until

QUIET_S = 0.2
"""How long silence is listened to."""


class Wire:
    """A client that sees bytes."""

    def __init__(self, live: Live, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.live = live
        self.reader = reader
        self.writer = writer

    def send(self, method: str, path: str, body: bytes = b"", *headers: str, version: str = "1.1") -> None:
        lines = [f"{method} {path} HTTP/{version}", f"Host: {self.live.host}"]
        lines += [f"{name}: {value}" for name, value in self.live.headers.items()]
        lines += headers or ((f"Content-Length: {len(body)}",) if body else ())
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def answer(self, *, bodiless: bool = False) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
        assert head[0].startswith("HTTP/1.1 ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        length = 0 if bodiless else int(headers.get("content-length", 0))
        return int(head[0].split()[1]), headers, await asyncio.wait_for(self.reader.readexactly(length), 5)

    async def ends(self) -> bytes:
        """What comes until the other side ends the connection. Raises ConnectionResetError for a reset."""
        return await asyncio.wait_for(self.reader.read(), 5)

    async def is_silent(self) -> bool:
        try:
            await asyncio.wait_for(self.reader.read(1), QUIET_S)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def wire(live: Live) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(live.host, live.port)
    try:
        yield Wire(live, reader, writer)
    finally:
        writer.close()


def placed(key: str, **changes: str) -> bytes:
    return json.dumps({**ORDER, "client_order_id": key, **changes}).encode()


@on_each_front()
async def test_requests_share_a_connection_and_are_answered_in_order(live: Live) -> None:
    live.parts.decider.strike("GET /orders/{id}", "before", Delay(0.05))
    async with wire(live) as client:
        client.send("POST", "/orders", placed("a"))
        client.send("GET", "/orders/order1")
        client.send("GET", "/orders")
        statuses, bodies = [], []
        for _ in range(3):
            status, headers, body = await client.answer()
            statuses.append(status)
            bodies.append(json.loads(body))
            assert headers["content-type"] == "application/json"
    assert statuses == [201, 200, 200]
    assert bodies[1]["client_order_id"] == "a"
    assert [order["order_id"] for order in bodies[2]["orders"]] == ["order1"]


@on_each_front()
async def test_connections_are_numbered_and_arrivals_counted(live: Live) -> None:
    async with wire(live) as first, wire(live) as second:
        for client in (second, first, second):
            client.send("GET", "/time")
            await client.answer()
    arrived = live.parts.history.of(Received)
    assert [(event.request, event.connection, event.nth) for event in arrived] == [(1, 2, 1), (2, 1, 2), (3, 2, 3)]
    assert all(event.sent_t is None or event.sent_t < event.t for event in arrived)


@on_each_front()
async def test_query_path_and_headers_arrive_as_they_were_meant(live: Live) -> None:
    seen: list[Request] = []
    handle = live.parts.venue.handle

    def remember(request: Request) -> Response:
        seen.append(request)
        return handle(request)

    live.parts.venue.handle = remember  # type: ignore[method-assign]
    async with wire(live) as client:
        target = "/orders/%C3%A4?client_order_id=a%2Fb&client_order_id=c+d&since"
        client.send("GET", target, b"", "X-Twice: 1", "x-twice: 2")
        await client.answer()
    (request,) = seen
    assert request.path == "/orders/ä"
    assert request.query == {"client_order_id": "a/b,c d", "since": ""}
    assert request.headers["x-twice"] == "1, 2"
    assert request.number == 1


@on_each_front()
async def test_a_chunked_body_arrives_whole(live: Live) -> None:
    body = placed("chunked")
    async with wire(live) as client:
        client.send("POST", "/orders", b"", "Transfer-Encoding: chunked")
        for piece in (body[:7], body[7:]):
            client.writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await asyncio.sleep(0.002)
        client.writer.write(b"0\r\n\r\n")
        assert (await client.answer())[0] == 201


@on_each_front()
async def test_a_request_may_arrive_byte_by_byte(live: Live) -> None:
    async with wire(live) as client:
        raw = f"GET /orders HTTP/1.1\r\nHost: x\r\nAuthorization: {live.headers['Authorization']}\r\n\r\n".encode()
        for number in range(len(raw)):
            client.writer.write(raw[number : number + 1])
            await asyncio.sleep(0)
        assert (await client.answer())[0] == 200


@on_each_front()
async def test_a_client_may_wait_for_leave_to_send_its_body(live: Live) -> None:
    async with wire(live) as client:
        for key in ("polite", "again"):
            body = placed(key)
            client.send("POST", "/orders", b"", f"Content-Length: {len(body)}", "Expect: 100-continue")
            assert (await client.answer())[0] == 100
            client.writer.write(body)
            assert (await client.answer())[0] == 201


@on_each_front()
async def test_head_has_the_length_and_no_body(live: Live) -> None:
    async with wire(live) as client:
        client.send("HEAD", "/health")
        status, headers, _ = await client.answer(bodiless=True)
        client.send("GET", "/health")
        assert (status, headers["content-length"]) == (200, str(len((await client.answer())[2])))


@on_each_front()
async def test_a_client_that_asks_for_the_end_gets_it(live: Live) -> None:
    async with wire(live) as client:
        client.send("GET", "/health", b"", "Connection: close")
        assert (await client.answer())[0] == 200
        assert await client.ends() == b""
    async with wire(live) as client:
        client.send("GET", "/health", version="1.0")
        assert b'{"status":"ok"}' in await client.ends()


@on_each_front()
async def test_garbage_is_a_400_and_the_end(live: Live) -> None:
    for garbage in (b"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n", b"G\x00T / HTTP/1.1\r\n\r\n"):
        async with wire(live) as client:
            client.writer.write(garbage)
            assert (await client.ends()).startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert live.parts.history.of(Received) == []


@on_each_front()
async def test_what_came_before_the_garbage_is_answered(live: Live) -> None:
    async with wire(live) as client:
        client.send("GET", "/health")
        await client.answer()
        client.writer.write(b"nonsense\r\n\r\n")
        assert (await client.ends()).split()[1] == b"400"


@on_each_front()
async def test_a_head_without_end_is_refused(live: Live) -> None:
    async with wire(live) as client:
        client.writer.write(b"GET / HTTP/1.1\r\nA: " + b"x" * (HEAD_MAX_BYTES + 8))
        assert (await client.ends()).split()[1] in (b"400", b"431")


@on_each_front()
async def test_a_large_body_reaches_the_venue(live: Live) -> None:
    live.parts.decider.strike("POST /orders", "before", Delay(0.0))
    async with wire(live) as client:
        client.send("POST", "/orders", b"x" * 2_000_000)
        assert (await client.answer())[0] == 400
    assert live.parts.decider.asked[0].size_bytes == 2_000_000


# What faults ask for


async def cut(live: Live, how: How, after_bytes: int, phase: str) -> Any:
    live.parts.decider.strike("POST /orders", phase, Cut(after_bytes=after_bytes, how=how))
    async with wire(live) as client:
        client.send("POST", "/orders", placed("k"))
        got = await asyncio.wait_for(client.reader.readexactly(after_bytes), 5) if after_bytes else b""
        assert got == b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"[:after_bytes]
        if how == "silence":
            assert await client.is_silent()
            client.send("GET", "/health")
            assert await client.is_silent()
        elif how == "fin":
            assert await client.ends() == b""
        else:
            with pytest.raises(ConnectionResetError):
                await client.ends()
    assert live.rest.in_flight == 0
    assert len(live.parts.history.of(Effect)) == (phase == "after")
    assert [event.endpoint for event in live.parts.history.of(Received)] == ["POST /orders"]


def _cut_test(how: How, after_bytes: int, phase: str) -> Any:
    async def body(live: Live) -> None:
        await cut(live, how, after_bytes, phase)

    body.__name__ = f"test_{how}_{phase}_the_effect_after_{after_bytes}_bytes"
    return on_each_front(fill_delay_s=60.0)(body)


for _how in ("fin", "rst", "silence"):
    for _after_bytes, _phase in ((0, "before"), (0, "after"), (30, "after")):
        _test = _cut_test(_how, _after_bytes, _phase)  # type: ignore[arg-type]
        globals()[_test.__name__] = _test


@on_each_front()
async def test_an_aiohttp_client_sees_a_lost_response_as_one(live: Live) -> None:
    kinds: dict[str, type[Exception]] = {"fin": aiohttp.ServerDisconnectedError, "rst": aiohttp.ClientOSError}
    async with aiohttp.ClientSession(headers=live.headers) as session:
        for how, kind in kinds.items():
            live.parts.decider.strike("POST /orders", "after", Cut(how=how))  # type: ignore[arg-type]
            with pytest.raises(kind):
                await session.post(f"{live.url}/orders", data=placed(how))
        live.parts.decider.strike("POST /orders", "after", Cut(after_bytes=150, how="fin"))
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.post(f"{live.url}/orders", data=placed("part")) as response:
                await response.read()
        async with session.get(f"{live.url}/orders") as response:
            listed = [order["client_order_id"] for order in (await response.json())["orders"]]
    assert listed == ["fin", "rst", "part"]


@on_each_front()
async def test_a_late_request_takes_effect_after_its_client_has_gone(live: Live) -> None:
    live.parts.decider.strike("POST /orders", "before", Delay(0.15))
    async with wire(live) as client:
        client.send("POST", "/orders", placed("late"))
        await until(lambda: live.rest.in_flight == 1)
    assert live.parts.history.of(Effect) == []
    await until(lambda: len(live.parts.history.of(Effect)) > 0)
    await until(lambda: live.rest.in_flight == 0)
    (answered,) = live.parts.history.of(Answered)
    assert answered.fate == "lost"


@on_each_front()
async def test_a_cut_of_a_connection_whose_client_has_gone_is_no_trouble(live: Live) -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))
    for how in ("rst", "fin", "silence"):
        live.parts.decider.strike("GET /time", "before", Delay(0.05))
        live.parts.decider.strike("GET /time", "after", Cut(after_bytes=9, how=how))
        async with wire(live) as client:
            client.send("GET", "/time")
            await until(lambda: live.rest.in_flight == 1)
        await until(lambda: live.rest.in_flight == 0)
    assert len(live.parts.history.of(Answered)) == 3
    assert heard == []


@on_each_front()
async def test_a_client_that_hangs_up_between_a_partial_response_and_its_reset_is_no_trouble(live: Live) -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))
    live.parts.decider.strike("GET /time", "after", Cut(after_bytes=9, how="rst"))
    async with wire(live) as client:
        client.send("GET", "/time")
        await client.reader.readexactly(9)
        client.writer.transport.abort()
    await asyncio.sleep(PARTIAL_PAUSE_S * 3)
    async with wire(live) as client:
        client.send("GET", "/time")
        assert (await client.answer())[0] == 200
    assert heard == []


@on_each_front()
async def test_a_reply_of_a_fault_has_its_status_headers_and_body(live: Live) -> None:
    reply = Reply(503, (("Retry-After", "2"), ("X-Odd", "1")), b"<html>busy</html>")
    live.parts.decider.strike("GET /time", "before", reply)
    async with wire(live) as client:
        client.send("GET", "/time")
        status, headers, body = await client.answer()
        assert (status, headers["retry-after"], headers["x-odd"], body) == (503, "2", "1", b"<html>busy</html>")
        client.send("GET", "/time")
        assert (await client.answer())[0] == 200


@on_each_front()
async def test_stopping_ends_what_faults_hold_for_ever(live: Live) -> None:
    live.parts.decider.strike("GET /time", "before", Hold())
    live.parts.decider.strike("GET /health", "after", Cut(how="silence"))
    async with wire(live) as held, wire(live) as silent:
        held.send("GET", "/time")
        silent.send("GET", "/health")
        await until(lambda: len(live.parts.history.of(Answered)) == 1)
        await asyncio.wait_for(live.rest.stop(), 2)
        assert live.rest.in_flight == 0
        for client in (held, silent):
            try:
                ended = await client.ends()
            except ConnectionResetError:
                ended = b""
            assert ended == b""
    with pytest.raises(OSError, match=r".*"):
        await asyncio.open_connection(live.host, live.port)


@on_each_front()
async def test_a_bug_in_the_venue_is_heard_of_and_leaves_nobody_waiting(live: Live) -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context["exception"]))

    def broken(request: Request) -> Response:
        raise RuntimeError("a bug")

    live.parts.venue.handle = broken  # type: ignore[method-assign]
    async with wire(live) as client:
        client.send("GET", "/time")
        with pytest.raises(ConnectionResetError):
            await client.ends()
    assert [str(error) for error in heard] == ["a bug"]
    assert live.rest.in_flight == 0


@on_each_front()
async def test_a_body_that_breaks_off_is_no_request(live: Live) -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))
    async with wire(live) as client:
        client.send("POST", "/orders", b"", "Content-Length: 500")
        client.writer.write(b"half")
        await asyncio.sleep(0.02)
        assert live.rest.in_flight == 0
    async with wire(live) as client:
        client.send("GET", "/time")
        await client.answer()
    await until(lambda: live.rest.in_flight == 0)
    assert [event.endpoint for event in live.parts.history.of(Received)] == ["GET /time"]
    assert heard == []


@on_each_front()
async def test_many_connections_at_once_are_served(live: Live) -> None:
    async def one(number: int) -> int:
        async with wire(live) as client:
            client.send("POST", "/orders", placed(f"k{number}", price=str(100 + number)))
            return (await client.answer())[0]

    assert await asyncio.gather(*map(one, range(50))) == [201] * 50
    assert len(live.parts.history.of(Effect)) >= 50


def test_a_front_gives_a_url_with_its_port() -> None:
    @on_each_front()
    async def check(live: Live) -> None:
        assert live.url == f"http://{live.host}:{live.port}"
        assert live.port > 0

    check("loopback", "raw")
    check("loopback", "aiohttp")


@on_each_front()
async def test_a_venue_sees_the_target_as_it_was_sent(live: Live) -> None:
    seen: list[Request] = []
    venue: Any = live.parts.venue
    handle = venue.handle
    venue.handle = lambda request: seen.append(request) or handle(request)
    async with wire(live) as client:
        client.send("GET", "/time?b=%20x&a=1%2C2")
        await client.answer()
    assert seen[0].target == "/time?b=%20x&a=1%2C2"
    assert seen[0].raw_query == "b=%20x&a=1%2C2"
    assert seen[0].query == {"b": " x", "a": "1,2"}

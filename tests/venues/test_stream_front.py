"""The WebSocket front, on loopback and in the simulation, with an unmodified client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from faultline.faults.actions import Cut, Delay, Drop, Duplicate, Hold, How
from faultline.history.event import Connected, Delivered, Disconnected
from faultline.venues.base import Connection, Message, Request

from .conftest import ORDER, Live, on_each_world, until

QUIET_S = 0.15


@asynccontextmanager
async def subscribed(live: Live, *topics: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"{live.stream_url}/stream?token={live.token}", close_timeout=0.5) as client:
        await client.send(json.dumps({"op": "subscribe", "topics": topics or ["fills"]}))
        assert json.loads(await client.recv())["topic"] == "subscribed"
        yield client


def place(live: Live, key: str, kind: str = "market", price: str = "100") -> None:
    body = json.dumps({**ORDER, "type": kind, "client_order_id": key, "price": price}).encode()
    headers = {"authorization": live.headers["Authorization"]}
    assert live.parts.venue.handle(Request("POST", "/orders", {}, headers, body)).status == 201


async def fills(client: ClientConnection, count: int) -> list[int]:
    return [json.loads(await asyncio.wait_for(client.recv(), 5))["sequence"] for _ in range(count)]


async def ending(client: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await asyncio.wait_for(client.recv(), 5)
    return closed.value.rcvd.code if closed.value.rcvd is not None else 1006


def delivered(live: Live) -> list[tuple[int, str]]:
    return [(event.sequence, event.fate) for event in live.parts.history.of(Delivered)]


QUIET = {"heartbeat_s": 60.0}


@on_each_world(**QUIET)
async def test_messages_come_in_order_to_each_subscriber(live: Live) -> None:
    async with subscribed(live) as one, subscribed(live) as two:
        for number in range(20):
            place(live, f"k{number}")
        assert await fills(one, 20) == list(range(1, 21))
        assert await fills(two, 20) == list(range(1, 21))
        assert live.stream.in_flight == 0
    assert len(delivered(live)) == 40


@on_each_world(**QUIET)
async def test_connections_are_in_the_history_from_start_to_end(live: Live) -> None:
    for code in (1000, 3999):
        async with connect(f"{live.stream_url}/stream?token={live.token}") as client:
            await client.close(code)
    await until(lambda: len(live.parts.history.of(Disconnected)) == 2)
    opened = [(event.connection, event.stream, event.token) for event in live.parts.history.of(Connected)]
    assert opened == [(1, "user", "<token#1>"), (2, "user", "<token#1>")]
    closed = [(event.connection, event.code) for event in live.parts.history.of(Disconnected)]
    assert closed == [(1, 1000), (2, 3999)]


@on_each_world(**QUIET)
async def test_a_bad_token_and_a_bad_path_are_closed_by_the_venue(live: Live) -> None:
    for path, code in ((f"/stream?token={live.token}x", 4401), ("/stream", 4401), (f"/x?token={live.token}", 4404)):
        async with connect(f"{live.stream_url}{path}") as client:
            assert await ending(client) == code
    await until(lambda: len(live.parts.history.of(Disconnected)) == 3)
    assert [event.code for event in live.parts.history.of(Disconnected)] == [4401, 4401, 4404]


@on_each_world(**QUIET)
async def test_a_header_may_carry_the_token_too(live: Live) -> None:
    async with connect(f"{live.stream_url}/stream", additional_headers=live.headers) as client:
        await client.send('{"op": "ping"}')
        assert json.loads(await client.recv()) == {"topic": "pong"}


@on_each_world(**QUIET)
async def test_whatever_a_client_sends_is_answered(live: Live) -> None:
    async with connect(f"{live.stream_url}/stream?token={live.token}") as client:
        for garbage in ("nonsense", b"\xff\xfe", "[" * 5000, b'{"op": "ping"}'):
            await client.send(garbage)
        topics = [json.loads(await asyncio.wait_for(client.recv(), 5))["topic"] for _ in range(4)]
    assert topics == ["error", "error", "error", "pong"]


@on_each_world(heartbeat_s=0.02)
async def test_heartbeats_come_and_are_no_messages_of_the_history(live: Live) -> None:
    async with subscribed(live) as client:
        beats = [json.loads(await client.recv()) for _ in range(3)]
    assert [beat["topic"] for beat in beats] == ["heartbeat"] * 3
    assert delivered(live) == []


@on_each_world(**QUIET)
async def test_a_dropped_message_leaves_a_gap_and_a_doubled_one_comes_twice(live: Live) -> None:
    live.parts.decider.strike("stream user", "out", Drop())
    async with subscribed(live) as client:
        place(live, "a")
        await until(lambda: delivered(live) == [(1, "dropped")])
        live.parts.decider.strike("stream user", "out", Duplicate(copies=2))
        place(live, "b")
        place(live, "c")
        assert await fills(client, 4) == [2, 2, 2, 3]


@on_each_world(**QUIET)
async def test_a_delayed_message_delays_those_behind_it(live: Live) -> None:
    live.parts.decider.strike("stream user", "out", Delay(0.1))
    async with subscribed(live) as client:
        place(live, "a")
        place(live, "b")
        assert live.stream.in_flight == 2
        before = live.parts.context.now_s()
        assert await fills(client, 2) == [1, 2]
        assert live.parts.context.now_s() - before > 0.09
        assert live.stream.in_flight == 0


@on_each_world(**QUIET)
async def test_a_message_can_be_overtaken(live: Live) -> None:
    live.parts.decider.strike("stream user", "out", Hold(overtaken_by=1))
    async with subscribed(live) as client:
        for key in "abc":
            place(live, key)
        assert await fills(client, 3) == [2, 1, 3]


@pytest.mark.parametrize(
    ("how", "code", "seen"),
    [("fin", 1006, 1006), ("rst", 1006, 1006), ("close", 4000, 4000), ("close", 1006, 1001), ("close", 99, 1001)],
)
def test_a_cut_ends_the_connection_as_it_says(how: How, code: int, seen: int) -> None:
    async def body(live: Live) -> None:
        live.parts.decider.strike("stream user", "out", Cut(how=how, code=code), nth=1)
        async with subscribed(live) as client:
            place(live, "a")
            place(live, "b")
            assert await ending(client) == seen
        (gone,) = live.parts.history.of(Disconnected)
        assert (gone.connection, gone.code) == (1, seen)
        assert delivered(live) == [(1, "lost")]
        assert live.stream.in_flight == 0
        async with subscribed(live) as again:
            place(live, "c")
            assert await fills(again, 1) == [3]

    for world in ("loopback", "sim"):
        on_each_world(**QUIET)(body)(world)


@on_each_world(heartbeat_s=0.01)
async def test_a_silent_connection_stays_open_and_answers_nothing(live: Live) -> None:
    live.parts.decider.strike("stream user", "out", Cut(how="silence"))
    async with subscribed(live) as client:
        place(live, "a")
        await until(lambda: len(live.parts.history.of(Disconnected)) == 1)
        with pytest.raises(TimeoutError):
            # Heartbeats that had left before may still come; after them nothing does, not even a pong.
            while True:
                await asyncio.wait_for(client.recv(), QUIET_S)
        pong = await client.ping()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pong, QUIET_S)
        place(live, "b")
        assert delivered(live) == [(1, "lost")]
        assert live.stream.in_flight == 0


@on_each_world(**QUIET)
async def test_connections_can_be_cut_from_outside(live: Live) -> None:
    async with subscribed(live) as one, subscribed(live) as two:
        assert live.parts.interceptor.cut_streams("stream *", Cut(how="rst"), connection=2) == 1
        assert await ending(two) == 1006
        place(live, "a")
        assert await fills(one, 1) == [1]


@on_each_world(**QUIET)
async def test_a_client_that_vanishes_is_noticed(live: Live) -> None:
    async with subscribed(live) as client:
        client.transport.abort()
        await until(lambda: len(live.parts.history.of(Disconnected)) == 1)
        place(live, "a")
    assert [event.code for event in live.parts.history.of(Disconnected)] == [1006]
    assert delivered(live) == []


@on_each_world(**QUIET)
async def test_what_is_pushed_after_the_end_goes_nowhere(live: Live) -> None:
    made: list[Connection] = []
    live.parts.venue.connected = made.append  # type: ignore[method-assign]
    async with connect(f"{live.stream_url}/stream") as client:
        await until(lambda: len(made) == 1)
        made[0].close(4000, "enough")
        made[0].close(4001, "more than enough")
        made[0].push(Message("fills", "{}"))
        assert live.stream.in_flight == 0
        assert await ending(client) == 4000
    made[0].push(Message("fills", "{}"))
    assert live.stream.in_flight == 0
    assert delivered(live) == []


@pytest.mark.parametrize("method", ["connected", "received"])
def test_a_bug_in_the_venue_is_heard_of_and_ends_the_connection(method: str) -> None:
    async def body(live: Live) -> None:
        heard: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context["exception"]))

        def broken(*arguments: object) -> None:
            raise RuntimeError("a bug")

        setattr(live.parts.venue, method, broken)
        async with connect(f"{live.stream_url}/stream?token={live.token}") as client:
            with suppress(ConnectionClosed):
                await client.send("hello")
            assert await ending(client) == 1011
        assert [str(error) for error in heard] == ["a bug"]
        assert len(live.parts.history.of(Disconnected)) == 1

    for world in ("loopback", "sim"):
        on_each_world(**QUIET)(body)(world)


@on_each_world(**QUIET)
async def test_what_meets_a_client_that_has_ended_its_half_is_no_bug(live: Live) -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))
    async with subscribed(live) as client:
        (stream,) = live.stream.connected
        stream.eof_received()
        place(live, "a")
        stream.ping("still there?")
        stream.say("last words")
        await asyncio.sleep(0)
        stream.close(1001)
        await until(lambda: live.stream.in_flight == 0)
        client.transport.close()
    await until(lambda: len(live.parts.history.of(Disconnected)) == 1)
    assert heard == []


@on_each_world(**QUIET)
async def test_a_bug_while_sending_is_heard_of_and_ends_the_connection(live: Live) -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context["exception"]))
    async with subscribed(live) as client:

        async def broken(*arguments: object) -> None:
            raise RuntimeError("a bug")

        live.parts.interceptor.message = broken  # type: ignore[method-assign]
        place(live, "a")
        assert await ending(client) == 1006
    assert [str(error) for error in heard] == ["a bug"]


@on_each_world(**QUIET)
async def test_stopping_drops_even_silent_and_delayed_connections(live: Live) -> None:
    live.parts.decider.strike("stream user", "out", Cut(how="silence"), nth=1)
    async with subscribed(live) as silent, subscribed(live, "orders") as busy:
        place(live, "a")
        await until(lambda: len(live.parts.history.of(Disconnected)) >= 1)
        live.parts.decider.strike("stream user", "out", Delay(1e6))
        place(live, "b")
        await asyncio.wait_for(live.stream.stop(), 3)
        assert await ending(silent) == 1006
        assert await ending(busy) == 1006


@on_each_world(**QUIET)
async def test_a_command_may_come_in_pieces(live: Live) -> None:
    async with connect(f"{live.stream_url}/stream?token={live.token}") as client:
        await client.send(['{"op"', ': "pi', 'ng"}'])
        assert json.loads(await asyncio.wait_for(client.recv(), 5)) == {"topic": "pong"}
        assert await asyncio.wait_for(await client.ping(), 5) >= 0


@on_each_world(**QUIET)
async def test_what_is_no_handshake_is_refused_and_ended(live: Live) -> None:
    port = int(live.stream_url.rpartition(":")[2])
    for sent, answer in ((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 426"), (b"nonsense\r\n\r\n", b"")):
        reader, writer = await asyncio.open_connection(live.host, port)
        writer.write(sent)
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(answer)
        writer.close()
    assert live.parts.history.of(Connected) == []


@on_each_world(**QUIET)
async def test_a_client_that_breaks_the_protocol_is_told_so(live: Live) -> None:
    async with subscribed(live) as client:
        client.transport.write(b"\xff\xff\xff\xff")
        assert await ending(client) == 1002
    await until(lambda: len(live.parts.history.of(Disconnected)) == 1)


@on_each_world(**QUIET)
async def test_a_client_that_ignores_a_close_is_cut_off(live: Live) -> None:
    async with subscribed(live) as client:
        client.transport.pause_reading()
        assert live.parts.interceptor.cut_streams("stream *", Cut(how="close", code=4000)) == 1
        await until(lambda: not live.stream.connected)


@on_each_world(**QUIET)
async def test_a_venue_sees_which_of_its_pings_was_answered(live: Live) -> None:
    opened: list[Connection] = []
    venue: Any = live.parts.venue
    venue.connected = opened.append
    async with connect(f"{live.stream_url}/stream?a=b%20c", close_timeout=0.5, ping_interval=None) as client:
        await until(lambda: bool(opened))
        connection = opened[0]
        assert connection.request.raw_query == "a=b%20c"
        assert connection.ponged == ""
        connection.ping("1767225600")
        await until(lambda: connection.ponged == "1767225600")
        await client.pong("unsolicited")
        await until(lambda: connection.ponged == "unsolicited")
    connection.ping("after the end")

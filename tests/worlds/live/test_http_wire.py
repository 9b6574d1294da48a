"""The HTTP endpoint of a client that is a process: no question is lost, whoever gives up waiting for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from faultline.worlds.live.http_wire import HttpWire


class Ears:
    """Hears lines; those that say ``bad`` are wrong."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def line(self, line: bytes) -> str:
        self.heard.append(line)
        return "this is bad" if line == b"bad" else ""

    def wrong(self, why: str) -> None: ...

    def lost(self, why: str) -> None: ...


@pytest.fixture
async def wire(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpWire]:
    wire = HttpWire()
    await wire.prepare()
    wire.open(Ears())
    yield wire
    wire.close()
    await wire.closed()


@pytest.fixture
async def client(wire: HttpWire) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{wire.env['FAULTLINE_CONTROL_URL']}/") as session:
        yield session


async def next_question(client: aiohttp.ClientSession) -> tuple[int, bytes]:
    async with client.get("next") as answer:
        return answer.status, await answer.read()


async def test_questions_come_one_by_one_and_in_order(wire: HttpWire, client: aiohttp.ClientSession) -> None:
    waiting = asyncio.create_task(next_question(client))
    wire.ask(b"1")
    wire.ask(b"2")
    assert await waiting == (200, b"1\n")
    assert await next_question(client) == (200, b"2\n")


async def test_nothing_for_a_while_is_no_content(
    wire: HttpWire, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faultline.worlds.live.http_wire.POLL_MAX_S", 0.05)
    assert await next_question(client) == (204, b"")
    wire.ask(b"1")
    assert await next_question(client) == (200, b"1\n")


async def test_a_poll_that_was_given_up_takes_no_question_with_it(
    wire: HttpWire, client: aiohttp.ClientSession
) -> None:
    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.05):
                await next_question(client)
    polling = wire._polling
    assert polling is not None
    async with asyncio.timeout(5):
        await asyncio.wait({polling})  # it notices that nobody waits any more
    wire.ask(b"0")
    assert await next_question(client) == (200, b"0\n")


async def test_a_later_poll_takes_the_place_of_the_earlier(wire: HttpWire, client: aiohttp.ClientSession) -> None:
    first = asyncio.create_task(next_question(client))
    second = asyncio.create_task(next_question(client))
    done, (still,) = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    assert done.pop().result() == (204, b"")
    wire.ask(b"1")
    assert await still == (200, b"1\n")


async def test_what_is_wrong_with_a_line_is_answered(wire: HttpWire, client: aiohttp.ClientSession) -> None:
    for body, status, text in ((b"a\nb\n", 204, ""), (b"a\nbad\nc\n", 400, "this is bad\n")):
        async with client.post("say", data=body) as answer:
            assert (answer.status, await answer.text()) == (status, text)
    address = str(client._base_url).rstrip("/")
    guessed = address[:-1] + ("0" if address[-1] != "0" else "1")
    async with client.get(f"{guessed}/next") as answer:
        assert answer.status == 404

"""Lines over pipes: whole, bounded, and never waiting for the other side."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from faultline.worlds.live.pipes import TAIL_BYTES, Lines, Reader, Tail, Writer


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_lines_are_whole_however_they_arrive(size: int) -> None:
    text = b"one\n\ntwo two\nthree\nunfin"
    heard: list[bytes] = []
    lines = Lines(heard.append, lambda: heard.append(b"too long"))
    for start in range(0, len(text), size):
        lines.feed(text[start : start + size])
    assert heard == [b"one", b"", b"two two", b"three"]
    lines.feed(b"ished\n")
    assert heard[-1] == b"unfinished"


def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultline.worlds.live.pipes.LINE_MAX_BYTES", 10)
    heard: list[bytes] = []
    lines = Lines(heard.append, lambda: heard.append(b"too long"))
    for _ in range(11):
        lines.feed(b"x")
    assert heard == [b"too long"]


async def test_a_reader_that_does_not_read_holds_nobody_up_and_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    into, out = os.pipe()
    closed: list[str] = []
    writer = Writer(out, lambda: closed.append("writer"))
    for _ in range(40):
        writer.write(b"x" * 10_000)
    writer.end()
    got: list[bytes] = []
    Reader(into, got.append, lambda: closed.append("reader"))
    await until(lambda: closed)
    assert (sum(map(len, got)), closed) == (400_000, ["reader"])


async def test_a_reader_that_never_reads_or_goes_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultline.worlds.live.pipes.UNREAD_MAX_BYTES", 100_000)
    for leave in (False, True):
        into, out = os.pipe()
        closed: list[str] = []
        writer = Writer(out, lambda closed=closed: closed.append("writer"))  # type: ignore[misc]
        if leave:
            os.close(into)
        for _ in range(40):
            writer.write(b"x" * 10_000)
        assert closed == ["writer"]
        if not leave:
            os.close(into)


def test_last_words_are_few_and_printable() -> None:
    tail = Tail()
    assert "wrote nothing" in tail.shown()
    for number in range(10_000):
        tail.feed(b"line %d \x1b[31m\xff\n" % number)
    shown = tail.shown()
    assert shown.count("\n") == 8
    assert shown.endswith("line 9999 ?[31m\ufffd")
    assert len(shown) < TAIL_BYTES

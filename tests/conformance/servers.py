"""Servers that misbehave, each in one way. The same bodies run on real loopback sockets and in the simulation."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.conformance.pace import paced

Behaviour = Callable[[StreamReader, StreamWriter], Awaitable[None]]

BODY = b'{"order": "accepted"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PAUSE_S = 0.01
LONG_S = 30.0


@dataclass(frozen=True)
class Case:
    """One way to misbehave. ``requests`` are sent one after the other, ``pause_s`` apart."""

    name: str
    behave: Behaviour | None
    requests: int = 1
    pause_s: float = 0.0
    payload_bytes: int = 1


async def request_head(reader: StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def whole_request(reader: StreamReader) -> bytes:
    head = await request_head(reader)
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    if length:
        await reader.readexactly(int(length[1]))
    return head


def reset(writer: StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def send(writer: StreamWriter, data: bytes) -> None:
    """Write, and give the client time to read it before anything else happens."""
    writer.write(data)
    await writer.drain()
    await asyncio.sleep(paced(PAUSE_S))


def end(how: str, writer: StreamWriter) -> Awaitable[None]:
    """The last thing a server does on a connection."""

    async def now() -> None:
        if how == "fin":
            writer.close()
        elif how == "rst":
            reset(writer)
        else:
            await asyncio.sleep(LONG_S)

    return now()


def after_request(data: bytes, how: str) -> Behaviour:
    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        await whole_request(reader)
        if data:
            await send(writer, data)
        await end(how, writer)

    return behave


def at_once(how: str) -> Behaviour:
    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        await end(how, writer)

    return behave


def answering(*answers: bytes, gap_s: float = 0.0) -> Behaviour:
    """Pieces of one answer to one request, ``gap_s`` apart, and then an orderly end."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        await whole_request(reader)
        for answer in answers:
            writer.write(answer)
            await writer.drain()
            await asyncio.sleep(paced(gap_s))
        await asyncio.sleep(paced(PAUSE_S))
        writer.close()

    return behave


def keep_alive(how: str, *, at_next_request: bool) -> Behaviour:
    """Answers once properly; the connection ends with the next request, or while it is idle."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        await whole_request(reader)
        await send(writer, HEAD + BODY)
        if at_next_request:
            await whole_request(reader)
        await end(how, writer)

    return behave


async def twice_on_one_connection(reader: StreamReader, writer: StreamWriter) -> None:
    for _ in range(2):
        await whole_request(reader)
        await send(writer, HEAD + BODY)
    writer.close()


async def answer_without_reading(reader: StreamReader, writer: StreamWriter) -> None:
    await request_head(reader)
    await send(writer, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


HTTP = (
    Case("refused", None),
    Case("fin before the request", at_once("fin")),
    Case("rst before the request", at_once("rst")),
    Case("accepted and silent", at_once("silence")),
    Case("fin after the request", after_request(b"", "fin")),
    Case("rst after the request", after_request(b"", "rst")),
    Case("silence after the request", after_request(b"", "silence")),
    Case("half a head, fin", after_request(HEAD[:25], "fin")),
    Case("half a head, rst", after_request(HEAD[:25], "rst")),
    Case("half a head, silence", after_request(HEAD[:25], "silence")),
    Case("half a body, fin", after_request(HEAD + BODY[:5], "fin")),
    Case("half a body, rst", after_request(HEAD + BODY[:5], "rst")),
    Case("half a body, silence", after_request(HEAD + BODY[:5], "silence")),
    Case("a chunk cut, fin", after_request(CHUNKED + b"a\r\nhello", "fin")),
    Case("a chunk cut, rst", after_request(CHUNKED + b"a\r\nhello", "rst")),
    Case("no last chunk, fin", after_request(CHUNKED + b"5\r\nhello\r\n", "fin")),
    Case("a bad chunk size", after_request(CHUNKED + b"zz\r\nhello", "fin")),
    Case("garbage", after_request(b"\x00\xff garbage\r\n\r\n", "fin")),
    Case("a bad length", after_request(b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "fin")),
    Case("a bad status", after_request(b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", "fin")),
    Case("a head without an end", after_request(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "fin")),
    Case("a body until fin", after_request(b"HTTP/1.1 200 OK\r\n\r\nall of it", "fin")),
    Case("a body until rst", after_request(b"HTTP/1.1 200 OK\r\n\r\nall of it", "rst")),
    Case("http 1.0", after_request(b"HTTP/1.0 200 OK\r\n\r\nold", "fin")),
    Case("byte by byte", answering(*(bytes([byte]) for byte in HEAD + BODY))),
    Case("slow but in time", answering(HEAD, BODY[:5], BODY[5:], gap_s=0.03)),
    Case("slow and too late", answering(HEAD, BODY[:5], BODY[5:], gap_s=0.16)),
    Case("more than announced", answering(HEAD + BODY + b"and more")),
    Case("500", answering(b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno")),
    Case("keep-alive kept", twice_on_one_connection, requests=2),
    Case("keep-alive dropped at the next request, fin", keep_alive("fin", at_next_request=True), requests=2),
    Case("keep-alive dropped at the next request, rst", keep_alive("rst", at_next_request=True), requests=2),
    Case("keep-alive silent at the next request", keep_alive("silence", at_next_request=True), requests=2),
    Case("keep-alive dropped while idle, fin", keep_alive("fin", at_next_request=False), requests=2, pause_s=0.03),
    Case("keep-alive dropped while idle, rst", keep_alive("rst", at_next_request=False), requests=2, pause_s=0.03),
    Case("a large upload", answering(HEAD + BODY), payload_bytes=3_000_000),
    Case("a large upload, rst in the middle", answer_without_reading, payload_bytes=20_000_000),
)  # fmt: skip


def upgrade(head: bytes, *, key_suffix: bytes = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11") -> bytes:
    """The answer that opens a WebSocket."""
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE)
    assert found is not None
    accept = base64.b64encode(hashlib.sha1(found[1] + key_suffix).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, announced: int | None = None) -> bytes:
    """An unmasked frame; ``announced`` lies about its length."""
    size = len(payload) if announced is None else announced
    first = bytes([(0x80 if final else 0) | opcode])
    if size < 126:
        return first + bytes([size]) + payload
    if size < 65536:
        return first + b"\x7e" + size.to_bytes(2, "big") + payload
    return first + b"\x7f" + size.to_bytes(8, "big") + payload


def upgraded(data: bytes, how: str) -> Behaviour:
    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(upgrade(await request_head(reader)))
        await send(writer, data)
        await end(how, writer)

    return behave


def closing(code: int | None, reason: bytes = b"") -> Behaviour:
    payload = b"" if code is None else code.to_bytes(2, "big") + reason

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(upgrade(await request_head(reader)))
        await send(writer, frame(8, payload))
        await reader.read(100)  # the client's own close frame
        writer.close()

    return behave


async def wrong_accept(reader: StreamReader, writer: StreamWriter) -> None:
    await send(writer, upgrade(await request_head(reader), key_suffix=b"another"))
    writer.close()


WEBSOCKET = (
    Case("ws refused", None),
    Case("ws fin before the upgrade", after_request(b"", "fin")),
    Case("ws rst before the upgrade", after_request(b"", "rst")),
    Case("ws half an upgrade, fin", after_request(b"HTTP/1.1 101 Switching Proto", "fin")),
    Case("ws half an upgrade, rst", after_request(b"HTTP/1.1 101 Switching Proto", "rst")),
    Case("ws no upgrade", after_request(HEAD + BODY, "fin")),
    Case("ws forbidden", after_request(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "fin")),
    Case("ws 503", after_request(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "fin")),
    Case("ws garbage", after_request(b"\x00\x01\x02\r\n\r\n", "fin")),
    Case("ws wrong accept", wrong_accept),
    Case("ws fin", upgraded(b"", "fin")),
    Case("ws rst", upgraded(b"", "rst")),
    Case("ws silence", upgraded(b"", "silence")),
    Case("ws a message, fin", upgraded(frame(1, b"hi"), "fin")),
    Case("ws a message, rst", upgraded(frame(1, b"hi"), "rst")),
    Case("ws a frame cut, fin", upgraded(frame(1, b"abc", announced=256), "fin")),
    Case("ws a frame cut, rst", upgraded(frame(1, b"abc", announced=256), "rst")),
    Case("ws a frame cut, silence", upgraded(frame(1, b"abc", announced=256), "silence")),
    Case("ws a message in pieces", upgraded(frame(1, b"he", final=False) + frame(0, b"llo"), "silence")),
    Case("ws a piece missing, fin", upgraded(frame(1, b"he", final=False), "fin")),
    Case("ws a message of a megabyte", upgraded(frame(2, b"x" * 1_000_000), "silence")),
    Case("ws a ping first", upgraded(frame(9, b"p") + frame(1, b"hi"), "silence")),
    Case("ws a bad opcode", upgraded(frame(3, b"a"), "fin")),
    Case("ws reserved bits", upgraded(b"\xf1\x01a", "fin")),
    Case("ws a masked frame", upgraded(b"\x81\x81\x00\x00\x00\x00a", "fin")),
    Case("ws a ping too long", upgraded(frame(9, b"p" * 126), "fin")),
    Case("ws bad text", upgraded(frame(1, b"\xff\xfe"), "fin")),
    Case("ws close 1000", closing(1000)),
    Case("ws close 1001", closing(1001, b"going away")),
    Case("ws close 1011", closing(1011, b"oops")),
    Case("ws close 1013", closing(1013, b"later")),
    Case("ws close 4001", closing(4001, b"token expired")),
    Case("ws close without a code", closing(None)),
    Case("ws close with a forbidden code", closing(1005)),
)

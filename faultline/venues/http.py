"""HTTP/1.1 as bytes: reading requests, writing responses (RFC 9112). No sockets, no clock.

Both REST fronts write responses through :func:`serialise`'s idea of a response, so that "cut after 40 bytes" means
the same bytes everywhere. The parser is strict where leniency would let two readers disagree about where a request
ends: both framings at once, unequal lengths, folded headers and bare line feeds are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote

from faultline.venues.base import Begun, Response

HEAD_MAX_BYTES: Final = 64 * 1024
BODY_MAX_BYTES: Final = 8 * 1024 * 1024
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_REQUEST_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]+) HTTP/([0-9])\.([0-9])")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_TOKEN_BYTES: Final = frozenset(b"!#$%&'*+.^_`|~-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_REMEMBERED_MAX_BYTES: Final = 2048
_BODILESS: Final = frozenset({204, 304})


class BadRequest(Exception):
    """What arrived is not a request that can be read. ``status`` is the answer; the connection ends after it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request line with its headers. Header names are lower case; ``path`` and ``query`` are decoded.

    Heads are remembered and shared: read, never changed.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    keep_alive: bool
    target: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A whole request as it was on the wire."""

    head: Head
    body: bytes


def serialise(response: Response, *, bodiless: bool = False, close: bool = False) -> bytes:
    """``response`` as bytes. ``bodiless`` answers a HEAD; ``close`` announces the end of the connection.

    Of a :class:`Begun` response it is the head with the beginning of the body.
    """
    status = response.status
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if status >= 200 and status not in _BODILESS:
        length = response.length if isinstance(response, Begun) else len(response.body)
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    if close:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    if bodiless or status in _BODILESS:
        return head
    body = response.body
    if body and isinstance(response, Begun) and response.length is None:
        body = b"%x\r\n%b\r\n" % (len(body), body)
    return head + body


def split_target(target: str) -> tuple[str, dict[str, str]]:
    """Path (percent-decoded) and query of a request target. A repeated query key has its values joined by commas."""
    if not target.startswith("/"):
        # Absolute form, as sent to proxies: scheme and host say nothing to a venue.
        _, scheme, rest = target.partition("://")
        target = "/" + rest.partition("/")[2] if scheme else target
    path, mark, raw_query = target.partition("?")
    path = unquote(path) if "%" in path else path
    if not mark:
        return path, {}
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw_query, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    return path, query


def read_head(raw: bytes) -> Head:
    """Read a request line and headers (without the empty line). Raises BadRequest."""
    return _remembered(raw) if len(raw) <= _REMEMBERED_MAX_BYTES else _read_head(raw)


def _read_head(raw: bytes) -> Head:
    first, *lines = raw.decode("latin-1").split("\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise BadRequest(400, "the request line is not METHOD target HTTP/1.1")
    method, target, major, minor = line.groups()
    if major != "1":
        raise BadRequest(505, f"HTTP/{major} is not spoken here")
    headers: dict[str, str] = {}
    for text in lines:
        header = _HEADER.fullmatch(text)
        if header is None:
            raise BadRequest(400, "a header line is not 'Name: value'")
        name, value = header[1].lower(), header[2].rstrip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection if minor != "0" else "keep-alive" in connection
    path, query = split_target(target)
    return Head(method, path, query, headers, keep_alive, target)


# A client sends the same few heads again and again, and a campaign runs the same client thousands of times.
_remembered = lru_cache(maxsize=1024)(_read_head)


def body_length(headers: Mapping[str, str], most_bytes: int = BODY_MAX_BYTES) -> int | None:
    """Length of the body, None when it is chunked. Raises BadRequest on anything two readers could read differently,
    and on more than ``most_bytes``."""
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise BadRequest(400, "a body is framed by Content-Length or Transfer-Encoding, not by both")
        if coding.strip().lower() != "chunked":
            raise BadRequest(501, "the only transfer coding known here is chunked")
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit()):
        raise BadRequest(400, "Content-Length is not a number")
    if len(length) > 18 or int(length) > most_bytes:
        raise BadRequest(413, f"a body may have {most_bytes} bytes")
    return int(length)


class RequestParser:
    """Bytes in, whole requests out. After a BadRequest it is of no further use: the connection has to end."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: Head | None = None
        self._length: int | None = 0
        self._chunks: list[bytes] = []
        self._chunks_bytes = 0
        self._in_trailers = False
        self._promised = False

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        self._buffer += data

    @property
    def begun(self) -> bool:
        """Whether part of a request has arrived and the rest has not."""
        return self._head is not None or bool(self._buffer)

    def must_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body. True once per request."""
        if self._head is None or self._promised:
            return False
        self._promised = True
        return self._head.headers.get("expect", "").lower() == "100-continue"

    def next(self) -> Incoming | None:
        """The next whole request, or None when more bytes are needed. Raises BadRequest."""
        if self._head is None and not self._read_head():
            return None
        head = self._head
        assert head is not None
        body = self._read_chunks() if self._length is None else self._read_length(self._length)
        if body is None:
            return None
        self._head, self._promised = None, False
        return Incoming(head, body)

    def _read_head(self) -> bool:
        buffer = self._buffer
        while buffer[:2] == b"\r\n":
            # RFC 9112, 2.2: empty lines before a request line are ignored.
            del buffer[:2]
        if not buffer:
            return False
        if buffer[0] not in _TOKEN_BYTES and buffer[0] != 0x0D:
            raise BadRequest(400, "this is not HTTP")
        end = buffer.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES + 4)
        if end < 0:
            if len(buffer) > HEAD_MAX_BYTES:
                raise BadRequest(431, f"a request head may have {HEAD_MAX_BYTES} bytes")
            return False
        head = read_head(bytes(buffer[:end]))
        self._length = body_length(head.headers)
        del buffer[: end + 4]
        self._head = head
        return True

    def _read_length(self, length: int) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < length:
            return None
        body = bytes(buffer[:length])
        del buffer[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        while not self._in_trailers:
            line = self._line()
            if line is None:
                return None
            size = _CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise BadRequest(400, "a chunk does not begin with its size")
            length = int(size[1], 16)
            if self._chunks_bytes + length > BODY_MAX_BYTES:
                raise BadRequest(413, f"a body may have {BODY_MAX_BYTES} bytes")
            if length == 0:
                self._in_trailers = True
            elif not self._read_chunk(len(line) + 2, length):
                return None
            else:
                continue
            del self._buffer[: len(line) + 2]
        while (line := self._line()) is not None:
            del self._buffer[: len(line) + 2]
            if not line:
                body = b"".join(self._chunks)
                self._chunks, self._chunks_bytes, self._in_trailers = [], 0, False
                return body
        return None

    def _read_chunk(self, start: int, length: int) -> bool:
        end = start + length
        if len(self._buffer) < end + 2:
            return False
        if self._buffer[end : end + 2] != b"\r\n":
            raise BadRequest(400, "a chunk is longer than its size")
        self._chunks.append(bytes(self._buffer[start:end]))
        self._chunks_bytes += length
        del self._buffer[: end + 2]
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, HEAD_MAX_BYTES)
        if end < 0:
            if len(self._buffer) >= HEAD_MAX_BYTES:
                raise BadRequest(400, "a line of a chunked body has no end")
            return None
        return bytes(self._buffer[:end])

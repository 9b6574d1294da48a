"""Heads of requests and responses on their way through: what a proxy passes on (RFC 9110, 7.6.1), and what it adds.

Heads are worked on as the bytes that arrived: names keep their case, repeated headers their order. A server sends the
same few heads again and again, so what was read of a short one is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from faultline.venues.http import BadRequest
from faultline.worlds.live.gateway.framing import CHUNKED, UNTIL_THE_END, announced

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_ANSWERED_HERE: Final = frozenset({"host", "expect"})
_FRAMED_ANEW: Final = frozenset({"content-length"})
_NOT_PASSED: Final = frozenset(
    name.encode() for name in HOP_BY_HOP | _ANSWERED_HERE | _FRAMED_ANEW | {"x-forwarded-for"}
)
_HANDSHAKE: Final = "sec-websocket-"
_REMEMBERED_MAX_BYTES: Final = 2048
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_KEEP_ALIVE_S: Final = re.compile(r"timeout=(\d{1,9})")


def _named(connection: str) -> frozenset[str]:
    """The hop-by-hop headers, with those that a Connection header names."""
    if not connection:
        return HOP_BY_HOP
    return HOP_BY_HOP | {token.strip() for token in connection.lower().split(",")}


# Requests


def for_upstream(raw: bytes, headers: Mapping[str, str], target: bytes, host: bytes, peer: str) -> bytes:
    """A request's head as the upstream gets it, without its framing and the empty line.

    ``raw`` is the head that arrived, ``headers`` the same in lower case, ``target`` and ``host`` where it goes,
    ``peer`` the client's address.
    """
    left_out = _NOT_PASSED
    if "connection" in headers:
        left_out = left_out | {token.encode("latin-1") for token in _named(headers["connection"])}
    first, *lines = raw.split(b"\r\n")
    passed = [b"%b %b HTTP/1.1\r\nHost: %b" % (first.partition(b" ")[0], target, host)]
    passed += [line for line in lines if line[: line.find(b":")].lower() not in left_out]
    before = headers.get("x-forwarded-for")
    added = f"X-Forwarded-For: {before}, {peer}" if before else f"X-Forwarded-For: {peer}"
    if "x-forwarded-proto" not in headers:
        added += "\r\nX-Forwarded-Proto: http"
    if "x-forwarded-host" not in headers and "host" in headers:
        added += f"\r\nX-Forwarded-Host: {headers['host']}"
    passed.append(added.encode("latin-1"))
    return b"\r\n".join(passed)


# Responses


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """``headers`` are those that go on to the client. ``length`` is that of the body, or how it ends; ``sized`` the
    length that was announced, for an answer to HEAD. ``stays`` says whether the connection does, ``idle_s`` for how
    long at most."""

    status: int
    headers: tuple[tuple[str, str], ...]
    length: int
    sized: int | None
    events: bool
    stays: bool
    idle_s: float


def read_response(raw: bytes) -> ResponseHead:
    """Read the head of a response, without its empty line. Raises BadRequest."""
    return _remembered_response(raw) if len(raw) <= _REMEMBERED_MAX_BYTES else _read_response(raw)


def _read_response(raw: bytes) -> ResponseHead:
    first, *lines = raw.split(b"\r\n")
    line = _STATUS_LINE.fullmatch(first)
    if line is None:
        raise BadRequest(502, "the status line is not HTTP/1.1 and a status")
    there: list[tuple[str, str]] = []
    for text in lines:
        header = _HEADER.fullmatch(text)
        if header is None:
            raise BadRequest(502, "a header line is not 'Name: value'")
        there.append((header[1].decode("latin-1"), header[2].rstrip(b" \t").decode("latin-1")))
    joined = seen(there)
    connection = joined.get("connection", "").lower()
    length = joined.get("content-length")
    if length is not None and "," in length and len(set(length.replace(" ", "").split(","))) == 1:
        # RFC 9110, 8.6: the same length several times is that length.
        joined["content-length"] = length.partition(",")[0]
    sized = announced(joined)
    left_out = _named(connection) | _FRAMED_ANEW
    idle_s = _KEEP_ALIVE_S.search(joined.get("keep-alive", ""))
    return ResponseHead(
        int(line[2]),
        tuple((name, value) for name, value in there if name.lower() not in left_out),
        UNTIL_THE_END if sized is None else sized,
        None if sized == CHUNKED else sized,
        joined.get("content-type", "").startswith("text/event-stream"),
        "close" not in connection if line[1] == b"1" else "keep-alive" in connection,
        float(idle_s[1]) if idle_s else float("inf"),
    )


_remembered_response = lru_cache(maxsize=1024)(_read_response)


# WebSockets, whose handshake is aiohttp's


def to_upstream(headers: CIMultiDictProxy[str], peer: str, scheme: str) -> CIMultiDict[str]:
    """The headers of a WebSocket's opening request as the upstream gets them, without those of one connection only."""
    left_out = _named(",".join(headers.getall("Connection", []))) | _ANSWERED_HERE
    passed = CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if (lower := name.lower()) not in left_out and not lower.startswith(_HANDSHAKE)
    )
    before = passed.get("X-Forwarded-For")
    passed["X-Forwarded-For"] = f"{before}, {peer}" if before else peer
    passed.setdefault("X-Forwarded-Proto", scheme)
    if "Host" in headers:
        passed.setdefault("X-Forwarded-Host", headers["Host"])
    return passed


def seen(headers: Iterable[tuple[str, str]] | Mapping[str, str]) -> dict[str, str]:
    """Headers as faults see them: lower case, the values of a repeated one joined."""
    joined: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        name = name.lower()
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined

"""Which headers a proxy passes on (RFC 9110, 7.6.1) and which it adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

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
_HANDSHAKE: Final = "sec-websocket-"


def _named(headers: CIMultiDictProxy[str]) -> frozenset[str]:
    """The hop-by-hop headers, with those that a Connection header names."""
    if "Connection" not in headers:
        return HOP_BY_HOP
    tokens = ",".join(headers.getall("Connection")).lower().split(",")
    return HOP_BY_HOP | {token.strip() for token in tokens}


def to_upstream(headers: CIMultiDictProxy[str], peer: str, scheme: str) -> CIMultiDict[str]:
    """The headers of a request as the upstream gets them. ``peer`` is the client's address."""
    left_out = _named(headers) | _ANSWERED_HERE
    passed = CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in left_out)
    before = passed.get("X-Forwarded-For")
    passed["X-Forwarded-For"] = f"{before}, {peer}" if before else peer
    passed.setdefault("X-Forwarded-Proto", scheme)
    if "Host" in headers:
        passed.setdefault("X-Forwarded-Host", headers["Host"])
    return passed


def without_handshake(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """The headers of a WebSocket's opening request without those that belong to one connection only."""
    return CIMultiDict((name, value) for name, value in headers.items() if not name.lower().startswith(_HANDSHAKE))


def to_client(headers: CIMultiDictProxy[str]) -> tuple[tuple[str, str], ...]:
    """The headers of a response as the client gets them; its framing is written anew."""
    left_out = _named(headers)
    return tuple(
        (name, value)
        for name, value in headers.items()
        if (lower := name.lower()) not in left_out and lower != "content-length"
    )


def seen(headers: Iterable[tuple[str, str]] | Mapping[str, str]) -> dict[str, str]:
    """Headers as faults see them: lower case, the values of a repeated one joined."""
    joined: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        name = name.lower()
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined

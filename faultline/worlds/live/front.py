"""The REST front behind a fault proxy, which knows when the client sent a request that a fault has held back.

Oracles about pace and tokens judge a client by when it sent, not by when a slow line delivered. The proxy is asked
about each chunk when it has just left the client; that time is kept by the chunk's place in the connection, and found
again when those bytes arrive here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from faultline.venues.base import Venue
from faultline.venues.interceptor import Interceptor
from faultline.venues.raw import RawConnection, RawFront


class Sent:
    """When each chunk of a connection left the client: ``note`` at the proxy, ``find`` at the front."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[int, float]] = deque()

    def note(self, offset_bytes: int, at_s: float) -> None:
        """The chunk that begins at byte ``offset_bytes`` has left at ``at_s``."""
        self._chunks.append((offset_bytes, at_s))

    def find(self, offset_bytes: int) -> float | None:
        """When the byte number ``offset_bytes`` left; None where nobody noted it. Bytes are asked for in order."""
        chunks = self._chunks
        while len(chunks) > 1 and chunks[1][0] <= offset_bytes:
            chunks.popleft()
        return chunks[0][1] if chunks and chunks[0][0] <= offset_bytes else None


class LiveFront(RawFront):
    """``sent_on`` gives the times of the connection whose other end has this port."""

    def __init__(self, venue: Venue, interceptor: Interceptor, sent_on: Callable[[int], Sent | None]) -> None:
        super().__init__(venue, interceptor)
        self.sent_on = sent_on

    def _connection(self, ordinal: int) -> RawConnection:
        return _LiveConnection(self, ordinal)


class _Stamped:
    """A transport that tells when what it delivers was sent; in everything else it is the real one."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.sent_at_s: float | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sent_at_s if name == "sent_at_s" else self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _LiveConnection(RawConnection):
    def __init__(self, front: LiveFront, ordinal: int) -> None:
        super().__init__(front, ordinal)
        self._live_front = front
        self._received_bytes = 0
        self._sent: Sent | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stamped = _Stamped(cast("asyncio.Transport", transport))
        super().connection_made(cast("asyncio.Transport", self._stamped))

    def data_received(self, data: bytes) -> None:
        if not self._received_bytes:  # the proxy knows its own socket by now, as it has written to it
            self._sent = self._live_front.sent_on(self._stamped.get_extra_info("peername")[1])
        self._stamped.sent_at_s = None if self._sent is None else self._sent.find(self._received_bytes)
        self._received_bytes += len(data)
        super().data_received(data)

"""Where a body ends on the wire (RFC 9112, 6), and a body on its way: cut out of what arrives, read piece by piece.

What nobody has read yet is bounded by holding back the socket it comes from, so a body of any size passes in little
memory, and a reader that stops stops its sender.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from faultline.venues.http import BadRequest, body_length

UNREAD_MAX_BYTES: Final = 128 * 1024
"""How much of a body may wait for its reader before its sender is held back."""

BODY_MAX_BYTES: Final = 1 << 50
"""Bodies stream, so this only keeps numbers in reason."""
_LINE_MAX_BYTES: Final = 4096
_TRAILERS_MAX_BYTES: Final = 16 * 1024
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")

CHUNKED: Final = -1
UNTIL_THE_END: Final = -2
"""The body is all that comes until the connection ends."""


class BrokeOff(ConnectionError):
    """The other side ended in the middle of a message."""


def announced(headers: Mapping[str, str]) -> int | None:
    """Length of a body by its headers, :data:`CHUNKED`, or None where they say nothing. Raises BadRequest."""
    if "content-length" not in headers and "transfer-encoding" not in headers:
        return None
    length = body_length(headers, BODY_MAX_BYTES)
    return CHUNKED if length is None else length


class Framing:
    """Cuts one body out of what arrives. ``length`` is in bytes, :data:`CHUNKED` or :data:`UNTIL_THE_END`."""

    __slots__ = ("_in", "_kept", "_left", "_trailers_bytes", "over", "until_the_end")

    def __init__(self, length: int) -> None:
        self.until_the_end = length == UNTIL_THE_END
        self.over = length == 0
        self._left = length
        self._in = "size" if length == CHUNKED else ""
        self._kept = b""
        self._trailers_bytes = 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """What of ``data`` belongs to the body, and what comes after it. Raises BadRequest."""
        if self._in:
            return self._take_chunks(data)
        if self.until_the_end:
            return data, b""
        left = self._left
        self._left = max(0, left - len(data))
        self.over = self._left == 0
        return (data, b"") if len(data) <= left else (data[:left], data[left:])

    def _take_chunks(self, data: bytes) -> tuple[bytes, bytes]:
        data, at, pieces = self._kept + data, 0, []
        self._kept = b""
        while not self.over:
            if self._in == "data":
                piece = data[at : at + self._left]
                if not piece:
                    break
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._in = "data" if self._left else "end"
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > _LINE_MAX_BYTES:
                    raise BadRequest(400, "a line of a chunked body has no end")
                self._kept = data[at:]
                return b"".join(pieces), b""
            self._line(data[at:end])
            at = end + 2
        return b"".join(pieces), data[at:]

    def _line(self, line: bytes) -> None:
        if self._in == "end":
            if line:
                raise BadRequest(400, "a chunk is longer than its size")
            self._in = "size"
        elif self._in == "size":
            size = _CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise BadRequest(400, "a chunk does not begin with its size")
            self._left = int(size[1], 16)
            self._in = "data" if self._left else "trailers"
        else:
            # Trailers belong to one hop and are dropped.
            self._trailers_bytes += len(line) + 2
            if self._trailers_bytes > _TRAILERS_MAX_BYTES:
                raise BadRequest(400, "the trailers of a chunked body are too large")
            self.over = not line


class Body:
    """A body that arrives over ``transport``, for one reader."""

    __slots__ = ("_error", "_held_back", "_pieces", "_transport", "_unread_bytes", "_waiter", "over")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._unread_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._held_back = False
        self.over = False

    def feed(self, piece: bytes) -> None:
        """More of it has arrived."""
        if not piece:
            return
        self._pieces.append(piece)
        self._unread_bytes += len(piece)
        if self._unread_bytes > UNREAD_MAX_BYTES and not self._held_back:
            self._held_back = True
            self._transport.pause_reading()
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """No more will come: it is whole, or it broke off with ``error``."""
        if not self.over:
            self.over, self._error = True, error
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    @property
    def held_back(self) -> bool:
        """Whether its sender waits for the reader."""
        return self._held_back

    @property
    def at_end(self) -> bool:
        """Whether all of it has come and was read."""
        return self.over and self._error is None and not self._pieces

    @property
    def ready(self) -> bool:
        """Whether :meth:`read` would not wait."""
        return bool(self._pieces) or self.over

    async def read(self) -> bytes:
        """All that has come since; nothing at the end. Raises the error with which it broke off."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        pieces, self._pieces = self._pieces, []
        self._unread_bytes = 0
        if self._held_back:
            self._held_back = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def chunk(piece: bytes) -> bytes:
    """A piece as a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


LAST_CHUNK: Final = b"0\r\n\r\n"

"""Lines over pipes, without blocking and within bounds, whatever the other side does.

Plain callbacks of the loop instead of streams: everything here can be closed at once, from code that cannot wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

LINE_MAX_BYTES: Final = 4 * 1024 * 1024
"""A longer line is no line of the protocol."""
UNREAD_MAX_BYTES: Final = 16 * 1024 * 1024
"""What may wait for a client that does not read."""
CHUNK_BYTES: Final = 65536
DRAINED_CHUNKS_MAX: Final = 64
TAIL_BYTES: Final = 4096
SHOWN_LINES_MAX: Final = 8


class Reader:
    """Calls ``hear`` with each chunk that arrives on the descriptor ``number``, and ``closed`` once at its end."""

    def __init__(self, number: int, hear: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self._number = number
        self._hear = hear
        self._closed = closed
        self._open = True
        self._loop = asyncio.get_running_loop()
        os.set_blocking(number, False)
        self._loop.add_reader(number, self._ready)

    def _ready(self) -> None:
        try:
            chunk = os.read(self._number, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            self._hear(chunk)
        else:
            self.close()
            self._closed()

    def drain(self) -> None:
        """Read what has arrived already, after the writer has ended."""
        for _ in range(DRAINED_CHUNKS_MAX):
            try:
                chunk = os.read(self._number, CHUNK_BYTES) if self._open else b""
            except OSError:
                return
            if not chunk:
                return
            self._hear(chunk)

    def close(self) -> None:
        """Read no more."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._number)
            os.close(self._number)


class Writer:
    """Writes to the descriptor ``number`` as fast as the other side reads. ``closed`` is called once when it does
    not read any more."""

    def __init__(self, number: int, closed: Callable[[], None]) -> None:
        self._number = number
        self._closed = closed
        self._open = True
        self._last = False
        self._waiting = bytearray()
        self._loop = asyncio.get_running_loop()
        os.set_blocking(number, False)

    def write(self, data: bytes) -> None:
        """Send ``data`` after what is waiting already."""
        if not self._open:
            return
        if not self._waiting:
            self._loop.add_writer(self._number, self._flush)
        self._waiting += data
        self._flush()

    def _flush(self) -> None:
        try:
            sent = os.write(self._number, self._waiting)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            self._closed()
            return
        del self._waiting[:sent]
        if len(self._waiting) > UNREAD_MAX_BYTES:
            self.close()
            self._closed()
        elif not self._waiting:
            self._loop.remove_writer(self._number)
            if self._last:
                self.close()

    def end(self) -> None:
        """Close once everything is written."""
        self._last = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close now."""
        if self._open:
            self._open = False
            self._loop.remove_writer(self._number)
            os.close(self._number)


class Lines:
    """Cuts what it is fed into lines. ``too_long`` is called once, for a line beyond :data:`LINE_MAX_BYTES`."""

    def __init__(self, hear: Callable[[bytes], object], too_long: Callable[[], None]) -> None:
        self._hear = hear
        self._too_long = too_long
        self._parts: list[bytes] = []
        self._bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; a line without its end waits for it."""
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            self._parts.append(line)
            joined = b"".join(self._parts)
            self._parts, self._bytes = [], 0
            self._hear(joined)
        self._parts.append(rest)
        self._bytes += len(rest)
        if self._bytes > LINE_MAX_BYTES:
            self._parts, self._bytes = [], 0
            self._too_long()


class Tail:
    """The last words of a process, however much it says."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._kept = (self._kept + chunk)[-TAIL_BYTES:]

    def shown(self) -> str:
        """The last lines, each indented, after a line break; a note when there are none."""
        lines = [line.rstrip() for line in self._kept.decode(errors="replace").splitlines() if line.strip()]
        if not lines:
            return "; it wrote nothing on stderr"
        printable = ("".join(char if char.isprintable() else "?" for char in line) for line in lines)
        return "; its last words:" + "".join(f"\n    {line[:300]}" for line in list(printable)[-SHOWN_LINES_MAX:])

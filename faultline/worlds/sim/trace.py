"""What crossed the simulated wire, as one hash.

Two runs are the same run when every segment arrived at the same virtual time, on the same connection and direction,
with the same bytes. Hashing is cheap enough to be always on; keeping the events is asked for.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

SYN: Final = 0
DATA: Final = 1
FIN: Final = 2
RST: Final = 3
REFUSED: Final = 4
DNS: Final = 5
FAULT: Final = 6

KIND_NAMES: Final = ("SYN", "DATA", "FIN", "RST", "REFUSED", "DNS", "FAULT")
_HEAD: Final = Struct("<dBII")


class TraceEvent(NamedTuple):
    """One arrival. ``wire`` is twice the connection's number, plus one for the way back to the client."""

    t_s: float
    kind: str
    wire: int
    data: bytes


class Trace:
    """The running hash, and the last ``keep`` events when asked for."""

    __slots__ = ("_hash", "_pack", "_sealed", "events", "events_count")

    def __init__(self, keep: int = 0) -> None:
        self._hash = blake2b(digest_size=16)
        self._pack = _HEAD.pack
        self._sealed = False
        self.events_count = 0
        self.events: deque[TraceEvent] | None = deque(maxlen=keep) if keep else None

    def add(self, t_s: float, kind: int, wire: int, data: bytes = b"") -> None:
        """Note that ``data`` arrived on ``wire`` at virtual time ``t_s``."""
        if self._sealed:
            return
        self.events_count += 1
        self._hash.update(self._pack(t_s, kind, wire, len(data)))
        if data:
            self._hash.update(data)
        if self.events is not None:
            self.events.append(TraceEvent(t_s, KIND_NAMES[kind], wire, bytes(data)))

    def seal(self) -> None:
        """What teardown sends is no part of the run: nothing is added from here on."""
        self._sealed = True

    def digest(self) -> str:
        """The hash so far, in hexadecimal."""
        return self._hash.hexdigest()

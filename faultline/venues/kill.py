"""How an adapter ends a connection, the same in every world.

This is the one file under ``venues/`` that imports :mod:`socket`, for the two constants that make a close a reset.
"""

from __future__ import annotations

import asyncio
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

PARTIAL_PAUSE_S: Final = 0.01
"""A reset discards what was not sent yet, so part of a response gets this long to leave first."""

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """End a connection with RST: with a linger time of zero the kernel discards what it has instead of a FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:  # the client may have hung up a moment ago
        sock.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_ZERO)
    transport.abort()


def finish(transport: asyncio.Transport) -> None:
    """End a connection with FIN, after what was already written."""
    transport.close()

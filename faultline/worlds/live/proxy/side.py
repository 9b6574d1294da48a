"""One socket of a proxied connection: the protocol that asyncio calls.

``data_received`` is a slot and not a method. With no fault armed it *is* the other transport's ``write``: a chunk
then costs no Python at all. uvloop remembers the callable when the protocol is set, so whoever changes it sets the
protocol again (:meth:`Side.receive_with`).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from faultline.worlds.live.proxy.connection import Connection
    from faultline.worlds.live.proxy.link import Link

_LINGER_NONE: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Close a socket with RST, whatever is still to be sent or read."""
    bare = transport.get_extra_info("socket")
    if bare is not None:
        with suppress(OSError):  # the kernel may have ended it already
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    if transport.get_write_buffer_size():
        # uvloop 0.22 never ends a transport that is aborted in the turn of the loop in which it was written to; and
        # what was written before a reset should go out first, as far as it can.
        asyncio.get_running_loop().call_soon(transport.abort)
    else:
        transport.abort()


class TurnedAway(asyncio.Protocol):
    """A client that is one too many: it is reset."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        reset(transport)  # type: ignore[arg-type]


class Side(asyncio.Protocol):
    """The client's or the upstream's socket. ``outgoing`` is the link that it feeds, ``incoming`` the one it ends."""

    __slots__ = ("connection", "data_received", "incoming", "is_lost", "outgoing", "transport")

    data_received: Callable[[bytes], None]  # type: ignore[assignment]

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.outgoing: Link
        self.incoming: Link
        self.transport: asyncio.Transport | None = None
        self.is_lost = False

    def receive_with(self, receiver: Callable[[bytes], None]) -> None:
        """From now on the bytes of this socket go to ``receiver``."""
        self.data_received = receiver
        if self.transport is not None and not self.is_lost:
            self.transport.set_protocol(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = transport  # type: ignore[assignment]
        self.connection.made(self)

    def eof_received(self) -> bool:
        """The peer has finished sending. The socket stays open: the other direction may go on."""
        self.outgoing.end("fin")
        self.connection.ended_in_silence()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        self.is_lost = True
        self.connection.lost(self, error)

    def pause_writing(self) -> None:
        """The peer does not read fast enough: nor does the other side's socket from now on."""
        self.incoming.pause(1)

    def resume_writing(self) -> None:
        """It has caught up."""
        self.incoming.resume(1)

    def reset(self) -> None:
        """Close the socket with RST, whatever is still to be sent or read."""
        if self.transport is not None and not self.is_lost:
            reset(self.transport)

    def close(self) -> None:
        """Close the socket in an orderly way, after what is still to be sent."""
        if self.transport is not None and not self.is_lost:
            self.transport.close()

    @property
    def unsent_bytes(self) -> int:
        """How much the kernel has not taken yet."""
        if self.transport is None or self.is_lost:
            return 0
        return self.transport.get_write_buffer_size()

"""The socket object behind a simulated connection: it answers what libraries ask, and refuses raw input and output.

``fileno`` must be a real descriptor: httpcore polls it to see whether an idle connection was closed by its peer, and
takes -1 for a closed one. Two event descriptors serve all connections: one that is never readable, and one that
always is, for a connection whose peer has ended it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from faultline.errors import SimEscape

Address = tuple[str, int]
_RAW_OPERATIONS: Final = frozenset(
    {"accept", "bind", "connect", "connect_ex", "detach", "dup", "listen", "makefile", "recv", "recv_into", "recvfrom",
     "recvmsg", "send", "sendall", "sendfile", "sendmsg", "sendto"}
)  # fmt: skip


@cache
def _idle_fd() -> int:
    return os.pipe()[0]


@cache
def _readable_fd() -> int:
    read_end, write_end = os.pipe()
    os.write(write_end, b"x")
    return read_end


class SimSocket:
    """What ``transport.get_extra_info("socket")`` and ``server.sockets`` give."""

    __slots__ = ("_escape", "_is_readable", "_local", "_options", "_peer")

    family: Final = socket.AF_INET
    type: Final = socket.SOCK_STREAM
    proto: Final = socket.IPPROTO_TCP

    def __init__(
        self,
        local: Address,
        peer: Address | None,
        escape: Callable[[str, str], SimEscape],
        is_readable: Callable[[], bool] | None = None,
    ) -> None:
        self._local = local
        self._peer = peer
        self._escape = escape
        self._is_readable = is_readable
        self._options: dict[tuple[int, int], Any] | None = None

    def getsockname(self) -> Address:
        """The local address."""
        return self._local

    def getpeername(self) -> Address:
        """The peer's address. Raises OSError (ENOTCONN) on a listener."""
        if self._peer is None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self._peer

    def setsockopt(self, level: int, option: int, value: Any, *rest: Any) -> None:
        """Remembered; SO_LINGER decides between FIN and RST."""
        if self._options is None:
            self._options = {}
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, *rest: Any) -> Any:
        """What was set before, or 0."""
        return (self._options or {}).get((level, option), 0)

    @property
    def lingers(self) -> bool:
        """Whether SO_LINGER is on: then closing resets the connection."""
        if self._options is None:
            return False
        value = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER), b"")
        return bool(value) and bytes(value)[:1] != b"\0"

    def fileno(self) -> int:
        """A real descriptor, readable when there is something to read or the peer has ended the connection."""
        return _readable_fd() if self._is_readable is not None and self._is_readable() else _idle_fd()

    def setblocking(self, flag: bool) -> None:
        """Accepted; the simulation never blocks."""

    def settimeout(self, value: float | None) -> None:
        """Accepted; the simulation never blocks."""

    def gettimeout(self) -> float:
        """0: non-blocking."""
        return 0.0

    def shutdown(self, how: int) -> None:
        """Accepted; the transport ends the connection."""

    def close(self) -> None:
        """Accepted; the transport owns the connection."""

    def __getattr__(self, name: str) -> Any:
        if name in _RAW_OPERATIONS:
            raise self._escape(f"socket.{name}() on a simulated connection", "use the transport or a stream")
        raise AttributeError(f"a simulated socket has no attribute {name!r}")

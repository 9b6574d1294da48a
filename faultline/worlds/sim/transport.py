"""One end of a simulated TCP connection, as asyncio's own socket transport behaves on Linux.

The order of things follows ``asyncio.selector_events`` and the kernel, because clients can see it: ``connection_lost``
comes before the socket is closed; closing with unread data or with SO_LINGER sends RST instead of FIN; data that
arrives at a closed socket is answered with RST; a reset is noticed by reading, or after EOF only by the next write;
bytes in the kernel's hands arrive although the process is gone.

``flow_in`` and ``flow_out`` are the wire; ``context`` is the one in which every callback of this end runs: the
opener's for a client, a copy of the listener's for an accepted connection. Never the sender's.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import constants, futures
from collections import deque
from collections.abc import Iterable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from faultline.worlds.sim.receiving import Receiving
from faultline.worlds.sim.socket import Address, SimSocket
from faultline.worlds.sim.trace import DATA, FIN, RST

if TYPE_CHECKING:
    from faultline.worlds.sim.loop import SimLoop
    from faultline.worlds.sim.wire import Connection, Flow

_WINDOW_BYTES: Final = 256 * 1024
"""How much may be on its way to an application that does not read (the receiver's window)."""
_log = logging.getLogger("asyncio")


class SimTransport(Receiving):
    """A TCP-like transport.

    ``get_extra_info`` also knows ``connection`` (its ordinal) and ``sent_at_s`` (when the peer wrote what came last).
    """

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.FALLBACK
    max_size: Final = 256 * 1024
    __slots__ = ("_conn_lost", "_eof_sent", "_out_bytes", "_socket", "connection")

    def __init__(
        self, connection: Connection, flow_in: Flow, flow_out: Flow, local: Address, peer: Address, context: Context
    ) -> None:
        loop: SimLoop = connection.network.loop
        self._socket = SimSocket(local, peer, loop.simulation.escaped, self._is_readable)
        super().__init__(
            {"socket": self._socket, "sockname": local, "peername": peer, "connection": connection.ordinal,
             "sent_at_s": None},
            loop,
        )  # fmt: skip
        self.loop = loop
        self.connection = connection
        self.flow_in = flow_in
        self.flow_out = flow_out
        self.context = context
        self.is_released = False  # the socket is closed: the kernel alone speaks for it
        self._protocol: Any = None
        self._buffered = False
        self._reading = False
        self._paused = False
        self._closing = False
        self._conn_lost = 0
        self._eof_sent = False
        self._eof_read = False
        self._fin_sent = False
        self._fin_received = False
        self._error: OSError | None = None
        self._rx: deque[tuple[bytes, float]] = deque()
        self._out: deque[bytes] = deque()
        self._out_bytes = 0

    def __repr__(self) -> str:
        state = "closed" if self.is_released else "closing" if self._closing else "open"
        label, ordinal = self.connection.key
        return f"<SimTransport {label} #{ordinal} {state}>"

    def attach(self, protocol: asyncio.BaseProtocol, waiter: asyncio.Future[None] | None = None) -> None:
        """Give the connection its protocol: ``connection_made`` first, then reading, then ``waiter``."""
        self.set_protocol(protocol)
        self.loop.call_soon(protocol.connection_made, self, context=self.context)
        self.loop.call_soon(self._start_reading, context=self.context)
        if waiter is not None:
            self.loop.call_soon(futures._set_result_unless_cancelled, waiter, None)  # type: ignore[attr-defined]

    # The transport's interface

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See asyncio."""
        return self._protocol  # type: ignore[no-any-return]

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See asyncio."""
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def is_closing(self) -> bool:
        """See asyncio."""
        return self._closing

    def is_reading(self) -> bool:
        """See asyncio."""
        return not self._closing and not self._paused

    def get_write_buffer_size(self) -> int:
        """See asyncio."""
        return self._out_bytes

    def can_write_eof(self) -> bool:
        """True."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See asyncio."""
        if type(data) is not bytes:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            data = bytes(data)
        if self._eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return
        if self._conn_lost:
            if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                _log.warning("socket.send() raised exception.")
            self._conn_lost += 1
            return
        if self._error is not None:
            self._fatal_error(self._error)
            return
        if not self._out and self.flow_out.inflight_bytes + len(data) <= _WINDOW_BYTES:
            self.flow_out.send(DATA, data)
            return
        self._out.append(data)
        self._out_bytes += len(data)
        self._pump()
        self._maybe_pause_protocol()  # type: ignore[attr-defined]

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """See asyncio."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """See asyncio."""
        if self._closing or self._eof_sent:
            return
        self._eof_sent = True
        if not self._out:
            self._send_fin()

    def close(self) -> None:
        """See asyncio."""
        if self._closing:
            return
        self._closing = True
        self._reading = False
        if not self._out:
            self._conn_lost += 1
            self.loop.call_soon(self._call_connection_lost, None, context=self.context)

    def abort(self) -> None:
        """See asyncio."""
        self._force_close(None)

    # Sending

    def _pump(self) -> None:
        out, flow = self._out, self.flow_out
        while out and flow.inflight_bytes < _WINDOW_BYTES:
            data = out.popleft()
            room = _WINDOW_BYTES - flow.inflight_bytes
            if len(data) > room:
                out.appendleft(data[room:])
                data = data[:room]
            self._out_bytes -= len(data)
            flow.send(DATA, data)
        self._maybe_resume_protocol()  # type: ignore[attr-defined]
        if not out:
            if self._closing:
                if not self._conn_lost:
                    self._conn_lost += 1
                    self._call_connection_lost(None)
            elif self._eof_sent:
                self._send_fin()

    def acknowledged(self) -> None:
        """The peer has read: there is room in its window again."""
        if self._out:
            self._pump()

    def _send_fin(self) -> None:
        if not self._fin_sent and not self.is_released:
            self._fin_sent = True
            self.flow_out.send(FIN)

    # Ending

    def _fatal_error(self, error: BaseException, message: str = "Fatal error on transport") -> None:
        if not isinstance(error, OSError):
            self.loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )
        self._force_close(error)

    def _force_close(self, error: BaseException | None) -> None:
        if self._conn_lost:
            return
        self._out.clear()
        self._out_bytes = 0
        self._closing = True
        self._reading = False
        self._conn_lost += 1
        self.loop.call_soon(self._call_connection_lost, error, context=self.context)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        if self.is_released:
            return
        try:
            if self._protocol is not None:
                self._protocol.connection_lost(error)
        finally:
            self._release()
            self._protocol = None

    def _release(self) -> None:
        """Close the socket, as the kernel does it."""
        if self.is_released:
            return
        self.is_released = True
        if self._error is None:
            if self._rx or self._socket.lingers:
                self.flow_out.send(RST)
            elif not self._fin_sent:
                self._fin_sent = True
                self.flow_out.send(FIN)
        self._rx.clear()
        self.connection.network.forget(self.connection)

    def die(self, how: str) -> asyncio.BaseProtocol | None:
        """The process is gone: drop what it had not sent, tell the peer what a kernel would, call nobody back.

        Returns the protocol, for the teardown to release.
        """
        if self.is_released:
            return None
        self._out.clear()
        self._out_bytes = 0
        self._closing = True
        self._reading = False
        self._conn_lost = max(self._conn_lost, 1)
        if how == "silence":
            self.connection.cut("silence")
        self._release()
        protocol, self._protocol = self._protocol, None
        return protocol  # type: ignore[no-any-return]

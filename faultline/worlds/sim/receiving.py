"""The receiving half of a simulated connection: from a segment's arrival to the protocol's callback.

What the kernel would keep waits in ``_rx`` while the application does not read. An end of the stream or a broken
connection is noticed only after all that came before it, and only by touching the socket.
"""

from __future__ import annotations

import asyncio
import errno
from asyncio import protocols, transports
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

from faultline.worlds.sim.trace import DATA, FIN, RST
from faultline.worlds.sim.wire import SEVERED, SILENT

if TYPE_CHECKING:
    from faultline.worlds.sim.loop import SimLoop
    from faultline.worlds.sim.wire import Flow


class Receiving(transports._FlowControlMixin, asyncio.Transport):
    """Base of :class:`~faultline.worlds.sim.transport.SimTransport`, which sets the attributes.

    asyncio's own mixin does the water marks of the write buffer; ``loop.sendfile`` asks for it by type.
    """

    __slots__ = ("_buffered", "_closing", "_eof_read", "_error", "_fin_received", "_fin_sent", "_out", "_paused",
                 "_protocol", "_reading", "_rx", "context", "flow_in", "flow_out", "is_released", "loop")  # fmt: skip
    _extra: dict[str, Any]
    _protocol: Any
    _buffered: bool
    _reading: bool
    _paused: bool
    _closing: bool
    _eof_read: bool
    _fin_sent: bool
    _fin_received: bool
    _error: OSError | None
    _rx: deque[tuple[bytes, float]]
    _out: deque[bytes]
    is_released: bool
    flow_in: Flow
    flow_out: Flow
    loop: SimLoop
    context: Context

    if TYPE_CHECKING:  # the sending half brings it

        def _fatal_error(self, error: BaseException, message: str = "") -> None: ...

    def pause_reading(self) -> None:
        """See asyncio."""
        if not self._closing and not self._paused:
            self._paused = True
            self._reading = False

    def resume_reading(self) -> None:
        """See asyncio."""
        if not self._closing and self._paused:
            self._paused = False
            self.loop.call_soon(self._start_reading, context=self.context)

    def arrive(self, kind: int, data: bytes, sent_at_s: float) -> None:
        """A segment reaches this host."""
        flow = self.flow_in
        flow.network.trace.add(self.loop.now_s, kind, flow.trace_id, data)
        if self.is_released:
            if kind == DATA and self.flow_out.state < SILENT:
                self.flow_out.inject(RST)
        elif kind == DATA:
            if self._reading and not self._rx:
                self._feed(data, sent_at_s)
            else:
                self._rx.append((data, sent_at_s))
        elif kind == FIN:
            self._fin_received = True
            if self._reading and not self._rx:
                self._read_eof()
        else:
            # After EOF the kernel reports a reset as a broken pipe (tcp_reset in CLOSE_WAIT).
            code = errno.EPIPE if self._fin_received else errno.ECONNRESET
            text = "Broken pipe" if self._fin_received else "Connection reset by peer"
            self._broken(OSError(code, text))

    def time_out(self) -> None:
        """The kernel has given up on data that nobody acknowledged."""
        if not self.is_released:
            self._broken(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))

    def _broken(self, error: OSError) -> None:
        """The connection no longer exists. The application learns of it when it next touches the socket."""
        self._fin_sent = True
        self.flow_out.state = max(self.flow_out.state, SEVERED)
        self._error = error
        if self._out or (self._reading and not self._rx):
            self._fatal_error(error)

    def _start_reading(self) -> None:
        if self._reading or self._closing or self._paused or self._eof_read or self._protocol is None:
            return
        self._reading = True
        if self._rx or self._fin_received or self._error is not None:
            # In a turn of its own, as the selector would: what was scheduled before may still close the transport.
            self.loop.call_soon(self._drain, context=self.context)

    def _drain(self) -> None:
        while self._rx and self._reading:
            data, sent_at_s = self._rx.popleft()
            self._feed(data, sent_at_s)
        if self._reading:
            if self._fin_received:
                self._read_eof()
            elif self._error is not None:
                self._fatal_error(self._error)

    def _feed(self, data: bytes, sent_at_s: float) -> None:
        self._extra["sent_at_s"] = sent_at_s
        flow = self.flow_in
        flow.inflight_bytes -= len(data)
        sender = flow.sender
        if sender._out:
            self.loop.deliver_at(
                self.loop.now_s + self.flow_out.link.latency_s, sender.acknowledged, (), sender.context
            )
        try:
            if self._buffered:
                protocols._feed_data_to_buffered_proto(self._protocol, data)  # type: ignore[attr-defined]
            else:
                self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.data_received() call failed.")

    def feed_again(self, data: bytes) -> None:
        """Give ``data``, already received, to the protocol that has just taken over."""
        self.flow_in.inflight_bytes += len(data)
        if self._reading:
            self._feed(data, self._extra["sent_at_s"])
        else:
            self._rx.appendleft((data, self._extra["sent_at_s"]))

    def _read_eof(self) -> None:
        self._reading = False
        self._eof_read = True
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.eof_received() call failed.")
            return
        if not keep_open:
            self.close()

    def _is_readable(self) -> bool:
        return bool(self._rx) or self._fin_received or self._error is not None or self.is_released

"""Connections on the simulated wire: two flows of segments, kept in order, that a fault can delay, hold, shape or cut.

A flow is what the kernels and the network do between two sockets: it takes segments from the sender's transport and
schedules their arrival in the receiver's context. It knows four states:

========= =========================================================================================================
FLOWING   segments arrive in order, each after what the link and the decider say
HELD      the path is partitioned: segments wait, and are sent again when TCP's backoff finds the path open
SILENT    the peer is simply gone: nothing arrives, nothing comes back, the sender's kernel gives up after 15 minutes
SEVERED   the network ended the connection: both ends were told, and data sent after that is answered with RST
========= =========================================================================================================

Points are asked for each segment once, when it leaves: (endpoint, connection, byte offset, ``up`` or ``down``).
Control segments have the offset at which they stand and size 0. What the network makes itself is no point.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import cycle
from typing import TYPE_CHECKING, Final, Literal

from faultline.faults.actions import Cut, How
from faultline.faults.points import Moment, Plane, Point
from faultline.worlds.sim.link import retransmitted_at_s
from faultline.worlds.sim.trace import DATA, FAULT, FIN, RST

if TYPE_CHECKING:
    from faultline.worlds.sim.link import Link
    from faultline.worlds.sim.loop import SimLoop
    from faultline.worlds.sim.network import Network
    from faultline.worlds.sim.transport import SimTransport
    from faultline.worlds.strike import Strike

FLOWING: Final = 0
HELD: Final = 1
SILENT: Final = 2
SEVERED: Final = 3
USER_TIMEOUT_S: Final = 924.6
"""When Linux gives up on unacknowledged data (tcp_retries2 = 15)."""
_SHAPED_PIECE_S: Final = 0.1


class Flow:
    """One direction of a connection."""

    __slots__ = ("_busy_until_s", "_give_up_at_s", "_held", "_last_at_s", "connection", "direction", "inflight_bytes",
                 "link", "loop", "network", "offset_bytes", "receiver", "sender", "state", "trace_id")  # fmt: skip

    def __init__(self, connection: Connection, direction: Literal["up", "down"], link: Link) -> None:
        self.connection = connection
        self.direction = direction
        self.network = connection.network
        self.loop: SimLoop = connection.network.loop
        self.link = link
        self.sender: SimTransport
        self.receiver: SimTransport
        self.trace_id = connection.number * 2 + (direction == "down")
        self.state = FLOWING
        self.offset_bytes = 0
        self.inflight_bytes = 0  # sent, and not yet read by the application at the other end
        self._last_at_s = 0.0
        self._busy_until_s = 0.0
        self._held: deque[tuple[int, bytes, float]] = deque()
        self._give_up_at_s = 0.0

    def send(self, kind: int, data: bytes = b"") -> None:
        """Take a segment from the sender."""
        self.inflight_bytes += len(data)
        if self.state or self.link.blocked:
            self._stuck(kind, data)
        elif self.network.decide is None:
            self._leave(kind, data, self.loop.now_s)
        else:
            self._ask_and_leave(kind, data, self.loop.now_s)

    def handshake_done(self, accept: Callable[[SimTransport], None]) -> None:
        """The last segment of the handshake is on its way: the listener accepts when it arrives."""
        self._last_at_s = self.loop.now_s + self.link.latency_s
        self.loop.deliver_at(self._last_at_s, accept, (self.receiver,), self.receiver.context)

    def _leave(self, kind: int, data: bytes, sent_at_s: float, delay_s: float = 0.0, not_before_s: float = 0.0) -> None:
        offset = self.offset_bytes
        self.offset_bytes = offset + len(data)
        link = self.link
        if link.plain:
            self._arrive(kind, data, sent_at_s, max(self.loop.now_s + link.latency_s + delay_s, not_before_s))
            return
        while True:
            size = link.piece_bytes(len(data), self.connection.key, offset) if len(data) > 1 else len(data)
            on_the_way_s = link.delay_s(size, self.loop.now_s, self.connection.key, self.direction, offset, kind)
            at_s = max(self.loop.now_s + on_the_way_s + delay_s, not_before_s)
            self._arrive(kind, data[:size], sent_at_s, at_s)
            data = data[size:]
            offset += size
            if not data:
                return

    def _arrive(self, kind: int, data: bytes, sent_at_s: float, at_s: float) -> None:
        if at_s < self._last_at_s:
            at_s = self._last_at_s
        self._last_at_s = at_s
        receiver = self.receiver
        self.loop.deliver_at(at_s, receiver.arrive, (kind, data, sent_at_s), receiver.context)

    # Faults

    def _ask_and_leave(self, kind: int, data: bytes, sent_at_s: float) -> None:
        connection = self.connection
        point = Point(Plane.STREAM, connection.label, connection.entity, self.offset_bytes, self.direction)
        moment = Moment(point, self.loop.now_s, connection=connection.ordinal, size_bytes=len(data))
        strike = self.network.ask(moment, self.trace_id)
        if strike is None:
            self._leave(kind, data, sent_at_s)
        elif strike.for_ever:
            self.fall_silent()
            self._stuck(kind, data)
        elif strike.cut is None or strike.cut.after_s is not None:
            self._leave_struck(kind, data, sent_at_s, strike)
            if strike.cut is not None:
                connection.carry_out(strike.cut)
        else:
            if kind == DATA and strike.cut.after_bytes > 0:
                self._leave_struck(kind, data[: strike.cut.after_bytes], sent_at_s, strike)
            connection.cut(strike.cut.how)

    def _leave_struck(self, kind: int, data: bytes, sent_at_s: float, strike: Strike) -> None:
        rate = strike.rate_bytes_per_s
        sizes = cycle(strike.pieces_bytes or (max(1, int(rate * _SHAPED_PIECE_S)) if rate else len(data) or 1,))
        now_s = self.loop.now_s
        for flip in strike.flips:
            data = flip.applied_to(data)
        start, gap_s = 0, 0.0
        while start < (len(data) or 1):
            size = next(sizes)
            piece = data[start : start + size]
            start += size
            delay_s = strike.delay_s + gap_s
            gap_s += strike.gap_s
            if rate:
                self._busy_until_s = max(self._busy_until_s, now_s) + len(piece) / rate
                delay_s += self._busy_until_s - now_s
            self._leave(kind, piece, sent_at_s, delay_s, strike.until_s)

    def fall_silent(self) -> None:
        """Nothing gets through in this direction any more, and nobody says so."""
        if self.state in (FLOWING, HELD):
            self.state = SILENT
            self._held.clear()

    def sever(self, kind: int) -> None:
        """Tell the receiver that the connection ended; from here on what the sender sends is answered with RST."""
        if self.state in (FLOWING, HELD):
            self._held.clear()
            self.inject(kind)
            self.state = SEVERED

    def inject(self, kind: int) -> None:
        """A control segment that the network makes itself. A partition stops it."""
        if not self.link.blocked:
            self._arrive(kind, b"", self.loop.now_s, self.loop.now_s + self.link.latency_s)

    # A path that does not let anything through

    def _stuck(self, kind: int, data: bytes) -> None:
        """A segment cannot leave."""
        if self.state == SEVERED:
            if kind == DATA:
                self.sender.flow_in.inject(RST)
            return
        if self.state != SILENT:
            self.state = HELD
            self._held.append((kind, data, self.loop.now_s))
        if kind == DATA and not self._give_up_at_s:
            self._give_up_at_s = self.loop.now_s + USER_TIMEOUT_S
            self.loop.deliver_at(self._give_up_at_s, self._user_timeout, (), self.sender.context)

    def _user_timeout(self) -> None:
        if 0 < self._give_up_at_s <= self.loop.now_s:  # else the path opened in the meantime
            self.sender.time_out()

    def path_opened(self) -> None:
        """The partition is over: what is held is sent again when the sender's retransmission timer says so."""
        if self._held:
            at_s = retransmitted_at_s(self._held[0][2], self.loop.now_s)
            self.loop.deliver_at(at_s, self._send_again, (), self.sender.context)

    def _send_again(self) -> None:
        if self.state != HELD or self.link.blocked:
            return
        self.state = FLOWING
        self._give_up_at_s = 0.0
        held, self._held = self._held, deque()
        for kind, data, sent_at_s in held:
            if self.state:
                self._stuck(kind, data)
            elif self.network.decide is None:
                self._leave(kind, data, sent_at_s)
            else:
                self._ask_and_leave(kind, data, sent_at_s)


class Connection:
    """One TCP connection: its two ends, its two directions, and its name for fault points.

    ``ordinal`` counts the connection attempts to the listening host's ``label`` from 1; ``number`` counts all of a run.
    """

    __slots__ = ("client", "down", "entity", "key", "label", "network", "number", "ordinal", "server", "up")

    def __init__(self, network: Network, label: str, ordinal: int, up: Link, down: Link) -> None:
        self.network = network
        self.label = label
        self.ordinal = ordinal
        self.entity = str(ordinal)
        self.key = (label, ordinal)
        self.number = network.next_number()
        self.up = Flow(self, "up", up)
        self.down = Flow(self, "down", down)
        self.client: SimTransport
        self.server: SimTransport

    def join(self, client: SimTransport, server: SimTransport) -> None:
        """Set the two ends."""
        self.client, self.server = client, server
        self.up.sender = self.down.receiver = client
        self.up.receiver = self.down.sender = server

    @property
    def is_open(self) -> bool:
        """Whether neither end has closed its socket and the network has not ended the connection."""
        alive = self.up.state < SILENT and self.down.state < SILENT
        return alive and not (self.client.is_released or self.server.is_released)

    def carry_out(self, cut: Cut) -> None:
        """End the connection as ``cut`` asks for: now, or after its time if it is still open then."""
        if cut.after_s is None:
            self.cut(cut.how)
            return
        loop = self.network.loop
        loop.deliver_at(loop.now_s + cut.after_s, self._cut_if_open, (cut.how,), self.client.context)

    def _cut_if_open(self, how: How) -> None:
        if self.is_open:
            self.cut(how)

    def cut(self, how: How) -> None:
        """End the connection from outside: both ends see FIN or RST after what is in flight, or never hear again.

        ``close`` (a WebSocket matter) is an orderly FIN here.
        """
        self.network.trace.add(self.network.loop.now_s, FAULT, self.up.trace_id, how.encode())
        if how == "silence":
            self.up.fall_silent()
            self.down.fall_silent()
            return
        kind = RST if how == "rst" else FIN
        self.up.sever(kind)
        self.down.sever(kind)

"""One direction of a proxied connection: chunks in, stages, chunks out, backpressure all the way.

With no stage armed the source's bytes go straight into the sink's transport. With stages each chunk passes them in
order; the last one writes. An end of the stream (``fin``, or ``rst`` when the peer reset it) passes the same way, so
that it stays behind the bytes before it. What waits in stages counts against :data:`HELD_BYTES_MAX`; past it the
source is no longer read.

Bytes may arrive before the upstream connection stands (uvloop ignores ``pause_reading`` in ``connection_made``):
they wait here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from faultline.faults.points import Moment, Plane, Point

if TYPE_CHECKING:
    from faultline.worlds.live.proxy.connection import Connection
    from faultline.worlds.live.proxy.side import Side
    from faultline.worlds.live.proxy.stage import ActionStage

HELD_BYTES_MAX: Final = 40 * 1024 * 1024
"""How much one direction may hold back; with a delay of 50 ms that is 840 MB/s."""
EARLY_BYTES_MAX: Final = 64 * 1024
"""How much a client may send before its upstream connection stands; then it is no longer read."""
_SINK_FULL: Final = 1
_STAGES_FULL: Final = 2
_EARLY_FULL: Final = 4

End = Literal["fin", "rst"]
Way = Literal["up", "down"]


class Link:
    """``source`` is where bytes come from, ``sink`` where they go."""

    __slots__ = ("_early", "_early_end", "_is_open", "_pauses", "connection", "held_bytes", "is_ended", "passed_bytes",
                 "sent_bytes", "sink", "source", "stages", "way")  # fmt: skip

    def __init__(self, connection: Connection, way: Way, source: Side, sink: Side) -> None:
        self.connection = connection
        self.way: Way = way
        self.source = source
        self.sink = sink
        self.stages: list[ActionStage] = []
        self.held_bytes = 0
        self.passed_bytes = 0  # both are counted only where metrics are on
        self.sent_bytes = 0
        self.is_ended = False  # the sink was told that nothing more comes
        self._early: list[bytes] = []
        self._early_end: End | None = None
        self._is_open = False
        self._pauses = 0
        source.outgoing = self
        sink.incoming = self
        source.data_received = self._wait

    # Before the upstream connection stands

    def _wait(self, data: bytes) -> None:
        self._early.append(data)
        self.hold(len(data))
        if self.held_bytes > EARLY_BYTES_MAX:
            self.pause(_EARLY_FULL)

    def open(self) -> None:
        """Both sockets stand: let through what waits, and go on."""
        self._is_open = True
        self.arm()
        early, self._early = self._early, []
        for data in early:
            self.release(len(data))
            self.source.data_received(data)
        self.resume(_EARLY_FULL)
        if self._early_end is not None:
            self.end(self._early_end)

    # The path of the bytes

    def arm(self) -> None:
        """Join the stages, and choose the shortest path for what comes from now on."""
        if not self._is_open or self.connection.is_mute:
            return
        for stage, after in zip(self.stages, self.stages[1:], strict=False):
            stage.lead_to(after.feed, after.end)
        if self.stages:
            self.stages[-1].lead_to(self.write, self.finish)
        self.source.receive_with(self._counted if self.connection.counts else self._entry())

    def _entry(self) -> Callable[[bytes], None]:
        if self.stages:
            return self.stages[0].feed
        transport = self.sink.transport
        return self.write if transport is None or self.sink.is_lost else transport.write

    def _counted(self, data: bytes) -> None:
        self.passed_bytes += len(data)
        if self.stages:
            self.stages[0].feed(data)
        else:
            self.write(data)

    def write(self, data: bytes) -> None:
        """What has passed every stage."""
        transport = self.sink.transport
        if transport is not None and not self.sink.is_lost:
            self.sent_bytes += len(data)
            transport.write(data)

    def discard(self) -> None:
        """Bytes that still come are lost, and so is what the stages hold."""
        for stage in self.stages:
            stage.drop_all()
        self._early.clear()
        self.source.receive_with(_nowhere)
        self._pauses = 0
        self._read_again()

    # Its end

    def end(self, how: End) -> None:
        """The source has ended; its end follows its bytes."""
        if not self._is_open:
            self._early_end = how
        elif self.stages:
            self.stages[0].end(how)
        else:
            self.finish(how)

    def finish(self, how: End) -> None:
        """The end has passed every stage: pass it on."""
        if self.connection.is_mute or self.is_ended:
            return
        if how == "rst":
            self.connection.cut("rst")
            return
        self.is_ended = True
        transport = self.sink.transport
        if transport is not None and not (self.sink.is_lost or transport.is_closing()):
            with suppress(OSError):  # the sink was reset, and the loop has not told us yet
                transport.write_eof()
        self.connection.half_ended()

    # Backpressure

    def hold(self, size_bytes: int) -> None:
        """A stage has taken that much in."""
        self.held_bytes += size_bytes
        if self.held_bytes > HELD_BYTES_MAX:
            self.pause(_STAGES_FULL)

    def release(self, size_bytes: int) -> None:
        """A stage has let that much go."""
        self.held_bytes -= size_bytes
        if self._pauses & _STAGES_FULL and self.held_bytes <= HELD_BYTES_MAX // 2:
            self.resume(_STAGES_FULL)

    def pause(self, reason: int) -> None:
        """Do not read the source until every reason to pause is gone."""
        transport = self.source.transport
        if not self._pauses and transport is not None and not (self.source.is_lost or transport.is_closing()):
            transport.pause_reading()
        self._pauses |= reason

    def resume(self, reason: int) -> None:
        """One reason to pause is gone."""
        if self._pauses & reason:
            self._pauses &= ~reason
            self._read_again()

    def _read_again(self) -> None:
        transport = self.source.transport
        if not self._pauses and transport is not None and not (self.source.is_lost or transport.is_closing()):
            transport.resume_reading()

    # What deciders see

    def moment(self, offset_bytes: int, size_bytes: int) -> Moment:
        """The moment at which ``size_bytes`` bytes are about to pass, the first of them number ``offset_bytes``."""
        connection = self.connection
        point = Point(Plane.STREAM, connection.endpoint, connection.entity, offset_bytes, self.way)
        return Moment(point, connection.now_s(), connection=connection.ordinal, size_bytes=size_bytes)


def _nowhere(data: bytes) -> None:
    """Where the bytes of a connection go whose other end is gone."""

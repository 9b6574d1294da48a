"""One client's connection: two sockets, two links, and what the armed faults do to it as a whole.

The upstream is dialled in a task of its own, with a timeout, so that a black-holed upstream holds up this client and
nobody else. The life of a connection:

===================== ================================================================================================
accepted              the armed faults are asked at ``connect``: refused, held, delayed, or dialled
dialling              what the client sends waits (see :mod:`~faultline.worlds.live.proxy.link`)
open                  bytes flow; either direction may end by itself (half-close)
closed                both directions have ended, one side was reset, or a fault cut it
mute                  a fault cut it silently: bytes go nowhere, neither side is told, the sockets stay
===================== ================================================================================================
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from faultline.faults.actions import Cut, How
from faultline.faults.points import Moment, Plane, Point
from faultline.worlds.live.proxy.limit import SILENT_S
from faultline.worlds.live.proxy.link import Link
from faultline.worlds.live.proxy.side import Side
from faultline.worlds.live.proxy.stage import ActionStage
from faultline.worlds.strike import Strike, read_actions

if TYPE_CHECKING:
    from faultline.worlds.live.proxy.armed import Armed
    from faultline.worlds.live.proxy.proxy import FaultProxy

CLOSE_S: Final = 5.0
"""How long an orderly close may take for a peer that does not read; then it is a reset."""


class Connection:
    """Made for each accepted client. ``ordinal`` counts the connections of its proxy from 1."""

    __slots__ = ("_close_timer", "_dialling", "_is_closing", "_stages", "_timers", "client", "clock", "counts", "down",
                 "endpoint", "entity", "epoch_s", "is_mute", "is_open", "loop", "ordinal", "proxy", "server",
                 "up")  # fmt: skip

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.loop = proxy.loop
        self.clock = proxy.clock
        self.epoch_s = proxy.epoch_s
        self.endpoint = proxy.name
        self.counts = proxy.counts
        self.ordinal = proxy.admit(self)
        self.entity = str(self.ordinal)
        self.client = Side(self)
        self.server = Side(self)
        self.up = Link(self, "up", self.client, self.server)
        self.down = Link(self, "down", self.server, self.client)
        self.is_mute = False
        self.is_open = False
        self._is_closing = False
        self._dialling: asyncio.Task[None] | None = None
        self._timers: dict[Armed | ActionStage, list[asyncio.TimerHandle]] = {}
        self._close_timer: asyncio.TimerHandle | None = None
        self._stages: dict[Armed, tuple[ActionStage, ...]] = {}

    def now_s(self) -> float:
        """Seconds since the proxy's epoch."""
        return self.clock() - self.epoch_s

    # Its beginning

    def made(self, side: Side) -> None:
        """One of the two sockets stands."""
        if side is self.server:
            if self._is_closing or self.client.is_lost:
                side.reset()
            return
        if not self.proxy.armed:
            self._dialling = self.loop.create_task(self._dial(0.0))
            return
        strike = Strike()
        for armed in self.proxy.armed:
            if armed.hits(self.ordinal):
                self._join(armed, strike)
        cut = strike.cut
        if cut is not None:
            self.cut(cut.how)
        elif not strike.for_ever:
            wait_s = max(strike.delay_s, strike.until_s - self.now_s())
            self._dialling = self.loop.create_task(self._dial(wait_s))

    async def _dial(self, wait_s: float) -> None:
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        give_up = self.loop.call_later(self.proxy.dial_timeout_s, self._give_up)
        try:
            host, port = self.proxy.upstream_address
            await self.loop.create_connection(self._the_server, host, port)
        except OSError:
            self.close()
        else:
            if not self._is_closing:
                self._dialling = None
                self.is_open = True
                self.up.open()
                self.down.open()
        finally:
            give_up.cancel()

    def _the_server(self) -> Side:
        return self.server

    def _give_up(self) -> None:
        self.close()

    # Faults

    def _join(self, armed: Armed, strike: Strike) -> None:
        """Put a fault's stages at the end of the links, and add what it asks for at the connect to ``strike``."""
        decider = armed.decider
        if decider.acts_on("connect"):
            point = Point(Plane.STREAM, self.endpoint, self.entity, 0, "connect")
            asked = read_actions(decider.decide(Moment(point, self.now_s(), connection=self.ordinal)), drops=True)
            strike.delay_s += asked.delay_s
            strike.until_s = max(strike.until_s, asked.until_s)
            strike.for_ever |= asked.for_ever
            if asked.cut is not None and asked.cut.after_s is not None:
                self.cut_later(asked.cut, armed)
            else:
                strike.cut = strike.cut or asked.cut
        stages = []
        for link in (self.up, self.down):
            if decider.acts_on(link.way):
                stages.append(ActionStage(link, decider))
                link.stages.append(stages[-1])
        if stages:
            self._stages[armed] = tuple(stages)

    def join(self, armed: Armed) -> None:
        """A fault is armed while this connection is open.

        What it asks for at a connect comes too late, except a cut that is due after a time: that counts from now.
        """
        if self._is_closing or self.is_mute or not armed.hits(self.ordinal):
            return
        self._join(armed, Strike())
        self.up.arm()
        self.down.arm()

    def leave(self, armed: Armed) -> None:
        """A fault is disarmed: what its stages hold goes on at once."""
        was_hit = armed in self._stages or armed in self._timers
        stages = self._let_go(armed)
        for link in (self.up, self.down):
            kept = [stage for stage in link.stages if stage not in stages]
            if len(kept) < len(link.stages):
                link.stages = kept
                link.arm()
        if was_hit and armed.closes_when_removed:
            self.cut("fin")

    def change(self, armed: Armed) -> None:
        """A fault has new values: what it holds goes on, its times count from now, its place stays."""
        self._let_go(armed)
        if not (self._is_closing or self.is_mute) and armed.hits(self.ordinal):
            self._join(armed, Strike())
        in_order = [stage for each in self.proxy.armed for stage in self._stages.get(each, ())]
        for link in (self.up, self.down):
            link.stages = [stage for stage in in_order if stage.link is link]
            link.arm()

    def _let_go(self, armed: Armed) -> tuple[ActionStage, ...]:
        stages = self._stages.pop(armed, ())
        owners: tuple[Armed | ActionStage, ...] = (armed, *stages)
        for owner in owners:
            for timer in self._timers.pop(owner, ()):
                timer.cancel()
        for stage in stages:
            stage.flush()
        return stages

    def cut_later(self, cut: Cut, owner: Armed | ActionStage) -> None:
        """End it after ``cut.after_s``, unless the fault that asked for it is gone by then."""
        timer = self.loop.call_later(cut.after_s or 0.0, self.cut, cut.how)
        self._timers.setdefault(owner, []).append(timer)

    # Its end

    def cut(self, how: How) -> None:
        """End the connection now: ``fin`` (after what is still to be sent), ``rst``, or ``silence``."""
        if how == "silence":
            if not self._is_closing:
                self.is_mute = True
                self._stop()
                self.up.discard()
                self.down.discard()
            return
        if how == "rst":
            self._stop()
            self._is_closing = True
            self.client.reset()
            self.server.reset()
            self._gone()
            return
        self.close()

    def close(self) -> None:
        """End both sides in an orderly way, after what was already passed on; what stages hold is lost."""
        if self._is_closing:
            return
        self._stop()
        self._is_closing = True
        self.up.discard()
        self.down.discard()
        self.client.close()
        self.server.close()
        if self.client.unsent_bytes or self.server.unsent_bytes:
            self._close_timer = self.loop.call_later(CLOSE_S, self.cut, "rst")
        self._gone()

    def _stop(self) -> None:
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
        for timers in self._timers.values():
            for timer in timers:
                timer.cancel()
        self._timers.clear()
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None

    def ended_in_silence(self) -> None:
        """One side has ended. Where a fault keeps that from the other, both go after a while."""
        if (self.is_mute or not (self.is_open or self._dialling)) and self._close_timer is None:
            self._close_timer = self.loop.call_later(SILENT_S, self.cut, "rst")

    def half_ended(self) -> None:
        """One direction is over; the connection is when both are."""
        if self.up.is_ended and self.down.is_ended:
            self.close()

    def lost(self, side: Side, error: Exception | None) -> None:
        """One of the two sockets is gone."""
        self.ended_in_silence()
        if not (self._is_closing or self.is_mute):
            if self.is_open:
                side.incoming.discard()
                side.outgoing.end("rst" if error is not None else "fin")
            else:
                self.close()
        self._gone()

    def _gone(self) -> None:
        over = (self.client.transport is None or self.client.is_lost) and (
            self.server.transport is None or self.server.is_lost
        )
        if over and self._dialling is None:
            self._stop()
            self.up.discard()
            self.down.discard()
            self.proxy.forget(self)

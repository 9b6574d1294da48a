"""One listening TCP proxy with faults, as a library.

    async with FaultProxy("127.0.0.1:5432", seed=7) as proxy:
        connect_to("127.0.0.1", proxy.listen_port)
        with proxy.inject(faults.Latency(delay_s=0.05)):
            ...

Faults are those of a scenario, asked at the same points as in the simulation. They may be armed, changed and disarmed
while connections are open; what a fault held back goes on at once when it goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Self

from faultline.errors import HarnessError
from faultline.faults.actions import Action, Cut, How
from faultline.faults.base import Fault
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane, Point
from faultline.worlds.live.proxy.address import Address, address
from faultline.worlds.live.proxy.armed import Armed, CallDecider, FaultDecider
from faultline.worlds.live.proxy.clock import clock_of
from faultline.worlds.live.proxy.connection import Connection
from faultline.worlds.live.proxy.limit import ConnectionLimit
from faultline.worlds.live.proxy.side import TurnedAway

BACKLOG: Final = 4096


class FaultProxy:
    """Passes TCP connections from ``listen`` to ``upstream``.

    ``name`` is the endpoint of its points: what ``on`` of a fault matches. ``decide`` is asked at every point (a run's
    injector), before the faults armed here. ``epoch_s`` is the time of its clock at which times of faults begin
    (default: when it is first started). ``limit`` bounds its connections, with those of others that have the same one.
    Raises UsageError for an address that is none.
    """

    def __init__(
        self, upstream: str, *, listen: str = "127.0.0.1:0", name: str = "proxy", seed: int = 0,
        decide: Callable[[Moment], tuple[Action, ...]] | None = None, epoch_s: float | None = None,
        dial_timeout_s: float = 10.0, counts: bool = False, limit: ConnectionLimit | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.seed = seed
        self.counts = counts
        self.dial_timeout_s = dial_timeout_s
        self.upstream = upstream
        self.upstream_address = address(upstream, "upstream")
        self.listen_address: Address = address(listen, "listen")
        self.loop: asyncio.AbstractEventLoop
        self.clock: Callable[[], float]
        self.epoch_s = 0.0
        self.accepted = 0
        self.limit = limit or ConnectionLimit()
        self.connections: set[Connection] = set()
        self.armed: list[Armed] = []
        self.received_bytes = {"up": 0, "down": 0}
        self.sent_bytes = {"up": 0, "down": 0}
        self._epoch_given_s = epoch_s
        self._is_started = False
        self._server: asyncio.Server | None = None
        self._changing = asyncio.Lock()
        self._injected = 0
        if decide is not None:
            self.armed.append(Armed("decide", CallDecider(decide), Chance(seed)))

    # Listening

    @property
    def is_listening(self) -> bool:
        """Whether clients can connect."""
        return self._server is not None

    @property
    def listen_port(self) -> int:
        """The port that clients connect to; the real one once it has listened, also where 0 was asked for."""
        return self.listen_address.port

    @property
    def listen(self) -> str:
        """Host and port that clients connect to."""
        return str(self.listen_address)

    async def start(self) -> None:
        """Listen. Raises OSError when the port is in use or the address is not this machine's."""
        async with self._changing:
            if self._server is not None:
                return
            if not self._is_started:
                self._is_started = True
                self.loop = asyncio.get_running_loop()
                self.clock = clock_of(self.loop)
                self.epoch_s = self.clock() if self._epoch_given_s is None else self._epoch_given_s
            host, port = self.listen_address
            self._server = await self.loop.create_server(self._accepted, host or None, port, backlog=BACKLOG)
            bound = self._server.sockets[0].getsockname()
            self.listen_address = Address(bound[0] if host else "::", bound[1])

    def _accepted(self) -> asyncio.Protocol:
        return Connection(self).client if self.limit.take() else TurnedAway()

    async def stop(self) -> None:
        """Stop listening and end every connection (FIN). Faults stay armed."""
        async with self._changing:
            await self._stop()

    async def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in list(self.connections):
            connection.close()
        # uvloop closes the listening socket in its next turns; the port is free only then.
        for _ in range(3):
            await asyncio.sleep(0)

    async def retarget(self, *, listen: str | None = None, upstream: str | None = None) -> None:
        """Listen elsewhere, or connect elsewhere. Open connections end.

        Raises UsageError for an address that is none, OSError when the new one cannot be listened at; nothing has
        changed then.
        """
        to = self.upstream_address if upstream is None else address(upstream, "upstream")
        at = self.listen_address if listen is None else address(listen, "listen")
        was, was_listening = self.listen_address, self.is_listening
        await self.stop()
        self.listen_address = at
        if was_listening:
            try:
                await self.start()
            except OSError:
                self.listen_address = was
                await self.start()
                raise
        self.upstream, self.upstream_address = upstream or self.upstream, to

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()
        for connection in list(self.connections):
            connection.cut("rst")
        await asyncio.sleep(0)

    # Faults

    @contextmanager
    def inject(
        self, fault: Fault | Sequence[Fault], *, name: str = "", toxicity: float = 1.0, first: int | None = None
    ) -> Iterator[Armed]:
        """Faults of the stream plane, for a while. ``toxicity`` is the share of connections that they hit.

        ``first``: only so many of the connections that come from now on. The name keys the draws; by default it is
        the fault's kind with a number. Raises UnsupportedFault for what a proxy cannot carry.
        """
        faults = (fault,) if isinstance(fault, Fault) else tuple(fault)
        if not self._is_started:
            raise HarnessError("this proxy has not been started; use it in `async with`, or start() it")
        self._injected += 1
        label = name or f"{faults[0].kind}#{self._injected}"
        chance = Chance(self.seed, self.name, label)
        by_points = [each for each in faults if not each.by_the_clock]
        decider = FaultDecider(by_points, chance, self.name)
        armed = Armed(label, decider, chance, toxicity=toxicity, first=first, after=self.accepted)
        timers = [_Ticking(self, each, chance, armed) for each in faults if each.by_the_clock]
        self.arm(armed)
        try:
            yield armed
        finally:
            self.disarm(armed)
            for timer in timers:
                timer.stop()

    def arm(self, armed: Armed) -> None:
        """From now on, after those that are armed, also on open connections."""
        self.armed.append(armed)
        for connection in list(self.connections):
            connection.join(armed)

    def disarm(self, armed: Armed) -> None:
        """No more, also on open connections."""
        self.armed.remove(armed)
        for connection in list(self.connections):
            connection.leave(armed)

    def rearm(self, armed: Armed) -> None:
        """Its decider or toxicity has changed: what it holds goes on, its times count from now."""
        for connection in list(self.connections):
            connection.change(armed)

    def cut(self, how: How, armed: Armed | None = None) -> int:
        """End the open connections (those that ``armed`` hits). Returns how many there were."""
        struck = [each for each in self.connections if armed is None or armed.hits(each.ordinal)]
        for connection in struck:
            connection.cut(how)
        return len(struck)

    # Connections

    def admit(self, connection: Connection) -> int:
        """A client was accepted. Returns its ordinal."""
        self.connections.add(connection)
        self.accepted += 1
        return self.accepted

    def forget(self, connection: Connection) -> None:
        """A connection is over."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.limit.give_back()
            if self.counts:
                for link in (connection.up, connection.down):
                    self.received_bytes[link.way] += link.passed_bytes
                    self.sent_bytes[link.way] += link.sent_bytes


class _Ticking:
    """The strikes of one fault by the clock."""

    def __init__(self, proxy: FaultProxy, fault: Fault, chance: Chance, armed: Armed) -> None:
        self._proxy = proxy
        self._fault = fault
        self._armed = armed
        self._chance = chance
        self._ticks = fault.ticks(chance, 0.0)
        self._timer: asyncio.TimerHandle | None = None
        self._next()

    def _next(self) -> None:
        now_s = self._proxy.clock() - self._proxy.epoch_s
        for ordinal, at_s in self._ticks:
            if at_s >= now_s:
                self._timer = self._proxy.loop.call_later(at_s - now_s, self._strike, ordinal, at_s)
                return

    def _strike(self, ordinal: int, at_s: float) -> None:
        point = Point(Plane.STREAM, self._proxy.name, self._armed.name, ordinal, "tick")
        for action in self._fault.tick_actions(Moment(point, at_s), self._chance.child(point)):
            if isinstance(action, Cut):
                self._proxy.cut(action.how, self._armed)
        self._next()

    def stop(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()

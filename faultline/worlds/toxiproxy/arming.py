"""When toxics are there, and what shows that they struck.

A fault of a scenario holds from one time to another. Its toxics are added and removed at those times, through the
server's API: every :data:`PERIOD_S` the times of each fault are looked at (repetitions, jitter and marks have moved
them anywhere), and what has changed is asked for. The first are there before the client starts, and none in the tail.

The server does not say what a toxic did. A receipt is written only for a connection that was seen, while the toxic was
there for certain (its addition answered, its removal not yet asked for), to be one that it must strike: see
:meth:`_Entry.shows`. A fault without a receipt is inconclusive, as everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import log
from typing import Any, Final, Protocol

from faultline.faults.base import Fault
from faultline.faults.chance import Chance
from faultline.faults.injector import Injector
from faultline.faults.points import Moment, Plane
from faultline.worlds.toxiproxy.server import ToxiproxyServer
from faultline.worlds.toxiproxy.toxics import CARRIED, PULSES, Row, ToxicSpec, toxics_of

PERIOD_S: Final = 0.01
_DOUBT: Final = 1e-6
"""How likely it may be at most that a toxic of chance has not struck, when a receipt says that it has."""


class Site(Protocol):
    """The proxies of a run: ``names`` by the host label that faults use, and what can be seen there.

    ``sees_up``: what the client sends is seen before a toxic has had it. ``hits`` tells whether the toxicity of a
    toxic hits a connection.
    """

    names: Mapping[str, str]
    sees_up: bool

    def hits(self, label: str, toxic: str, ordinal: int) -> bool:
        """Whether the toxic hits connection number ``ordinal`` of the proxy ``label``."""
        ...


@dataclass(slots=True)
class _Entry:
    """A fault with its toxics, and which connections it has been seen to strike."""

    label: str
    fault: Fault
    row: Row
    chance: Chance
    toxics: Mapping[str, ToxicSpec]
    is_wanted: bool = False
    is_there: bool = False
    struck: set[tuple[str, int]] = field(default_factory=set)
    begins: dict[tuple[str, int, str], int] = field(default_factory=dict)
    chunks: int = 0

    def shows(self, moment: Moment, sees_up: bool) -> bool:
        """Whether this moment proves that the toxic strikes its connection."""
        phase, size = moment.point.phase, moment.size_bytes
        if phase == "connect":
            return self.row.seen in ("connect", "held")
        if phase not in {toxic.way for toxic in self.toxics.values()}:
            return False
        match self.row.seen:
            case "end":
                return not size
            case "limit":
                key = (moment.point.endpoint, moment.connection, phase)
                begin = self.begins.setdefault(key, moment.point.nth)
                return bool(size) and moment.point.nth + size - begin >= self._limit_bytes
            case "held":
                return bool(size) and (sees_up or phase == "down")
            case "bytes":
                return bool(size) and self._is_certain()
        return False

    @property
    def _limit_bytes(self) -> int:
        return int(next(iter(self.toxics.values())).attributes["bytes"])

    def _is_certain(self) -> bool:
        """A toxic that strikes a share of the chunks has struck when that many have passed."""
        rate: float = getattr(self.fault, "rate", 1.0)
        self.chunks += 1
        return rate >= 1 or (rate > 0 and self.chunks >= log(_DOUBT) / log(1 - rate))


class Arming:
    """The toxics of one run. ``faults`` by label, as the scenario has them; ``fail`` ends the run."""

    def __init__(
        self, server: ToxiproxyServer, site: Site, injector: Injector, faults: Mapping[str, Fault], seed: int,
        now_s: Callable[[], float], fail: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self._server = server
        self._site = site
        self._injector = injector
        self._now_s = now_s
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._entries = [_entry(label, fault, seed) for label, fault in faults.items() if fault.plane is Plane.STREAM]
        self._entries = [entry for entry in self._entries if entry.toxics]
        self._about = {
            label: [entry for entry in self._entries if fnmatchcase(label, entry.fault.on)] for label in site.names
        }
        self._has_begun = False
        self._asked: list[Future[object]] = []
        self._pulses = 0
        self._keeping: asyncio.Task[None] | None = None

    # The times

    async def start(self) -> None:
        """Add what is to be there from the beginning, and keep to the times of the faults from then on."""
        self._turn()
        for asked in self._asked:
            await asyncio.wrap_future(asked)
        self._keeping = self._loop.create_task(self._keep()) if self._entries else None

    async def stop(self) -> None:
        """No more additions; what is there stays until its proxy goes."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            self._turn()

    def _turn(self) -> None:
        injector = self._injector
        self._has_begun |= injector.armed
        is_over = self._has_begun and not injector.armed
        for entry in self._entries:
            wanted = not is_over and entry.fault.active(self._now_s(), injector.marks, entry.chance)
            if wanted != entry.is_wanted:
                entry.is_wanted = wanted
                entry.is_there = False
                entry.begins.clear()
                self._ask(entry, wanted)

    def _ask(self, entry: _Entry, wanted: bool) -> None:
        server = self._server

        def job() -> None:
            for label, proxy in self._site.names.items():
                for name, toxic in entry.toxics.items() if fnmatchcase(label, entry.fault.on) else ():
                    if wanted:
                        server.add(proxy, name, toxic)
                    else:
                        server.remove(proxy, name)

        def done() -> None:
            entry.is_there = wanted and entry.is_wanted

        self._submit(job, done)

    def _submit(self, job: Callable[[], object], done: Callable[[], None] = lambda: None) -> None:
        asked = self._server.submit(job)
        self._asked = [each for each in self._asked if not each.done()] + [asked]
        asked.add_done_callback(lambda asked: self._answered(asked, done))

    def _answered(self, asked: Future[object], done: Callable[[], None]) -> None:
        """In the server's thread: go on in the loop's."""
        if asked.cancelled():
            return
        error = asked.exception()
        with suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(done if error is None else lambda: self._fail(error))

    def strike(self, label: str, how: str) -> None:
        """End the open connections of a proxy now."""
        server, proxy = self._server, self._site.names[label]
        toxic = PULSES.get(how)
        if toxic is None:
            self._submit(lambda: server.bounce(proxy))
            return
        self._pulses += 1
        name = f"pulse-{self._pulses}"

        def job() -> None:
            server.add(proxy, name, toxic)
            server.remove(proxy, name)

        self._submit(job)

    # What is seen

    def see(self, moment: Moment) -> None:
        """Write a receipt for each fault that this moment shows to strike, one for each connection."""
        if not self._injector.armed:
            return
        endpoint, ordinal = moment.point.endpoint, moment.connection
        for entry in self._about.get(endpoint, ()):
            if not entry.is_there or not self._hits(entry, endpoint, ordinal):
                continue
            if (endpoint, ordinal) in entry.struck:
                self._injector.struck_last_t = self._now_s()
            elif entry.shows(moment, self._site.sees_up):
                entry.struck.add((endpoint, ordinal))
                receipt = self._injector.begin(entry.label, moment.point, entry.row.acts(entry.fault))
                # Bytes have no effect of their own; what they carried is judged on the message plane.
                self._injector.resolve(receipt, "unknown")

    def _hits(self, entry: _Entry, label: str, ordinal: int) -> bool:
        return entry.fault.probability >= 1 or any(self._site.hits(label, name, ordinal) for name in entry.toxics)


def _entry(label: str, fault: Fault, seed: int) -> _Entry:
    row: Any = CARRIED.get(type(fault))
    plain = label.replace("#", "-")
    toxics = {f"{plain}.{toxic.stream}": toxic for toxic in toxics_of(fault)}
    return _Entry(label, fault, row, Chance(seed, "rule", label), toxics)

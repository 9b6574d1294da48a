"""The toxiproxy world: a live run whose stream-plane faults are toxics on a Toxiproxy server.

::

    client -- 127.0.0.1 --> proxy on the embedded server --> front --> interceptor --> venue
    client -- 127.0.0.1 --> proxy on another server --> a proxy that only looks --> front --> interceptor --> venue

Everything but the toxics is the live world's: sockets, fronts, the client's processes, its store, the end. The faults
of the other planes strike as there. Both proxies are created through the control API. The embedded server is
faultline's own, in this process, and tells what its proxies see; a server elsewhere does not, so a proxy of ours
without faults stands behind its proxies and sees what comes out of them.

Nothing is left on a server: the proxies of a run are deleted at its end, also after Ctrl-C, and those of a run that
was killed by the next run that uses the server, or by the server itself where it knows leases.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase

from faultline.errors import HarnessError
from faultline.faults.actions import Action, Cut
from faultline.faults.base import Fault
from faultline.faults.chance import Chance
from faultline.faults.injector import Injector
from faultline.faults.points import Moment, Plane
from faultline.venues.base import Venue
from faultline.venues.interceptor import Interceptor
from faultline.worlds.base import Addresses
from faultline.worlds.live.proxy import Armed, ControlApi, ProxyServer
from faultline.worlds.live.proxy.armed import CallDecider
from faultline.worlds.live.world import LOOPBACK, TEARDOWN_S, LiveWorld
from faultline.worlds.toxiproxy.arming import Arming
from faultline.worlds.toxiproxy.probe import check_reachable
from faultline.worlds.toxiproxy.server import RunName, ToxiproxyServer

_log = logging.getLogger(__name__)


class ToxiproxyWorld(LiveWorld):
    """One run. ``faults`` by label, none of which is refused; ``url`` of a server that is not ours, as
    :func:`~faultline.worlds.toxiproxy.address.server_url` gives it (None: the embedded one).
    """

    name = "toxiproxy"

    def __init__(self, seed: int, *, time_limit_s: float, faults: Mapping[str, Fault], url: str | None = None) -> None:
        super().__init__(seed, time_limit_s=time_limit_s)
        if url is not None:
            self.name = f"toxiproxy at {url}"
        self._url = url
        self._faults = faults
        self._run = RunName.new()
        self._control: ControlApi | None = None
        self._server: ToxiproxyServer | None = None
        self._injector: Injector | None = None
        self._arming: Arming | None = None
        self.names: Mapping[str, str] = {}
        self.sees_up = url is None

    # The wire

    def arm(self, injector: Injector, upon: Callable[[Action], object]) -> None:
        """As in the live world, except that bytes are not struck here but only looked at."""
        super().arm(injector, upon)
        self._injector = injector
        self._decide = self._see if injector.concerns(Plane.STREAM) else None

    def _see(self, moment: Moment) -> tuple[Action, ...]:
        self._note_sent(moment)
        arming = self._arming
        if arming is not None:
            self._as_the_world(lambda: arming.see(moment))
        return ()

    async def listen(self, venue: Venue, interceptor: Interceptor) -> Addresses:
        """Both fronts, each behind a proxy on the server, with the toxics that are there from the beginning.

        Raises HarnessError for a server that is not there, is not Toxiproxy, or cannot be reached through.
        """
        assert self._injector is not None
        server = await self._the_server()
        addresses = await super().listen(venue, interceptor)
        self._arming = Arming(server, self, self._injector, self._faults, self._seed, self.now_s, self._fail)
        await self._arming.start()
        return addresses

    async def _the_server(self) -> ToxiproxyServer:
        url = self._url
        if url is None:
            self._control = ControlApi(ProxyServer(seed=self._seed))
            url = f"http://{await self._control.start(LOOPBACK, 0)}"
        server = self._server = ToxiproxyServer(url)
        await server.call(server.check)
        if self._url is not None:
            await server.call(lambda: server.remove_proxies(self._run))
            await server.call(server.take_lease)
            await check_reachable(server, self._run.proxy("probe"))
        return server

    async def _behind_a_proxy(self, label: str, url: str) -> str:
        server = self._server
        assert server is not None
        upstream = url.rpartition("/")[2] if self._control is not None else await super()._behind_a_proxy(label, url)
        name = label if self._control is not None else self._run.proxy(label)
        self.names = {**self.names, label: name}
        listen = await server.call(lambda: server.create(name, upstream))
        if self._control is not None:
            proxy = self._control.server.get(name).proxy
            if self._decide is not None:
                proxy.arm(Armed("decide", CallDecider(self._decide), Chance(self._seed)))
            self._proxies.append(proxy)
        return listen

    def hits(self, label: str, toxic: str, ordinal: int) -> bool:
        """Whether a toxic's toxicity hits that connection; only the embedded server tells."""
        assert self._control is not None
        return self._control.server.get(self.names[label]).get(toxic).armed.hits(ordinal)

    def cut(self, on: str, cut: Cut) -> int:
        """Have the server end the open connections to the fronts that ``on`` names."""
        assert self._arming is not None
        struck = [proxy for proxy in self._proxies if fnmatchcase(proxy.name, on) and proxy.connections]
        for proxy in struck:
            self._arming.strike(proxy.name, cut.how)
        return sum(len(proxy.connections) for proxy in struck)

    # The end

    async def _tear_down(self) -> None:
        try:
            await self._leave_the_server()
        finally:
            await super()._tear_down()

    async def _leave_the_server(self) -> None:
        server, self._server = self._server, None
        if self._arming is not None:
            await self._arming.stop()
        if server is not None:
            try:
                await asyncio.wait_for(server.call(lambda: server.remove_proxies(self._run)), TEARDOWN_S)
            except (HarnessError, TimeoutError) as error:
                _log.warning("proxies may be left on the server: %s", error)
            server.close()
        if self._control is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._control.stop(), TEARDOWN_S)

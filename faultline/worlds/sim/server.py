"""A listening socket of the simulated network."""

from __future__ import annotations

import asyncio
from asyncio import tasks
from collections.abc import Callable
from contextvars import copy_context
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.socket import Address, SimSocket

if TYPE_CHECKING:
    from faultline.worlds.sim.network import Network
    from faultline.worlds.sim.transport import SimTransport


class SimServer(asyncio.AbstractServer):
    """What ``loop.create_server`` returns. Its context is the listener's; each accepted connection gets a copy."""

    def __init__(
        self,
        network: Network,
        addresses: list[Address],
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        ssl: SSLContext | None,
    ) -> None:
        self._network = network
        self._addresses = addresses
        self._protocol_factory = protocol_factory
        self._ssl = ssl
        self._serving = False
        self._closed = False
        self._for_ever: asyncio.Future[None] | None = None
        self.context = copy_context()

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The listening sockets; none after :meth:`close`."""
        if self._closed:
            return ()
        return tuple(SimSocket(address, None, self._network.loop.simulation.escaped) for address in self._addresses)

    def accept(self, transport: SimTransport) -> None:
        """A client has connected; runs in the transport's own context."""
        self._network.tls.accept(transport, self._protocol_factory, self._ssl)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """See asyncio."""
        return self._network.loop

    def is_serving(self) -> bool:
        """See asyncio."""
        return self._serving

    def start(self) -> None:
        """Listen. Raises OSError (EADDRINUSE) when another server has the address."""
        if not self._serving and not self._closed:
            for address in self._addresses:
                self._network.bind(address, self)
            self._serving = True

    async def start_serving(self) -> None:
        """See asyncio."""
        self.start()

    async def serve_forever(self) -> None:
        """See asyncio."""
        self.start()
        self._for_ever = self._network.loop.create_future()
        try:
            await self._for_ever
        finally:
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        """Stop listening. Connections that were accepted live on."""
        self._closed = True
        self._serving = False
        for address in self._addresses:
            self._network.unbind(address, self)
        if self._for_ever is not None and not self._for_ever.done():
            self._for_ever.cancel()

    async def wait_closed(self) -> None:
        """Returns after one turn of the loop, with connections open or not (as asyncio did up to 3.11)."""
        await tasks.sleep(0)

    async def __aenter__(self) -> SimServer:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()
        await self.wait_closed()

    def context_for(self, ip: str) -> Any:
        """The context of a connection accepted at ``ip``."""
        context = self.context.copy()
        context.run(HOST.set, ip)
        return context

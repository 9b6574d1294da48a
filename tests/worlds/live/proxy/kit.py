"""What the tests of the fault proxy share: a peer that notes what it sees, and a proxy in virtual or in real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from faultline.worlds.live.proxy import FaultProxy
from faultline.worlds.sim.simulation import Simulation

T = TypeVar("T")
HOST = "127.0.0.1"


class Peer(asyncio.Protocol):
    """Notes everything that happens to a socket, with the loop's time. ``echo`` sends back what comes."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.data = bytearray()
        self.chunks: list[tuple[float, bytes]] = []
        self.eof_s: float | None = None
        self.lost_s: float | None = None
        self.error: str | None = None
        self.transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.chunks.append((self._loop.time(), data))
        if self.echo:
            self.transport.write(data)

    def eof_received(self) -> bool:
        self.eof_s = self._loop.time()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_s = self._loop.time()
        self.error = None if exc is None else type(exc).__name__


class Bench:
    """An upstream, a proxy in front of it, and clients. ``peers`` are the upstream's ends, oldest first."""

    def __init__(self, proxy: FaultProxy, echo: bool) -> None:
        self.proxy = proxy
        self.echo = echo
        self.peers: list[Peer] = []
        self.clients: list[Peer] = []
        self.loop = asyncio.get_running_loop()

    def accept(self) -> Peer:
        self.peers.append(Peer(echo=self.echo))
        return self.peers[-1]

    async def client(self) -> Peer:
        """A new connection to the proxy."""
        _, peer = await self.loop.create_connection(Peer, HOST, self.proxy.listen_port)
        self.clients.append(peer)
        return peer

    async def pair(self) -> tuple[Peer, Peer]:
        """A new connection, and its upstream end once that stands."""
        before = len(self.peers)
        client = await self.client()
        await until(lambda: len(self.peers) > before and hasattr(self.peers[-1], "transport"))
        return client, self.peers[-1]


@asynccontextmanager
async def bench(*, echo: bool = False, **options: Any) -> AsyncIterator[Bench]:
    loop = asyncio.get_running_loop()
    made: list[Bench] = []
    server = await loop.create_server(lambda: made[0].accept(), HOST, 0)
    upstream = f"{HOST}:{server.sockets[0].getsockname()[1]}"
    async with FaultProxy(upstream, **{"seed": 7, **options}) as proxy:
        made.append(Bench(proxy, echo))
        try:
            yield made[0]
        finally:
            server.close()
            for peer in made[0].clients + made[0].peers:
                if hasattr(peer, "transport"):
                    peer.transport.abort()
            await asyncio.sleep(0)


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait for a condition; in a simulation the wait is virtual."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def in_virtual_time(main: Callable[[], Awaitable[T]]) -> T:
    return Simulation(seed=7, latency_s=0.0).run(main)

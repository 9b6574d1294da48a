"""The simulated network: hosts with names, links between them, listeners, and the making of connections.

A host is an address with a name and a label; the label of the *listening* host is the endpoint of every fault point
of its connections, so that a scenario says ``rest`` and not 10.0.0.2. Code runs on the host that the context variable
``HOST`` says, else on the default client machine. All hosts share one loopback (127.0.0.1).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Final

from faultline.errors import UsageError
from faultline.faults.actions import Action
from faultline.faults.points import Moment, Plane, Point
from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.link import Link
from faultline.worlds.sim.server import SimServer
from faultline.worlds.sim.socket import Address
from faultline.worlds.sim.tls import Mode, Tls
from faultline.worlds.sim.trace import DNS, FAULT, REFUSED, SYN, Trace
from faultline.worlds.sim.transport import SimTransport
from faultline.worlds.sim.wire import Connection
from faultline.worlds.strike import Strike, read_actions

if TYPE_CHECKING:
    from faultline.worlds.sim.loop import SimLoop

LOOPBACK: Final = "127.0.0.1"
ANY: Final = "0.0.0.0"
CLIENT_IP: Final = "10.255.0.1"
SYN_RETRIES_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Pauses between SYNs; after the last one connect fails with ETIMEDOUT (Linux: tcp_syn_retries = 6, 127 s)."""
RESOLVER_TIMEOUT_S: Final = 10.0
"""Two tries of 5 s each, as resolv.conf has it."""
_EPHEMERAL: Final = range(32768, 61000)

Decide = Callable[[Moment], tuple[Action, ...]]


class Network:
    """All of a simulation's hosts and connections. ``decide`` is asked at every point of the stream plane."""

    def __init__(
        self, loop: SimLoop, trace: Trace, seed: int, *, latency_s: float, jitter_s: float,
        decide: Decide | None, tls: Mode,
    ) -> None:  # fmt: skip
        self.loop = loop
        self.trace = trace
        self.decide = decide
        self.tls = Tls(loop, tls)
        self._seed = seed
        self._latency_s = latency_s
        self._jitter_s = jitter_s
        self._ips: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._listeners: dict[Address, SimServer] = {}
        self._connections: dict[int, Connection] = {}
        self._ordinals: dict[tuple[str, str], int] = {}
        self._numbers = 0
        self._ports = 0
        for name, ip in (("localhost", LOOPBACK), ("client", CLIENT_IP)):
            self._ips[name] = ip
            self._labels[ip] = name

    # Hosts

    def add_host(self, name: str, label: str | None = None) -> str:
        """Declare a host and give its address. ``label`` (default: the name) is its endpoint in fault points."""
        ip = self._ips.get(name)
        if ip is None:
            number = len(self._ips)
            ip = self._ips[name] = f"10.0.{number // 250}.{number % 250 + 1}"
            self._labels[ip] = label or name
        elif label is not None:
            self._labels[ip] = label
        return ip

    def address_of(self, host: str) -> str | None:
        """The address of a name or of an address itself; None when nobody declared it."""
        if host in self._ips:
            return self._ips[host]
        if host in (ANY, "::", ""):
            return ANY
        if host == "::1":
            return LOOPBACK
        try:
            socket.inet_pton(socket.AF_INET, host)
        except OSError:
            return None
        return host

    def label_of(self, ip: str) -> str:
        """The endpoint that the listening host at ``ip`` has in fault points."""
        return self._labels.get(ip, ip)

    # Links

    def link(self, source: str, destination: str) -> Link:
        """The one-way link between two hosts, by name or address. Raises UsageError for an unknown name."""
        ends = (self._known(source), self._known(destination))
        found = self._links.get(ends)
        if found is None:
            found = self._links[ends] = Link(self._seed, *ends, self._latency_s, self._jitter_s)
        return found

    def shape(
        self, a: str, b: str, *, latency_s: float | None = None, jitter_s: float | None = None,
        rate_bytes_per_s: float | None = None, loss: float | None = None, fragment_bytes: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        """Configure the links between two hosts in both directions; see :meth:`Link.configure`."""
        for link in (self.link(a, b), self.link(b, a)):
            link.configure(
                latency_s=latency_s, jitter_s=jitter_s, rate_bytes_per_s=rate_bytes_per_s, loss=loss,
                fragment_bytes=fragment_bytes,
            )  # fmt: skip

    def partition(self, a: str, b: str) -> None:
        """Nothing gets through between two hosts. Connections stay, their segments wait."""
        for link in (self.link(a, b), self.link(b, a)):
            link.configure(blocked=True)

    def heal(self, a: str, b: str) -> None:
        """The path is open again; what waited is sent again when TCP's backoff comes round."""
        links = (self.link(a, b), self.link(b, a))
        for link in links:
            link.configure(blocked=False)
        for connection in list(self._connections.values()):
            for flow in (connection.up, connection.down):
                if flow.link in links:
                    flow.path_opened()

    def _known(self, host: str) -> str:
        ip = self.address_of(host)
        if ip is None:
            raise UsageError(f"no simulated host {host!r}; declare it with add_host() (known: {self._known_names()})")
        return ip

    def _known_names(self) -> str:
        return ", ".join(sorted(self._ips))

    # Listeners

    def bind(self, address: Address, server: SimServer) -> None:
        """Register a listener. Raises OSError (EADDRINUSE)."""
        if address in self._listeners:
            raise OSError(
                errno.EADDRINUSE,
                f"error while attempting to bind on address {address!r}: address already in use",
            )
        self._listeners[address] = server

    def unbind(self, address: Address, server: SimServer) -> None:
        """Forget a listener."""
        if self._listeners.get(address) is server:
            del self._listeners[address]

    def listeners(self) -> list[SimServer]:
        """Every listening server."""
        return list(dict.fromkeys(self._listeners.values()))

    def is_bound(self, address: Address) -> bool:
        """Whether somebody listens at exactly this address."""
        return address in self._listeners

    def next_port(self) -> int:
        """The next ephemeral port."""
        self._ports += 1
        return _EPHEMERAL[self._ports % len(_EPHEMERAL)]

    def _listener_at(self, address: Address) -> SimServer | None:
        return self._listeners.get(address) or self._listeners.get((ANY, address[1]))

    # Connections

    def next_number(self) -> int:
        """The next connection's number in this run."""
        self._numbers += 1
        return self._numbers

    def connections(self, label: str | None = None) -> list[Connection]:
        """The open connections (to hosts with ``label``), oldest first."""
        return [
            connection
            for connection in self._connections.values()
            if connection.is_open and label in (None, connection.label)
        ]

    def transports(self) -> list[SimTransport]:
        """Both ends of every connection whose socket is still open at one end at least."""
        return [end for connection in self._connections.values() for end in (connection.client, connection.server)]

    def forget(self, connection: Connection) -> None:
        """One end has closed its socket."""
        if connection.client.is_released and connection.server.is_released:
            self._connections.pop(connection.number, None)

    def ask(self, moment: Moment, wire: int = 0) -> Strike | None:
        """What the decider wants at a point, None for nothing; the trace notes that it struck.

        An error in the decider ends the run: raised into the client's own code it would only look like a fault.
        """
        try:
            actions = self.decide(moment) if self.decide is not None else ()
            strike = read_actions(actions) if actions else None
        except Exception as error:
            self.loop.fail(error)
            raise
        if actions:
            self.trace.add(self.loop.now_s, FAULT, wire, repr(actions).encode())
        return strike

    def _strike_at(self, endpoint: str, ordinal: int, phase: str) -> Strike:
        if self.decide is None:
            return _NOTHING
        point = Point(Plane.STREAM, endpoint, str(ordinal), 0, phase)
        return self.ask(Moment(point, self.loop.now_s, connection=ordinal)) or _NOTHING

    def _next_ordinal(self, label: str, what: str) -> int:
        ordinal = self._ordinals[label, what] = self._ordinals.get((label, what), 0) + 1
        return ordinal

    async def resolve(self, host: str) -> str:
        """The address of ``host``. Raises socket.gaierror."""
        if host not in self._ips:
            ip = self.address_of(host)
            if ip is None:
                raise socket.gaierror(
                    socket.EAI_NONAME,
                    f"Name or service not known (no simulated host {host!r}; known: {self._known_names()})",
                )
            return ip
        if self.decide is not None:
            await self._alive()
            label = self.label_of(self._ips[host])
            strike = self._strike_at(label, self._next_ordinal(label, "resolve"), "resolve")
            await self._resolve_struck(strike)
        return self._ips[host]

    async def _resolve_struck(self, strike: Strike) -> None:
        for_ever = strike.for_ever or (strike.cut is not None and strike.cut.how == "silence")
        wait_s = RESOLVER_TIMEOUT_S if for_ever else max(strike.delay_s, strike.until_s - self.loop.now_s)
        if wait_s > 0:
            await self._pause(wait_s)
        if for_ever or strike.cut is not None:
            self.trace.add(self.loop.now_s, DNS, 0)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    async def connect(self, address: Address) -> SimTransport:
        """The handshake with a listener. Raises what the kernel would: refused, no such host, timed out after 127 s."""
        loop, (ip, port) = self.loop, address
        source = HOST.get() or (LOOPBACK if ip == LOOPBACK else CLIENT_IP)
        await self._alive()
        label = self.label_of(ip)
        ordinal = self._next_ordinal(label, "connect")
        up, down = self.link(source, ip), self.link(ip, source)
        strike = self._strike_at(label, ordinal, "connect")
        await self._reach(strike, up, down, address)
        key = ((label, ordinal), "syn")
        await self._pause(up.delay_s(0, loop.now_s, *key) + down.delay_s(0, loop.now_s, *key) + strike.delay_s)
        server = self._listener_at(address)
        if server is None and ip not in self._labels:
            raise OSError(errno.EHOSTUNREACH, f"Connect call failed {address}: no simulated host has this address")
        if server is None or (strike.cut is not None and strike.cut.after_s is None and strike.cut.how == "rst"):
            self.trace.add(loop.now_s, REFUSED, port, label.encode())
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {address}")
        connection = self._establish(label, ordinal, (source, self.next_port()), address, server)
        if strike.cut is not None:
            connection.carry_out(strike.cut)
        return connection.client

    async def _alive(self) -> None:
        """A crashed process, in its last step, makes no connections and strikes no points: this never returns."""
        if self.loop.is_in_the_void():
            await self.loop.create_future()

    async def _reach(self, strike: Strike, up: Link, down: Link, address: Address) -> None:
        """Send SYNs until the path is open."""
        gone = strike.cut is not None and strike.cut.after_s is None and strike.cut.how == "silence"
        for_ever = strike.for_ever or gone
        for pause_s in SYN_RETRIES_S:
            if not (for_ever or up.blocked or down.blocked or self.loop.now_s < strike.until_s):
                return
            await self._pause(pause_s)
        raise TimeoutError(errno.ETIMEDOUT, f"Connect call failed {address}")

    def _establish(self, label: str, ordinal: int, local: Address, remote: Address, server: SimServer) -> Connection:
        up, down = self.link(local[0], remote[0]), self.link(remote[0], local[0])
        connection = Connection(self, label, ordinal, up, down)
        client = SimTransport(connection, connection.down, connection.up, local, remote, copy_context())
        accepted: Context = server.context_for(remote[0])
        far_end = SimTransport(connection, connection.up, connection.down, remote, local, accepted)
        connection.join(client, far_end)
        self._connections[connection.number] = connection
        self.trace.add(
            self.loop.now_s, SYN, connection.number, f"{local[0]}:{local[1]}>{remote[0]}:{remote[1]}".encode()
        )
        connection.up.handshake_done(server.accept)
        return connection

    async def _pause(self, delay_s: float) -> None:
        """Wait for the network, to the exact time."""
        arrived: asyncio.Future[None] = self.loop.create_future()
        self.loop.deliver_at(self.loop.now_s + delay_s, _wake, (arrived,), copy_context())
        await arrived


def _wake(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)


_NOTHING: Final = Strike()

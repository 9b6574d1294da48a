"""The loop's methods that name hosts, open connections and listen, answered by the simulated network.

Libraries that race addresses themselves (aiohappyeyeballs, and through it aiohttp) make a real socket, call
``loop.sock_connect`` with it, and hand it to ``create_connection(sock=)``. The socket is never connected: it is kept
as a token for the simulated connection, and closed when it is handed in.
"""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
from collections.abc import Callable, Iterable
from contextvars import copy_context
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.escapes import NoOperatingSystem
from faultline.worlds.sim.network import ANY, LOOPBACK
from faultline.worlds.sim.server import SimServer
from faultline.worlds.sim.transport import SimTransport

if TYPE_CHECKING:
    from contextvars import Context

    from faultline.worlds.sim.network import Network
    from faultline.worlds.sim.socket import Address

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, "Address"]
_SERVICES = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class SimulatedEndpoints(NoOperatingSystem):
    """Mixin: names, connections, listeners, and the executor."""

    network: Network
    now_s: float
    executor_offset_s: float
    in_executor: bool
    _tokens: dict[int, tuple[socket.socket, SimTransport]]

    if TYPE_CHECKING:  # the loop brings it

        def deliver_at(
            self, at_s: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context
        ) -> None:
            """See :class:`~faultline.worlds.sim.loop.SimLoop`."""

        def create_future(self) -> asyncio.Future[Any]:
            """See :class:`~faultline.worlds.sim.loop.SimLoop`."""

        def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
            """See :class:`~faultline.worlds.sim.loop.SimLoop`."""

    # Names

    async def getaddrinfo(
        self, host: bytes | str | None, port: bytes | str | int | None, *, family: int = 0, type: int = 0,
        proto: int = 0, flags: int = 0,
    ) -> list[Any]:  # fmt: skip
        """See asyncio; IPv4 only. Raises socket.gaierror."""
        if isinstance(host, bytes):
            host = host.decode()
        if not host:
            ip = ANY if flags & socket.AI_PASSIVE else LOOPBACK
        else:
            ip = await self.network.resolve(host)
        if family == socket.AF_INET6:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known (the simulation has no IPv6)")
        kind = socket.SocketKind(type) if type else socket.SOCK_STREAM
        return [(socket.AF_INET, kind, proto or socket.IPPROTO_TCP, "", (ip, _port_number(port)))]

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """The address itself; simulated hosts have no reverse names."""
        return str(sockaddr[0]), str(sockaddr[1])

    # Connections

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Open a simulated connection for which ``sock`` is the token. Raises OSError."""
        for key, (token, abandoned) in list(self._tokens.items()):
            if token.fileno() == -1:  # its owner closed it unused
                del self._tokens[key]
                abandoned.abort()
        ip = await self.network.resolve(address[0])
        self._tokens[id(sock)] = (sock, await self.network.connect((ip, address[1])))

    async def create_connection(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: str | None = None, port: int | None = None, *,
        ssl: SSLContext | bool | None = None, family: int = 0, proto: int = 0, flags: int = 0,
        sock: socket.socket | None = None, local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None, ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None, happy_eyeballs_delay: float | None = None,
        interleave: int | None = None, all_errors: bool = False,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:  # fmt: skip
        """See asyncio. Raises OSError, ssl.SSLError."""
        if (host is None and port is None) == (sock is None):
            raise ValueError("host/port and sock can not be specified at the same time, and one of them must be")
        if sock is not None:
            transport = self._redeem(sock)
        else:
            infos = await self.getaddrinfo(host, port, family=family, proto=proto, flags=flags)
            transport = await self.network.connect(infos[0][4])
        protocol = protocol_factory()
        if ssl:
            context = ssl_module.create_default_context() if ssl is True else ssl
            hostname = host if server_hostname is None else server_hostname
            secured = await self.network.tls.connect(
                transport, protocol, context, hostname, timeout_s=ssl_handshake_timeout
            )
            return secured, protocol
        waiter: asyncio.Future[None] = self.create_future()
        transport.attach(protocol, waiter)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    def _redeem(self, sock: socket.socket) -> SimTransport:
        token = self._tokens.pop(id(sock), None)
        if token is None:
            self._escape(
                "create_connection(sock=) with a socket that this simulation did not connect",
                "connect it with loop.sock_connect(), or pass host and port",
            )
        sock.close()
        return token[1]

    async def start_tls(
        self, transport: Any, protocol: asyncio.BaseProtocol, sslcontext: SSLContext, *, server_side: bool = False,
        server_hostname: str | None = None, ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport | None:  # fmt: skip
        """See asyncio. The elided handshake is the client's only; a server side is always real."""
        if server_side or self.network.tls.mode == "real" or not isinstance(transport, SimTransport):
            return await super().start_tls(  # type: ignore[misc,no-any-return]
                transport, protocol, sslcontext, server_side=server_side, server_hostname=server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout, ssl_shutdown_timeout=ssl_shutdown_timeout,
            )  # fmt: skip
        return await self.network.tls.connect(
            transport, protocol, sslcontext, server_hostname, timeout_s=ssl_handshake_timeout, made=True
        )

    # Listeners

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: int | None = None, *,
        sock: socket.socket | None = None, ssl: SSLContext | None = None, start_serving: bool = True, **options: Any,
    ) -> SimServer:  # fmt: skip
        """See asyncio; options of the real socket (backlog, reuse_address, ...) have no effect. Raises OSError."""
        if sock is not None:
            bound = sock.getsockname()
            addresses = [(self.network.address_of(bound[0]) or ANY, bound[1])]
            sock.close()
        else:
            addresses = self._addresses(host, port or self.network.next_port())
        server = SimServer(self.network, addresses, protocol_factory, ssl or None)
        if start_serving:
            server.start()
        return server

    def _addresses(self, host: Any, port: int) -> list[Address]:
        hosts: Iterable[str | None] = [host] if host is None or isinstance(host, str) else host
        addresses = []
        for name in hosts:
            ip = self.network.address_of(name or ANY)
            if ip is None:
                raise socket.gaierror(
                    socket.EAI_NONAME, f"Name or service not known (declare {name!r} with network.add_host())"
                )
            if ip == ANY:
                ip = HOST.get() or ANY
            addresses.append((ip, port))
        return list(dict.fromkeys(addresses))

    # Threads

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run ``func`` here and now, in a step of its own. Its sleeps delay its result, not the loop."""
        result = self.create_future()
        context = copy_context()

        def settle(value: Any, error: BaseException | None) -> None:
            if result.done():
                return
            if error is None:
                result.set_result(value)
            else:
                result.set_exception(error)

        def work() -> None:
            if result.done():
                return
            outcome: tuple[Any, BaseException | None]
            self.executor_offset_s = 0.0
            self.in_executor = True
            try:
                outcome = (func(*args), None)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                outcome = (None, error)
            finally:
                slept_s, self.executor_offset_s, self.in_executor = self.executor_offset_s, 0.0, False
            if slept_s:
                self.deliver_at(self.now_s + slept_s, settle, outcome, context)
            else:
                settle(*outcome)

        self.call_soon(work, context=context)
        return result

    def set_default_executor(self, executor: Any) -> None:
        """Accepted; everything runs in the loop's own thread."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing to shut down."""


def _port_number(port: bytes | str | int | None) -> int:
    if isinstance(port, bytes):
        port = port.decode()
    if isinstance(port, str):
        if port.isdigit():
            return int(port)
        if port not in _SERVICES:
            raise socket.gaierror(socket.EAI_SERVICE, f"Servname not supported for ai_socktype ({port!r})")
        return _SERVICES[port]
    return port or 0

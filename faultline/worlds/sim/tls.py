"""TLS on simulated connections: elided, or real.

Elided, the default, keeps what a client can see of TLS (one round trip more, ``sslcontext`` on the transport, an error
when the other side does not speak it) and leaves out the cryptography: the two sides exchange a short greeting and go
on in the clear. It costs next to nothing, and the bytes on the wire are the same in every run, which real TLS cannot
give: OpenSSL has its own randomness. Certificates are not checked.

Real TLS is ``asyncio.sslproto`` over the simulated transport. A server in elided mode still understands a client that
brings its own TLS (httpx does, through AnyIO's memory BIO): the first byte tells.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from asyncio import sslproto
from collections.abc import Callable
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from faultline.worlds.sim.loop import SimLoop
    from faultline.worlds.sim.transport import SimTransport

Mode = Literal["elided", "real"]
_CLIENT_HELLO: Final = b"\x00faultline-elided-tls hello\n"
_SERVER_HELLO: Final = b"\x00faultline-elided-tls ready\n"
_TLS_HANDSHAKE_RECORD: Final = 0x16
HANDSHAKE_TIMEOUT_S: Final = 60.0


class Tls:
    """How the simulated network does TLS."""

    def __init__(self, loop: SimLoop, mode: Mode) -> None:
        self._loop = loop
        self.mode: Mode = mode

    def accept(
        self, transport: SimTransport, factory: Callable[[], asyncio.BaseProtocol], context: SSLContext | None
    ) -> None:
        """Give an accepted connection its protocol, behind TLS when ``context`` is set."""
        if context is None:
            transport.attach(factory())
        elif self.mode == "real":
            transport.attach(self._real_server(factory, context))
        else:
            transport.attach(_ElidedServer(self, factory, context))

    def _real_server(self, factory: Callable[[], asyncio.BaseProtocol], context: SSLContext) -> asyncio.Protocol:
        waiter: asyncio.Future[None] = self._loop.create_future()
        # A failed handshake is the client's affair; nobody awaits the waiter of an accepted connection.
        waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
        real: asyncio.Protocol = _ssl_protocol(
            self._loop, factory(), context, waiter, server_side=True, server_hostname=None
        )
        return real

    async def connect(
        self, transport: SimTransport, protocol: asyncio.BaseProtocol, context: SSLContext, hostname: str | None,
        *, timeout_s: float | None, made: bool = False,
    ) -> asyncio.Transport:  # fmt: skip
        """Do the client's handshake. Returns the transport for the application. Raises ssl.SSLError, OSError.

        ``made`` says that ``protocol`` already knows its connection (STARTTLS).
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        handshake: Any
        if self.mode == "real":
            handshake = _ssl_protocol(
                self._loop, protocol, context, waiter, server_side=False, server_hostname=hostname,
                timeout_s=timeout_s, call_connection_made=not made,
            )  # fmt: skip
        else:
            handshake = _ElidedClient(protocol, context, waiter, call_connection_made=not made)
        transport.attach(handshake)
        try:
            async with asyncio.timeout(timeout_s or HANDSHAKE_TIMEOUT_S):
                await waiter
        except TimeoutError:
            transport.abort()
            raise ConnectionAbortedError(
                f"SSL handshake is taking longer than {timeout_s or HANDSHAKE_TIMEOUT_S} seconds: aborting the "
                "connection"
            ) from None
        except BaseException:
            transport.close()
            raise
        if self.mode == "real":
            return handshake._app_transport  # type: ignore[no-any-return]
        return transport


def _ssl_protocol(
    loop: SimLoop, protocol: asyncio.BaseProtocol, context: SSLContext, waiter: asyncio.Future[None], *,
    server_side: bool, server_hostname: str | None, timeout_s: float | None = None, call_connection_made: bool = True,
) -> Any:  # fmt: skip
    return sslproto.SSLProtocol(
        loop, protocol, context, waiter, server_side, server_hostname, call_connection_made=call_connection_made,
        ssl_handshake_timeout=timeout_s,  # type: ignore[arg-type]
    )  # fmt: skip


def _hand_over(transport: Any, protocol: Any, context: SSLContext, rest: bytes, *, made: bool) -> None:
    """The greeting is over: the application's protocol takes the connection."""
    transport._extra.update(sslcontext=context, ssl_object=None, peercert={}, cipher=None, compression=None)
    transport.set_protocol(protocol)
    if not made:
        protocol.connection_made(transport)
    if rest:
        transport.feed_again(rest)


class _ElidedClient(asyncio.Protocol):
    def __init__(
        self, protocol: asyncio.BaseProtocol, context: SSLContext, waiter: asyncio.Future[None],
        *, call_connection_made: bool,
    ) -> None:  # fmt: skip
        self._protocol = protocol
        self._context = context
        self._waiter = waiter
        self._made = not call_connection_made
        self._got = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(_CLIENT_HELLO)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._got.startswith(_SERVER_HELLO[: len(self._got)]):
            self._fail(
                ssl_module.SSLError(
                    1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (the other side speaks no TLS)"
                )
            )
            self._transport.abort()
        elif len(self._got) >= len(_SERVER_HELLO):
            _hand_over(self._transport, self._protocol, self._context, self._got[len(_SERVER_HELLO) :], made=self._made)
            if not self._waiter.done():
                self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError())

    def _fail(self, error: BaseException) -> None:
        if not self._waiter.done():
            self._waiter.set_exception(error)


class _ElidedServer(asyncio.Protocol):
    def __init__(self, tls: Tls, factory: Callable[[], asyncio.BaseProtocol], context: SSLContext) -> None:
        self._tls = tls
        self._factory = factory
        self._context = context
        self._got = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._got[0] == _TLS_HANDSHAKE_RECORD:
            real = self._tls._real_server(self._factory, self._context)
            self._transport.set_protocol(real)
            real.connection_made(self._transport)
            self._transport.feed_again(self._got)
        elif not self._got.startswith(_CLIENT_HELLO[: len(self._got)]):
            self._transport.abort()  # plain text at a TLS port
        elif len(self._got) >= len(_CLIENT_HELLO):
            self._transport.write(_SERVER_HELLO)
            rest = self._got[len(_CLIENT_HELLO) :]
            _hand_over(self._transport, self._factory(), self._context, rest, made=False)

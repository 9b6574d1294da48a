"""The named proxies of one control API, and what can be done with them all.

Nothing here waits for data: what is slow (binding a port) is awaited alone, everything else happens at once. A client
that does not read, or an upstream that does not answer, holds up nobody.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from faultline.errors import UsageError
from faultline.worlds.live.proxy.bodies import ApiError, ProxyInput
from faultline.worlds.live.proxy.limit import ConnectionLimit
from faultline.worlds.live.proxy.proxy import FaultProxy
from faultline.worlds.live.proxy.toxic_proxy import ToxicProxy

LISTEN_DEFAULT = "127.0.0.1:0"
"""Toxiproxy listens on every address when none is given; a fault proxy that nobody asked to be seen should not be."""


class ProxyServer:
    """Proxies by name, which share one ``limit`` of connections. ``counts``: count bytes for metrics.

    Raises ApiError with the status to answer with.
    """

    def __init__(
        self, *, seed: int = 0, counts: bool = False, dial_timeout_s: float = 10.0,
        limit: ConnectionLimit | None = None,
    ) -> None:  # fmt: skip
        self.seed = seed
        self.counts = counts
        self.dial_timeout_s = dial_timeout_s
        self.limit = limit or ConnectionLimit()
        self.proxies: dict[str, ToxicProxy] = {}

    def get(self, name: str) -> ToxicProxy:
        """A proxy by its name."""
        if name not in self.proxies:
            raise ApiError(404, "proxy not found")
        return self.proxies[name]

    async def create(self, given: ProxyInput) -> ToxicProxy:
        """A new proxy, with its toxics, listening unless it is to be disabled. All of it or nothing."""
        name = given.check()
        if name in self.proxies:
            raise ApiError(409, "proxy already exists")
        made = self._made(given, name)
        self.proxies[name] = made  # before the first await: two requests must not both make it
        try:
            await self._enable(made, given.enabled is not False)
        except BaseException:
            del self.proxies[name]
            raise
        return made

    def _made(self, given: ProxyInput, name: str) -> ToxicProxy:
        try:
            proxy = FaultProxy(
                given.upstream or "", listen=given.listen or LISTEN_DEFAULT, name=name, seed=self.seed,
                counts=self.counts, dial_timeout_s=self.dial_timeout_s, limit=self.limit,
            )  # fmt: skip
        except UsageError as error:
            raise ApiError(400, f"bad request body: {error}") from error
        made = ToxicProxy(proxy)
        for toxic in given.toxics or ():
            made.add(toxic)
        return made

    async def _enable(self, proxy: ToxicProxy, enabled: bool) -> None:
        try:
            if enabled:
                await proxy.proxy.start()
            else:
                await proxy.proxy.stop()
        except OSError as error:
            raise _not_listening(proxy.proxy.listen, error) from error

    async def update(self, proxy: ToxicProxy, given: ProxyInput) -> None:
        """Move it, point it elsewhere, enable or disable it. When that fails it is as it was."""
        own = proxy.proxy
        listen = given.listen if given.listen and given.listen != own.listen else None
        upstream = given.upstream if given.upstream and given.upstream != own.upstream else None
        if listen or upstream:
            try:
                await own.retarget(listen=listen, upstream=upstream)
            except OSError as error:
                raise _not_listening(listen or own.listen, error) from error
            except UsageError as error:
                raise ApiError(500, f"listen tcp: {error}" if listen else str(error)) from error
        if given.enabled is not None and given.enabled != own.is_listening:
            await self._enable(proxy, given.enabled)

    async def delete(self, proxy: ToxicProxy) -> None:
        """Stop it and forget it; one that is no longer there is left alone."""
        if self.proxies.get(proxy.name) is proxy:
            del self.proxies[proxy.name]
            await proxy.proxy.stop()

    async def reset(self) -> None:
        """Enable every proxy and remove every toxic. Open connections stay."""
        for proxy in list(self.proxies.values()):
            proxy.remove_all()
            await self._enable(proxy, True)

    async def populate(self, given: Sequence[ProxyInput]) -> list[ToxicProxy]:
        """Make these proxies. Raises :class:`PopulateError` with those that were done when one fails.

        One with the same address and upstream is left as it is; its toxics are replaced only when toxics are given.
        """
        for number, each in enumerate(given, 1):
            try:
                self._made(each, each.check())
            except ApiError as error:
                raise PopulateError(error.status, f"{error.message} at proxy {number}", []) from error
        done: list[ToxicProxy] = []
        for number, each in enumerate(given, 1):
            try:
                done.append(await self._put(each))
            except ApiError as error:
                raise PopulateError(error.status, f"{error.message} at proxy {number}", done) from error
        return done

    async def _put(self, given: ProxyInput) -> ToxicProxy:
        there = self.proxies.get(given.check())
        if there is not None:
            if (there.proxy.listen, there.proxy.upstream) == (given.listen, given.upstream):
                if given.toxics is not None:
                    there.remove_all()
                    for toxic in given.toxics:
                        there.add(toxic)
                return there
            await self.delete(there)
        return await self.create(given)

    async def aclose(self) -> None:
        """Stop every proxy and end every connection."""
        for proxy in list(self.proxies.values()):
            await self.delete(proxy)
            proxy.proxy.cut("rst")


class PopulateError(ApiError):
    """One of several proxies could not be made. ``done`` are those before it."""

    def __init__(self, status: int, message: str, done: Sequence[ToxicProxy]) -> None:
        super().__init__(status, message)
        self.done = tuple(done)


def _not_listening(listen: str, error: OSError) -> ApiError:
    if isinstance(error, socket.gaierror):
        return ApiError(500, f"listen tcp: lookup {listen.rpartition(':')[0]}: no such host")
    text = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno == errno.EADDRINUSE:
        text = "address already in use"
    return ApiError(500, f"listen tcp {listen}: bind: {text}")

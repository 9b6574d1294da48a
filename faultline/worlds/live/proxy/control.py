"""The control API, compatible with Toxiproxy 2.12: paths, statuses, bodies, headers. Existing clients drive it.

It answers browsers with 403 as Toxiproxy does, listens on loopback, and anywhere else only with a token, which every
request then carries (``Authorization: Bearer TOKEN``). Handlers never wait for proxied data. New next to Toxiproxy:
``toxics`` in the body of a proxy, ``first`` in a toxic, and leases (see :mod:`~faultline.worlds.live.proxy.lease`).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

import msgspec
from aiohttp import web

from faultline.errors import UsageError
from faultline.worlds.live.proxy.address import Address
from faultline.worlds.live.proxy.bodies import ApiError, LeaseInput, ProxyInput, ToxicInput, read
from faultline.worlds.live.proxy.guard import ConnectionGuard
from faultline.worlds.live.proxy.lease import Leases
from faultline.worlds.live.proxy.metrics import metrics_text
from faultline.worlds.live.proxy.server import PopulateError, ProxyServer
from faultline.worlds.live.proxy.toxic_proxy import Toxic, ToxicProxy

VERSION: Final = "2.12.0"
HANDLER_S: Final = 25.0
BODY_S: Final = 15.0
BODY_BYTES_MAX: Final = 1024 * 1024
LEASE_HEADER: Final = "X-Faultline-Lease"
_JSON: Final = "application/json"

Handler = Callable[[web.Request, tuple[str, ...]], Awaitable[web.Response]]


class ControlApi:
    """The HTTP side of a :class:`ProxyServer`. ``metrics``: whether ``/metrics`` exists."""

    def __init__(self, server: ProxyServer, *, token: str | None = None, metrics: bool = False) -> None:
        self.server = server
        self.leases = Leases()
        self._token = token
        self._runner: web.AppRunner | None = None
        self._guard: ConnectionGuard | None = None
        self.listen: Address | None = None
        update_proxy, update_toxic = self._update_proxy, self._update_toxic
        self._routes: dict[tuple[str, ...], dict[str, Handler]] = {
            ("version",): {"GET": self._version},
            ("proxies",): {"GET": self._proxies, "POST": self._create},
            ("proxies", "*"): {
                "GET": self._proxy, "PATCH": update_proxy, "POST": update_proxy, "DELETE": self._delete,
            },
            ("proxies", "*", "toxics"): {"GET": self._toxics, "POST": self._add},
            ("proxies", "*", "toxics", "*"): {
                "GET": self._toxic, "PATCH": update_toxic, "POST": update_toxic, "DELETE": self._remove,
            },
            ("reset",): {"POST": self._reset},
            ("populate",): {"POST": self._populate},
            ("lease",): {"POST": self._open_lease},
            ("lease", "*"): {"POST": self._renew, "DELETE": self._end_lease},
        }  # fmt: skip
        if metrics:
            self._routes["metrics",] = {"GET": self._metrics}

    # Its life

    async def start(self, host: str = "127.0.0.1", port: int = 8474) -> Address:
        """Listen, and say where. Raises UsageError for an address that others can reach without a token, and OSError
        when the port is in use.
        """
        at = Address(host, port)
        if not at.is_loopback and not self._token:
            raise UsageError(
                f"the control API would be open to everybody who can reach {host or 'this machine'}: give a token "
                "(--token-file, or FAULTLINE_TOKEN), or listen on 127.0.0.1"
            )
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=60, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host or None, port, backlog=1024).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        assert runner.server is not None
        self._guard = ConnectionGuard(runner.server)
        bound = runner.addresses[0]
        self.listen = Address(bound[0], bound[1])
        return self.listen

    async def stop(self) -> None:
        """Stop listening, stop every proxy, end every connection."""
        self.leases.close()
        if self._guard is not None:
            self._guard.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self.server.aclose()

    # From a request to an answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        handler, names, known = self._match(request)
        if not known:
            return _plain(404, "404 page not found\n")
        if handler is None:
            return web.Response(status=405)
        guard = self._guard
        if guard is not None:
            guard.began(request.protocol)
        try:
            response = await self._checked(request, handler, names)
        finally:
            if guard is not None:
                guard.ended(request.protocol)
        response.headers["X-Toxiproxy-Request-Id"] = uuid4().hex[:20]
        return response

    def _match(self, request: web.Request) -> tuple[Handler | None, tuple[str, ...], bool]:
        path = tuple(request.path.split("/")[1:])
        for pattern, methods in self._routes.items():
            if len(pattern) == len(path) and all(
                part and want in ("*", part) for want, part in zip(pattern, path, strict=True)
            ):
                names = tuple(part for want, part in zip(pattern, path, strict=True) if want == "*")
                return methods.get(request.method), names, True
        return None, (), False

    async def _checked(self, request: web.Request, handler: Handler, names: tuple[str, ...]) -> web.Response:
        if request.headers.get("User-Agent", "").startswith("Mozilla/"):
            return _plain(403, "User agent not allowed\n")
        given = request.headers.get("Authorization", "").encode()
        if self._token and not hmac.compare_digest(given, b"Bearer " + self._token.encode()):
            return _error(401, "a token is needed: Authorization: Bearer TOKEN")
        try:
            async with asyncio.timeout(HANDLER_S):
                if LEASE_HEADER in request.headers:
                    self.leases.check(request.headers[LEASE_HEADER])
                return await handler(request, names)
        except PopulateError as error:
            done = [proxy.view() for proxy in error.done] or None
            return _json(error.status, {"error": error.message, "status": error.status, "proxies": done}, _JSON)
        except ApiError as error:
            return _error(error.status, error.message)
        except TimeoutError:
            return web.Response(status=503)

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(BODY_S):
                return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise ApiError(413, f"the body is larger than {BODY_BYTES_MAX} bytes") from error

    def _lease(self, request: web.Request, what: str, undo: Callable[[], Awaitable[None]]) -> None:
        header = request.headers.get(LEASE_HEADER)
        if header is not None:
            self.leases.hold(header, what, undo)

    # Proxies

    async def _version(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return _json(200, {"version": VERSION}, "application/json;charset=utf-8")

    async def _proxies(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return _json(200, {name: proxy.view() for name, proxy in self.server.proxies.items()}, _JSON)

    async def _create(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        proxy = await self.server.create(read(await self._body(request), ProxyInput))
        self._lease(request, f"proxy {proxy.name}", lambda: self.server.delete(proxy))
        return _json(201, proxy.view(), _JSON)

    async def _proxy(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return _json(200, self.server.get(names[0]).view(), _JSON)

    async def _update_proxy(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        proxy = self.server.get(names[0])
        given = read(await self._body(request), ProxyInput)
        await self.server.update(proxy, given)
        if given.enabled is False:
            self._lease(request, f"down {proxy.name}", lambda: self._enable(proxy))
        return _json(200, proxy.view(), _JSON)

    async def _enable(self, proxy: ToxicProxy) -> None:
        if self.server.proxies.get(proxy.name) is proxy:
            await proxy.proxy.start()

    async def _delete(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        await self.server.delete(self.server.get(names[0]))
        return web.Response(status=204)

    async def _reset(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        await self.server.reset()
        return web.Response(status=204)

    async def _populate(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        try:
            given = read(await self._body(request), list[ProxyInput])
        except ApiError as error:
            raise PopulateError(error.status, error.message, ()) from error
        done = await self.server.populate(given)
        for proxy in done:
            self._lease(request, f"proxy {proxy.name}", lambda proxy=proxy: self.server.delete(proxy))  # type: ignore[misc]
        return _json(201, {"proxies": [proxy.view() for proxy in done] or None}, _JSON)

    # Toxics

    async def _toxics(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return _json(200, self.server.get(names[0]).listed(), _JSON)

    async def _add(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        proxy = self.server.get(names[0])
        toxic = proxy.add(read(await self._body(request), ToxicInput))
        self._lease_toxic(request, proxy, toxic)
        return _json(200, toxic.view(), _JSON)

    async def _toxic(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return _json(200, self.server.get(names[0]).get(names[1]).view(), _JSON)

    async def _update_toxic(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        proxy = self.server.get(names[0])
        toxic = proxy.get(names[1])
        proxy.update(toxic, read(await self._body(request), ToxicInput))
        self._lease_toxic(request, proxy, toxic)
        return _json(200, toxic.view(), _JSON)

    async def _remove(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        proxy = self.server.get(names[0])
        proxy.remove(proxy.get(names[1]))
        return web.Response(status=204)

    def _lease_toxic(self, request: web.Request, proxy: ToxicProxy, toxic: Toxic) -> None:
        async def undo() -> None:
            proxy.remove(toxic)

        self._lease(request, f"toxic {proxy.name}/{toxic.name}", undo)

    # The rest

    async def _metrics(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return web.Response(text=metrics_text(self.server), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _open_lease(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        body = await self._body(request)
        seconds = read(body, LeaseInput).seconds if body.strip() else None
        return _json(201, self.leases.open(seconds).view(), _JSON)

    async def _renew(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        return _json(200, self.leases.renew(names[0]).view(), _JSON)

    async def _end_lease(self, request: web.Request, names: tuple[str, ...]) -> web.Response:
        await self.leases.end(names[0])
        return web.Response(status=204)


def _json(status: int, value: object, content_type: str) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value) + b"\n", headers={"Content-Type": content_type})


def _plain(status: int, text: str) -> web.Response:
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, body=text.encode(), headers=headers)


def _error(status: int, message: str) -> web.Response:
    return _plain(status, msgspec.json.encode({"error": message, "status": status}).decode() + "\n")

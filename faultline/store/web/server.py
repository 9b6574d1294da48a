"""The server of the page: which addresses there are, who may ask, and what a browser may do with the answers.

It listens on this machine only, unless a token is asked of everyone. A name that a foreign page has made lead here
(DNS rebinding) is refused by its Host; a page may load nothing from elsewhere, run no script but the one that belongs
to it, and be framed by nobody. Artifacts are plain text, taken from the listing of a campaign's own folder.
"""

from __future__ import annotations

import asyncio
import hmac
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from faultline import __version__, reports
from faultline.errors import UsageError
from faultline.store import folder
from faultline.store.address import StoreError
from faultline.store.results import Results
from faultline.store.told import p_text
from faultline.store.web import pages

T = TypeVar("T")
FILES: Final = Path(__file__).with_name("files")
REPORT_STYLE: Final = Path(reports.__file__).with_name("page_files") / "style.css"
STATIC: Final = {
    "style.css": ("text/css", (REPORT_STYLE, FILES / "page.css")),
    "page.js": ("text/javascript", (FILES / "page.js",)),
    "icon.svg": ("image/svg+xml", (FILES / "icon.svg",)),
}
COOKIE: Final = "faultline_token"
ARTIFACT_MAX_BYTES: Final = 64 * 1024 * 1024

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Page:
    """The handlers. ``token`` is asked of everyone when there is one."""

    results: Results
    token: str | None
    templates: Environment

    @classmethod
    def of(cls, results: Results, token: str | None = None) -> Page:
        """The page of a store."""
        loader = FileSystemLoader(FILES)
        templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        templates.filters |= {"ms": _ms, "p": p_text}
        return cls(results, token, templates)

    def app(self) -> web.Application:
        """The application, with every address that there is."""
        app = web.Application(middlewares=[self._guarded])
        app.router.add_get("/", self._overview)
        app.router.add_get("/runs", self._runs)
        app.router.add_get("/run/{id}", self._run)
        app.router.add_get("/run/{id}/{name}", self._artifact)
        app.router.add_get("/case/{key}", self._case)
        app.router.add_get("/static/{name}", self._static)
        return app

    # Who may ask

    @web.middleware
    async def _guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response: web.StreamResponse
        if self.token is None and _name_of(request.host) not in _LOCAL_NAMES:
            response = self._message(403, "Not from here", "This page answers to localhost and 127.0.0.1 only.")
        elif self.token is not None and not self._knows(request):
            response = self._let_in(request)
        else:
            response = await self._answered(request, handler)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    async def _answered(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except UsageError as error:
            return self._message(404, "Not there", str(error))
        except StoreError as error:
            return self._message(503, "The store cannot be read", str(error))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return self._message(error.status, "Not there" if error.status == 404 else error.reason, "")

    def _knows(self, request: web.Request) -> bool:
        given = request.cookies.get(COOKIE, "")
        kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
        return self._is_token(given) or (kind.lower() == "bearer" and self._is_token(bearer))

    def _is_token(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def _let_in(self, request: web.Request) -> web.Response:
        """A token in the address is taken out of it: addresses are kept in histories."""
        if not self._is_token(request.query.get("token", "")):
            return self._message(401, "A token is needed", "Add ?token=... to the address once.")
        response = web.Response(status=303, headers={"Location": request.path})
        response.set_cookie(COOKIE, self.token or "", httponly=True, samesite="Strict", path="/")
        return response

    # What there is

    async def _overview(self, request: web.Request) -> web.Response:
        return self._page("overview.html", page=await _aside(pages.overview, self.results))

    async def _runs(self, request: web.Request) -> web.Response:
        asked = [request.query.get(name, "") for name in ("scenario", "verdict", "since")]
        return self._page("runs.html", page=await _aside(pages.runs, self.results, *asked))

    async def _run(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        if not folder.is_id(id):
            raise UsageError(f"{id!r} is not the id of a run")
        return self._page("run.html", page=await _aside(pages.run, self.results, id))

    async def _case(self, request: web.Request) -> web.Response:
        found = await _aside(pages.case, self.results, request.match_info["key"])
        if found is None:
            raise UsageError("no recorded run has this scenario")
        return self._page("case.html", page=found)

    async def _artifact(self, request: web.Request) -> web.Response:
        id, name = request.match_info["id"], request.match_info["name"]
        content = await _aside(self._read, id, name)
        plain = {"Content-Security-Policy": "sandbox; default-src 'none'"}
        return web.Response(body=content, content_type="text/plain", charset="utf-8", headers=plain)

    def _read(self, id: str, name: str) -> bytes:
        for path in folder.artifacts(self.results.address.root, id):
            if path.name == name:
                with path.open("rb") as file:
                    content = file.read(ARTIFACT_MAX_BYTES + 1)
                if len(content) > ARTIFACT_MAX_BYTES:
                    raise UsageError(f"{path} is too large to be shown; open it where it is")
                return content
        raise UsageError("there is no such file in this run's folder on this machine")

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in STATIC:
            raise web.HTTPNotFound
        kind, files = STATIC[name]
        text = "".join(path.read_text(encoding="utf-8") for path in files)
        return web.Response(text=text, content_type=kind, headers={"Cache-Control": "no-cache"})

    def _page(self, template: str, status: int = 200, **values: object) -> web.Response:
        rendered = self.templates.get_template(template).render(
            version=__version__, store=self.results.address.shown, **values
        )
        return web.Response(text=rendered, status=status, content_type="text/html")

    def _message(self, status: int, title: str, said: str) -> web.Response:
        return self._page("message.html", status, title=title, said=said)


async def _aside(work: Callable[..., T], *arguments: Any) -> T:
    """Databases block; other requests need not wait for them."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments))


def _name_of(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _ms(value: float | None) -> str:
    """A figure in milliseconds as people read it."""
    if value is None:
        return ""
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


@asynccontextmanager
async def served(page: Page, host: str, port: int, *, signals: bool = True) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The page on its port. Gives its address, and what SIGINT and SIGTERM set; without ``signals`` nothing does.

    Raises UsageError for a port in use.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM) if signals else ():
        loop.add_signal_handler(number, told.set)
    runner = web.AppRunner(page.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            why = error.strerror or str(error)
            raise UsageError(f"cannot listen on {host}:{port}: {why}; another --port, or 0 for any free one") from error
        at_host, at_port = runner.addresses[0][:2]
        shown = f"[{at_host}]" if ":" in at_host else at_host
        yield f"http://{shown}:{at_port}/", told
    finally:
        await runner.cleanup()

"""One request on its way through the gateway: read, asked of the upstream, answered.

A body is read whole, up to a bound, where it is small, where a fault may strike or where an effect is to be seen; what
is larger, or concerns nobody, streams through. A client that hangs up ends the upstream's work too, except where a
fault made the request late: then it arrives whether or not anybody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from faultline.faults.injector import EffectKnown
from faultline.history.attribution import Identity
from faultline.venues.base import Begun, Broken, Forwarded, Request, Response
from faultline.venues.http import CONTINUE, split_target
from faultline.worlds.live.gateway.effects import EffectLedger
from faultline.worlds.live.gateway.headers import seen, to_client, to_upstream
from faultline.worlds.live.gateway.outlook import Outlook, endpoint_of
from faultline.worlds.live.gateway.upstream import UpstreamAddress

SMALL_MAX_BYTES: Final = 64 * 1024
"""A body of at most this announced size is never worth a stream."""
HELD_MAX_BYTES: Final = 1024 * 1024
"""How much of a body is held for a fault or for the ledger of effects."""
BODY_IDLE_S: Final = 60.0
"""How long a client may be silent in the middle of a body."""
PIECE_BYTES: Final = 64 * 1024

Gone = (ConnectionError, web.RequestPayloadError, aiohttp.ClientError, TimeoutError)
"""What reading from a client raises when it hung up, or was silent for too long."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the requests of a gateway share. ``concern`` tells whether a fault may strike an endpoint."""

    address: UpstreamAddress
    session: aiohttp.ClientSession
    outlook: Outlook
    effects: EffectLedger
    concern: Callable[[str], bool]
    copies: set[asyncio.Task[None]]


class Exchange:
    """One request (:class:`faultline.venues.base.Upstream`). ``rest`` is the response that is still coming, if any."""

    def __init__(self, around: Surroundings, web_request: web.BaseRequest, connection: int) -> None:
        self._around = around
        self._web = web_request
        path, query = split_target(web_request.raw_path)
        self._endpoint = endpoint_of(web_request.method, path)
        self._rule = around.effects.rule(self._endpoint)
        self._holds = self._rule is not None or around.concern(self._endpoint)
        self._head = Request(
            web_request.method, path, query, seen(web_request.headers), b"", connection, gone=self._has_gone
        )
        self._whole = True
        self._identity = Identity()
        self._task: asyncio.Task[object] | None = None
        self._left = False
        self.rest: aiohttp.ClientResponse | None = None

    # The client

    def _has_gone(self) -> bool:
        transport = self._web.transport
        return self._left or transport is None or transport.is_closing()

    def hung_up(self) -> None:
        """The client's connection is gone."""
        self._left = True
        if self._task is not None:
            self._task.cancel()

    async def read(self) -> Request:
        """The request, with its body where that is held. Raises one of :data:`Gone`."""
        if not self._web.body_exists:
            return self._head
        if self._head.headers.get("expect", "").lower() == "100-continue" and self._web.transport is not None:
            self._web.transport.write(CONTINUE)
        length = self._web.content_length
        if not self._holds and (length is None or length > SMALL_MAX_BYTES):
            self._whole = False
            return self._head
        held = bytearray()
        while len(held) < HELD_MAX_BYTES and (piece := await self._piece()):
            held += piece
        self._whole = self._web.content.at_eof()
        head = self._head
        return Request(
            head.method, head.path, head.query, head.headers, bytes(held), head.connection, gone=self._has_gone
        )

    async def _piece(self) -> bytes:
        async with asyncio.timeout(BODY_IDLE_S):
            return await self._web.content.readany()

    async def _stream(self, beginning: bytes) -> AsyncIterator[bytes]:
        if beginning:
            yield beginning
        while piece := await self._piece():
            yield piece

    # What is told of it

    def endpoint(self, request: Request) -> str:
        """As :meth:`faultline.venues.base.Shown.endpoint`."""
        return self._endpoint

    def identify(self, request: Request) -> Identity:
        """What the rule of effects shows of it, if there is one."""
        if self._rule is not None:
            self._identity = self._around.effects.identity(self._rule, request)
        return self._identity

    def token_of(self, request: Request) -> str:
        """The alias of its secret."""
        return self._around.outlook.token_of(request)

    # The upstream

    async def forward(self, request: Request, late: bool) -> Forwarded:
        """Ask the upstream. 502 when it cannot be reached or breaks off, 504 when it is silent."""
        if not late:
            self._task = asyncio.current_task()
        try:
            response = await self._ask(request)
        except asyncio.CancelledError:
            if not self._left or self._task is None:
                raise
            self._task.uncancel()
            return self._failed(request, Broken("fin"))
        except aiohttp.ClientConnectorError as error:
            return Forwarded(_refusal(502, f"the upstream cannot be reached: {error.strerror}"), "not_applied")
        except aiohttp.ConnectionTimeoutError:
            return Forwarded(_refusal(504, "connecting to the upstream takes too long"), "not_applied")
        except TimeoutError:
            return self._failed(request, _refusal(504, "the upstream does not answer in time"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._failed(request, _refusal(502, f"the upstream broke off ({type(error).__name__})"))
        finally:
            self._task = None
        return Forwarded(response, self._note(request, response))

    def _failed(self, request: Request, response: Response | Broken) -> Forwarded:
        if self._rule is not None:
            self._around.effects.unanswered(self._identity, request)
        return Forwarded(response, "unknown")

    def _note(self, request: Request, response: Response) -> EffectKnown:
        if self._rule is None:
            return "applied" if response.status < 300 else "unknown"
        done = self._around.effects.answered(self._rule, self._identity, request, response)
        return "applied" if done else "unknown"

    async def _ask(self, request: Request) -> Response:
        answer = await self._open(request, request.body if self._whole else self._stream(request.body))
        try:
            return await self._begin(answer)
        except BaseException:
            answer.close()
            raise

    async def _open(self, request: Request, body: bytes | AsyncIterator[bytes]) -> aiohttp.ClientResponse:
        around, web_request = self._around, self._web
        headers = to_upstream(web_request.headers, web_request.remote or "unknown", web_request.scheme)
        if self._whole and "Content-Length" not in headers and web_request.body_exists:
            headers["Content-Length"] = str(len(request.body))
        target = web_request.raw_path
        target = target if target.startswith("/") else f"/{target.partition('://')[2].partition('/')[2]}"
        url = URL(around.address.base + target, encoded=True)
        return await around.session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        )

    async def _begin(self, answer: aiohttp.ClientResponse) -> Response:
        headers = to_client(answer.headers)
        length = answer.content_length
        if self._web.method == "HEAD" or answer.status in (204, 304):
            answer.release()
            return Begun(answer.status, b"", headers, length)
        events = answer.headers.get("Content-Type", "").startswith("text/event-stream")
        if events or not (self._holds or (length is not None and length <= SMALL_MAX_BYTES)):
            self.rest = answer
            return Begun(answer.status, b"", headers, length)
        held = bytearray()
        while len(held) < HELD_MAX_BYTES and (piece := await answer.content.readany()):
            held += piece
        if answer.content.at_eof():
            answer.release()
            return Response(answer.status, bytes(held), headers)
        self.rest = answer
        return Begun(answer.status, bytes(held), headers, length)

    @property
    def chunked(self) -> bool:
        """Whether the response that is still coming has no length."""
        return self.rest is not None and self.rest.content_length is None

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is still coming of the response. Ends the upstream's work when the client hangs up meanwhile."""
        answer = self.rest
        if answer is None:
            return
        self._task = asyncio.current_task()
        try:
            while piece := await answer.content.readany():
                yield piece
        finally:
            self._task = None

    def end(self) -> None:
        """The exchange is over. What was not read of the response goes with its connection."""
        if self.rest is not None:
            self.rest.close()

    # Copies

    def forward_copy(self, request: Request) -> None:
        """Send a copy. There is none of a body that was too large to be held."""
        if not self._whole:
            return
        task = asyncio.get_running_loop().create_task(self._copy(request, self._identity))
        self._around.copies.add(task)
        task.add_done_callback(self._around.copies.discard)

    async def _copy(self, request: Request, identity: Identity) -> None:
        try:
            answer = await self._open(request, request.body)
            async with answer:
                body = await answer.content.read(HELD_MAX_BYTES)
                response = Response(answer.status, body, to_client(answer.headers))
        except (aiohttp.ClientError, OSError, TimeoutError):
            if self._rule is not None:
                self._around.effects.unanswered(identity, request)
            return
        if self._rule is not None:
            self._around.effects.answered(self._rule, identity, request, response)


def _refusal(status: int, why: str) -> Response:
    text = f"faultline gateway: {why}\n"
    return Response(status, text.encode(), (("Content-Type", "text/plain; charset=utf-8"),))

"""One request on its way through the gateway: read, asked of the upstream, answered.

A body is read whole, up to a bound, where it is small, where a fault may strike or where an effect is to be seen; what
is larger, or concerns nobody, streams through. A client that hangs up ends the upstream's work too, except where a
fault made the request late: then it arrives whether or not anybody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from faultline.faults.injector import EffectKnown
from faultline.history.attribution import Identity
from faultline.venues.base import Begun, Broken, Forwarded, Request, Response
from faultline.venues.http import BadRequest
from faultline.worlds.live.gateway.client import Incoming
from faultline.worlds.live.gateway.dial import Pool, Unreachable, UpstreamConnection
from faultline.worlds.live.gateway.effects import EffectLedger
from faultline.worlds.live.gateway.framing import LAST_CHUNK, Body, chunk
from faultline.worlds.live.gateway.headers import ResponseHead, for_upstream
from faultline.worlds.live.gateway.outlook import Outlook, endpoint_of
from faultline.worlds.live.gateway.upstream import UpstreamAddress

SMALL_MAX_BYTES: Final = 64 * 1024
"""A body of at most this announced size is never worth a stream."""
HELD_MAX_BYTES: Final = 1024 * 1024
"""How much of a body is held for a fault or for the ledger of effects."""

Gone = (ConnectionError, BadRequest, TimeoutError)
"""What reading from a client raises when it hung up, sent garbage, or was silent for too long."""
_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ClientFault(BadRequest):
    """A client that broke its own request in the middle of the body."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the requests of a gateway share. ``concern`` tells whether a fault may strike an endpoint; ``session`` is
    for WebSockets."""

    address: UpstreamAddress
    pool: Pool
    session: aiohttp.ClientSession
    outlook: Outlook
    effects: EffectLedger
    concern: Callable[[str], bool]
    copies: set[asyncio.Task[None]]


class Exchange:
    """One request (:class:`faultline.venues.base.Upstream`). ``streams``: the response is still coming."""

    def __init__(self, around: Surroundings, incoming: Incoming) -> None:
        self._around = around
        self._incoming = incoming
        head = incoming.head
        self._endpoint = endpoint_of(head.method, head.path)
        self._rule = around.effects.rule(self._endpoint)
        self._holds = self._rule is not None or around.concern(self._endpoint)
        self._whole = True
        self._identity = Identity()
        self._task: asyncio.Task[object] | None = None
        self._left = False
        self._asked: UpstreamConnection | None = None
        self._upload: asyncio.Task[None] | None = None
        self.streams = self.chunked = False
        incoming.connection.hung_up = self.hung_up

    # The client

    def _has_gone(self) -> bool:
        return self._incoming.connection.gone

    def hung_up(self) -> None:
        """The client's connection is gone."""
        self._left = True
        if self._task is not None:
            self._task.cancel()

    async def read(self) -> Request:
        """The request, with its body where that is held. Raises one of :data:`Gone`."""
        incoming = self._incoming
        held = b""
        if incoming.body is not None:
            incoming.promise()
            if self._holds or 0 < incoming.length <= SMALL_MAX_BYTES:
                held, self._whole = await _held(incoming.body, incoming.piece)
            else:
                self._whole = False
        head = incoming.head
        return Request(
            head.method, head.path, head.query, head.headers, held, incoming.connection.ordinal,
            gone=self._has_gone, target=head.target,
        )  # fmt: skip

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
        except Unreachable as error:
            return Forwarded(
                _refusal(504 if error.late else 502, f"the upstream cannot be reached: {error}"), "not_applied"
            )
        except ClientFault as error:
            return self._failed(request, _refusal(error.status, str(error)))
        except TimeoutError as error:
            return self._failed(request, _refusal(504, str(error) or "the upstream does not answer in time"))
        except (BadRequest, OSError) as error:
            return self._failed(request, _refusal(502, f"the upstream broke off ({error})"))
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
        connection = self._asked = await self._around.pool.acquire(request.method not in _HARMLESS)
        incoming = self._incoming
        answer = connection.ask(
            self._head(request) + (b"" if not self._whole else request.body), request.method == "HEAD"
        )
        if not self._whole:
            work = self._send_rest(connection, request.body, incoming.length < 0)
            self._upload = asyncio.get_running_loop().create_task(work)
        head = await answer
        body = connection.body
        if body is None:
            self._release()
            response = Response(head.status, b"", head.headers)
            return response if request.method != "HEAD" else Begun(head.status, b"", head.headers, head.sized)
        if head.events or not (self._holds or 0 < head.length <= SMALL_MAX_BYTES):
            return self._begin(head, b"")
        held, whole = await _held(body, body.read)
        if not whole:
            return self._begin(head, held)
        self._release()
        return Response(head.status, held, head.headers)

    def _begin(self, head: ResponseHead, held: bytes) -> Begun:
        self.streams, self.chunked = True, head.sized is None
        return Begun(head.status, held, head.headers, head.sized)

    def _head(self, request: Request) -> bytes:
        incoming, address = self._incoming, self._around.address
        raw, headers, target = incoming.raw, incoming.head.headers, incoming.head.target
        if not target.startswith("/"):
            target = f"/{target.partition('://')[2].partition('/')[2]}"
        there = f"{address.path}{target}".encode("latin-1")
        head = for_upstream(raw, headers, there, address.authority, incoming.connection.peer)
        if incoming.length < 0 and not self._whole:
            return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        if incoming.body is None and "content-length" not in headers:
            return head + b"\r\n\r\n"
        return head + b"\r\nContent-Length: %d\r\n\r\n" % (len(request.body) if self._whole else incoming.length)

    async def _send_rest(self, connection: UpstreamConnection, beginning: bytes, chunked: bool) -> None:
        try:
            piece = beginning or await self._incoming.piece()
            while piece:
                await connection.write(chunk(piece) if chunked else piece)
                piece = await self._incoming.piece()
            if chunked:
                await connection.write(LAST_CHUNK)
        except TimeoutError:
            connection.fail(ClientFault(408, "silence in the middle of a body"))
        except BadRequest as error:
            connection.fail(ClientFault(error.status, str(error)))
        except ConnectionError as error:
            connection.fail(error)

    async def rest(self) -> bytes:
        """What is still coming of the response. Ends the upstream's work when the client hangs up meanwhile."""
        body = self._asked.body if self._asked is not None and self.streams else None
        if body is None:
            return b""
        self._task = asyncio.current_task()
        try:
            piece = await body.read()
        finally:
            self._task = None
        if not piece:
            self._release()
        return piece

    def _release(self) -> None:
        if self._asked is not None and (self._upload is None or self._upload.done()):
            self._around.pool.release(self._asked)
            self._asked = None

    def end(self) -> None:
        """The exchange is over. What was not read of the response goes with its connection."""
        if self._upload is not None:
            self._upload.cancel()
        if self._asked is not None:
            self._around.pool.drop(self._asked)
            self._asked = None

    # Copies

    def forward_copy(self, request: Request) -> None:
        """Send a copy. There is none of a body that was too large to be held."""
        if not self._whole:
            return
        task = asyncio.get_running_loop().create_task(self._copy(request, self._identity))
        self._around.copies.add(task)
        task.add_done_callback(self._around.copies.discard)

    async def _copy(self, request: Request, identity: Identity) -> None:
        pool, connection = self._around.pool, None
        try:
            connection = await pool.acquire(request.method not in _HARMLESS)
            head = await connection.ask(self._head(request) + request.body, request.method == "HEAD")
            held = b"" if connection.body is None else (await _held(connection.body, connection.body.read))[0]
        except (OSError, BadRequest, TimeoutError) as error:
            if self._rule is not None and not isinstance(error, Unreachable):
                self._around.effects.unanswered(identity, request)
            return
        finally:
            if connection is not None:
                pool.release(connection)
        if self._rule is not None:
            self._around.effects.answered(self._rule, identity, request, Response(head.status, held, head.headers))


async def _held(body: Body, piece: Callable[[], Awaitable[bytes]]) -> tuple[bytes, bool]:
    """The beginning of a body, up to the bound, and whether that is all of it."""
    held = await piece()
    if body.at_end:
        return held, True
    several = bytearray(held)
    while len(several) < HELD_MAX_BYTES and (more := await piece()):
        several += more
    return bytes(several), body.at_end


def _refusal(status: int, why: str) -> Response:
    text = f"faultline gateway: {why}\n"
    return Response(status, text.encode(), (("Content-Type", "text/plain; charset=utf-8"),))

"""The ``negotiate`` request that may precede a hub connection, version 1.

It gives the connection an id, or sends the client elsewhere with another token. A hub behind a load balancer needs
it; one that is reached directly can do without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from targets.resilience.errors import APIError
from targets.resilience.signalr_protocol import ProtocolError
from targets.resilience.stream_dialect import with_query

REDIRECTS_MAX: Final = 5


class _Transport(msgspec.Struct, frozen=True, rename="camel"):
    transport: str
    transfer_formats: tuple[str, ...] = ()


class _Reply(msgspec.Struct, frozen=True, rename="camel"):
    connection_token: str | None = None
    connection_id: str | None = None
    available_transports: tuple[_Transport, ...] = ()
    url: str | None = None
    access_token: str | None = None
    error: str | None = None


_decoder: Final = msgspec.json.Decoder(_Reply)


@dataclass(frozen=True, slots=True, repr=False)
class Negotiated:
    """Where to open the WebSocket, and with which token: the server's own after a redirect."""

    url: str
    token: str


async def negotiate(session: aiohttp.ClientSession, url: str, token: str) -> Negotiated:
    """Negotiate with the hub at ``url``, following its redirects.

    Raises APIError with the status of a refusal (401: the token is not accepted), ProtocolError for an answer that
    is none, and what the HTTP library raises where there is no answer.
    """
    for _ in range(REDIRECTS_MAX + 1):
        reply = await _post(session, url, token)
        if reply.error is not None:
            raise APIError(f"negotiate: the server refused: {reply.error[:200]}", effect="none")
        if reply.url is None:
            return Negotiated(_with_id(url, reply), token)
        url, token = reply.url, reply.access_token or token
    raise ProtocolError(f"negotiate: more than {REDIRECTS_MAX} redirects")


async def _post(session: aiohttp.ClientSession, url: str, token: str) -> _Reply:
    base, _, query = url.partition("?")
    target = with_query(f"{base.rstrip('/')}/negotiate" + (f"?{query}" if query else ""), "negotiateVersion", "1")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # Redirects of the HTTP kind are not the protocol's, and would carry the token to a place nobody chose.
    async with session.post(_http(target), headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            raise APIError(f"negotiate: {response.status}", response.status, effect="none")
        try:
            return _decoder.decode(await response.read())
        except (msgspec.DecodeError, UnicodeError) as error:
            # The answer is not quoted: it may hold a token.
            raise ProtocolError("negotiate: the answer is not what the protocol says") from error


def _with_id(url: str, reply: _Reply) -> str:
    if not any(
        each.transport == "WebSockets" and "Text" in each.transfer_formats for each in reply.available_transports
    ):
        raise ProtocolError("negotiate: the server offers no WebSockets with text")
    # Version 0 of the protocol has no token, and lets the connection id be both.
    connection = reply.connection_token or reply.connection_id
    if not connection:
        raise ProtocolError("negotiate: the answer has no connection id")
    return with_query(url, "id", connection)


def _http(url: str) -> str:
    return "http" + url.removeprefix("ws") if url.startswith(("ws:", "wss:")) else url

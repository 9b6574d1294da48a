"""One request to the venue, and what is certain after it.

Callers care about one thing only: may the request have been carried out? So every failure is one of four, and the
distinction is made here, next to the HTTP library that knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

from targets.rate_gate import RateGate

REQUEST_S: Final = 2.0
"""Limit of one request, from the connection to the last byte of the answer."""
CONNECT_S: Final = 1.0


class VenueError(Exception):
    """A request did not lead to a usable answer."""


class Refused(VenueError):
    """Certainly not carried out, and worth another try: it never left, or the venue sent it back unread."""


class Declined(VenueError):
    """Certainly not carried out, and not worth another try: the venue read it and said no."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


class Unclear(VenueError):
    """Answered, but the answer does not say whether it was carried out: a 5xx, or one that cannot be read."""


class Unanswered(VenueError):
    """Sent and never answered. It may have been carried out, or may yet be."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``data`` is the JSON in it, None where there is none that can be read."""

    status: int
    headers: Mapping[str, str]
    data: object

    @property
    def error_code(self) -> str:
        """The venue's own name of the error, or the empty string."""
        return str(self.data.get("error", "")) if isinstance(self.data, dict) else ""


class Http:
    """A connection pool to one venue. Sends only what the gate has admitted."""

    def __init__(self, base_url: str, gate: RateGate) -> None:
        self._base_url = base_url.rstrip("/")
        self.gate = gate

    def open(self) -> None:
        """Make the pool. Needs a running event loop."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_S, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        body: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request that the gate has just admitted; the answer, whatever its status, unless it is a refusal.

        Raises Refused for 429, 418 and when no connection came about, Unanswered when nothing came back.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self._base_url + path
        try:
            async with self._session.request(
                method, url, json=body, params=query, headers=headers, allow_redirects=False
            ) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Refused(f"{method} {path}: no connection: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(f"{method} {path}: no answer: {type(error).__name__} {error}") from error
        if response.status in (418, 429):
            self.gate.refused(response.status, response.headers.get("Retry-After"), response.headers.get("Date"))
            raise Refused(f"{method} {path}: {response.status}")
        if response.status == 503 and "Retry-After" in response.headers:
            self.gate.refused(503, response.headers["Retry-After"], response.headers.get("Date"))
        else:
            self.gate.served()
        return Reply(response.status, response.headers, _json(content))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _json(content: bytes) -> object:
    try:
        found: object = json.loads(content)
    except ValueError:
        return None
    return found

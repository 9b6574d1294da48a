"""One HTTP request, and what is certain after it.

Callers care about one thing only: may the request have been carried out? The HTTP library knows, so the distinction
is made here: no connection came about (``effect`` none), or it was sent and nothing came back (unknown). An answer is
an answer whatever its status; :func:`raise_for_status` sorts those.

Redirects are not followed: a POST would be sent twice, or arrive as a GET.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from targets.resilience.errors import APIError
from targets.resilience.retry_after import retry_after_s


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``data`` is the JSON in it, None where there is none that can be read."""

    status: int
    headers: Mapping[str, str]
    data: object

    def raise_for_status(self, what: str, *, code: str = "") -> None:
        """Raise APIError for anything but 2xx. ``what`` names the request, ``code`` the venue's own error."""
        if 200 <= self.status < 300:
            return
        pause_s = retry_after_s(self.headers.get("Retry-After"), self.headers.get("Date"))
        raise APIError(f"{what}: {self.status} {code}".rstrip(), self.status, code=code, retry_after_s=pause_s)


class HttpClient:
    """A connection pool to one venue, made with the first request. Limits are of one request, in milliseconds."""

    def __init__(self, base_url: str, *, request_timeout: float = 10_000, connect_timeout: float = 5_000) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=request_timeout / 1000, sock_connect=connect_timeout / 1000)
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Reply:
        """Send a request; the answer, whatever its status.

        ``path`` is sent as it is written, a query in it too, and so is ``content``: what was signed must not change
        on the way. ``body`` is written as JSON instead.

        Raises APIError without a status: ``effect`` is ``none`` when no connection came about, else ``unknown``.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        what = f"{method} {path.partition('?')[0]}"
        address = URL(self._base_url + path, encoded=True)
        try:
            async with self._session.request(
                method, address, json=body, data=content, params=query, headers=headers, allow_redirects=False
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise APIError(f"{what}: no connection: {error}", effect="none") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise APIError(f"{what}: no answer: {type(error).__name__} {error}") from error
        return Reply(response.status, response.headers, _json(answer))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _json(content: bytes) -> object:
    try:
        found: object = json.loads(content)
    except ValueError:
        return None
    return found

"""The access token: one for everybody, renewed by one at a time, before it expires.

However many requests find the token expired at once, one renewal is sent and all wait for it. Its life counts from
the moment it was asked for, by the monotonic clock: the venue's clock started no earlier, and a step of the wall
clock moves nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential, wait_random

from targets.venue_http import Declined, Http, Reply, Unclear, VenueError

RENEWAL_S: Final = 20.0
"""How long one renewal is tried before its callers are told."""
LEEWAY_S: Final = 5.0
LEEWAY_SHARE: Final = 0.2
"""A token is renewed this long before it expires: five seconds, or a fifth of a life shorter than that allows."""


class Tokens:
    """The client's access token. ``get`` it for each request, ``reject`` it when the venue did."""

    def __init__(self, http: Http, client_id: str, client_secret: str) -> None:
        self._http = http
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self._access = ""
        self._refresh = ""
        self._good_until = 0.0
        self._renewing = asyncio.Lock()

    def usable(self, token: str) -> bool:
        """Whether ``token`` is the current one and will live long enough for a request."""
        return token == self._access and time.monotonic() < self._good_until

    async def get(self) -> str:
        """A token that is good for a request. Raises VenueError when the venue gives none."""
        if not self.usable(self._access):
            async with self._renewing:
                # Whoever waited for the lock finds that the renewal has been done for it.
                if not self.usable(self._access):
                    await self._renew()
        return self._access

    def reject(self, token: str) -> None:
        """The venue did not accept ``token``. Says nothing about a newer one."""
        if token == self._access:
            self._good_until = 0.0

    async def _renew(self) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(VenueError),
            stop=stop_after_delay(RENEWAL_S),
            wait=wait_exponential(multiplier=0.25, max=4) + wait_random(0, 0.25),
            reraise=True,
        ):
            with attempt:
                await self._renew_once()

    async def _renew_once(self) -> None:
        if self._refresh:
            try:
                await self._obtain("/auth/refresh", {"refresh_token": self._refresh})
                return
            except Declined:
                # Spent, perhaps by an earlier try whose answer was lost. The credentials still work.
                self._refresh = ""
        await self._obtain("/auth/token", self._credentials)

    async def _obtain(self, path: str, body: dict[str, str]) -> None:
        await self._http.gate.admit()
        asked_at = time.monotonic()
        reply = await self._http.send("POST", path, body=body)
        if 400 <= reply.status < 500:
            raise Declined(reply.status, reply.error_code)
        access, refresh, life_s = _read(reply)
        self._access, self._refresh = access, refresh
        self._good_until = asked_at + life_s - min(LEEWAY_S, LEEWAY_SHARE * life_s)


def _read(reply: Reply) -> tuple[str, str, float]:
    fields: dict[str, Any] = reply.data if reply.status == 200 and isinstance(reply.data, dict) else {}
    access, life_s = fields.get("access_token"), fields.get("expires_in")
    if not isinstance(access, str) or not access or not isinstance(life_s, int | float) or life_s <= 0:
        # The answer is not quoted: it may hold half a token.
        raise Unclear(f"no token in an answer with status {reply.status}")
    return access, str(fields.get("refresh_token") or ""), float(life_s)

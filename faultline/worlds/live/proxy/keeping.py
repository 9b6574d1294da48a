"""The owner's side of a lease: open it, renew it while the owner lives, end it.

async with keep_lease("http://127.0.0.1:8474") as lease:
    headers = {"X-Faultline-Lease": lease}
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from faultline.errors import HarnessError
from faultline.worlds.live.proxy.lease import LEASE_S

_TIMEOUT = aiohttp.ClientTimeout(total=LEASE_S)


@asynccontextmanager
async def keep_lease(url: str, *, seconds: float = 3.0, token: str | None = None) -> AsyncIterator[str]:
    """A lease on the fault proxy at ``url``, renewed three times in its length. Gives its id.

    Raises HarnessError when there is no such server or it knows no leases.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(url, headers=headers, timeout=_TIMEOUT) as session:
        try:
            async with session.post("/lease", json={"seconds": seconds}) as answer:
                if answer.status != 201:
                    raise HarnessError(f"{url} gives no lease: {answer.status} {await answer.text()}")
                lease: str = (await answer.json())["lease"]
        except aiohttp.ClientError as error:
            raise HarnessError(f"{url} gives no lease: {error}") from error
        renewing = asyncio.create_task(_renew(session, lease, seconds / 3))
        try:
            yield lease
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await renewing
            with suppress(aiohttp.ClientError):
                await (await session.delete(f"/lease/{lease}")).release()


async def _renew(session: aiohttp.ClientSession, lease: str, period_s: float) -> None:
    while True:
        await asyncio.sleep(period_s)
        with suppress(aiohttp.ClientError, TimeoutError):  # the next one may get through
            await (await session.post(f"/lease/{lease}")).release()

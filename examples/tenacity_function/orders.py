"""A function that places an order, tried again by tenacity."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from tenacity import RetryCallState, retry, retry_if_exception_type, stop_after_delay, wait_exponential, wait_fixed

FAILURES = (aiohttp.ClientError, TimeoutError)


@retry(retry=retry_if_exception_type(FAILURES), wait=wait_fixed(0.1), stop=stop_after_delay(60), reraise=True)
async def hasty_order(session: aiohttp.ClientSession, order: dict[str, str]) -> dict[str, Any]:
    """Try again after a tenth of a second, whatever went wrong."""
    async with session.post("/orders", json=order) as response:
        response.raise_for_status()
        return await response.json()


def wait_as_told(state: RetryCallState) -> float:
    """Seconds that the venue asked for in Retry-After, which is a number or a date (RFC 9110); else exponential."""
    error = state.outcome.exception() if state.outcome else None
    headers = error.headers if isinstance(error, aiohttp.ClientResponseError) else None
    told = headers.get("Retry-After", "") if headers else ""
    if told.isdigit():
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except ValueError:
        return wait_exponential(0.5, max=10)(state)


@retry(retry=retry_if_exception_type(FAILURES), wait=wait_as_told, stop=stop_after_delay(60), reraise=True)
async def polite_order(session: aiohttp.ClientSession, order: dict[str, str]) -> dict[str, Any]:
    """The same, but it waits as long as it is told to."""
    async with session.post("/orders", json=order) as response:
        response.raise_for_status()
        return await response.json()

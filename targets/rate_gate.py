"""The one place where this client waits for permission to send.

Two rules: never more than so many requests in any window of so many seconds (a sliding window: a fixed one lets
twice as many through at its boundary), and silence for as long as the venue asks for it. Both hold for every request
of the client, retries and logins included, because the venue counts those too. New orders have a narrower window of
their own, as at most venues.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final

FIRST_PAUSE_S: Final = {429: 1.0, 418: 5.0}
"""How long to stay silent when the venue refuses without saying for how long; doubled each time in a row."""
PAUSE_MAX_S: Final = 60.0
RETRY_AFTER_MAX_S: Final = 86_400.0
"""More than a day is not believed: somebody wrote nonsense into the header."""


class Window:
    """At most ``limit`` requests in any ``window_s`` seconds."""

    def __init__(self, limit: int, window_s: float) -> None:
        # Requests may arrive closer together than they were sent; a twentieth is kept in reserve for that.
        self._window_s = window_s * 1.05
        self._sent: deque[float] = deque(maxlen=limit)

    def free_at(self) -> float:
        """When the next request fits, by the monotonic clock."""
        return self._sent[0] + self._window_s if len(self._sent) == self._sent.maxlen else 0.0

    def spend(self) -> None:
        """Count a request that is sent now."""
        self._sent.append(time.monotonic())


class RateGate:
    """Admits requests: orders through their own window and everybody's, all others through everybody's."""

    def __init__(self, *, everybody: Window | None = None, orders: Window | None = None) -> None:
        everybody = everybody or Window(60, 2.0)
        self._others = (everybody,)
        self._orders = (everybody, orders or Window(10, 1.0))
        # First come, first served among orders and among the others, so that neither waits behind the other.
        self._turn = {self._others: asyncio.Lock(), self._orders: asyncio.Lock()}
        self._silent_until = 0.0
        self._refusals = 0

    async def admit(self, *, order: bool = False) -> None:
        """Return when a request may be sent; the caller sends it at once."""
        windows = self._orders if order else self._others
        async with self._turn[windows]:
            # Again after each wait: meanwhile somebody else may have been served, or asked for more silence.
            while (wait_s := self._free_at(windows) - time.monotonic()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(wait_s)
            for window in windows:
                window.spend()

    def _free_at(self, windows: Sequence[Window]) -> float:
        return max(self._silent_until, *(window.free_at() for window in windows))

    def refused(self, status: int, retry_after: str | None, date: str | None = None) -> None:
        """The venue answered ``status`` because of too many requests. ``date`` is its ``Date`` header, if any."""
        pause_s = retry_after_s(retry_after, date)
        if pause_s is None:
            first_s = FIRST_PAUSE_S.get(status, FIRST_PAUSE_S[429])
            pause_s = min(PAUSE_MAX_S, first_s * 2.0 ** min(self._refusals, 10)) * random.uniform(1.0, 1.25)
        self._refusals += 1
        self._silent_until = max(self._silent_until, time.monotonic() + pause_s)

    def served(self) -> None:
        """The venue answered a request in earnest."""
        self._refusals = 0


def retry_after_s(value: str | None, date: str | None = None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header: a number of seconds or an HTTP date (RFC 9110, 10.2.3).

    A date is read against the venue's own ``Date``, so that a clock that is off does no harm; without one, against
    ours. None for a header that is absent or cannot be read.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(RETRY_AFTER_MAX_S, float(value))
    then = _timestamp(value)
    if then is None:
        return None
    now = _timestamp(date)
    return min(RETRY_AFTER_MAX_S, max(0.0, then - (time.time() if now is None else now)))


def _timestamp(date: str | None) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None

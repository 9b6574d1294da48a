"""Weighted rate limits, with the headers and the escalation that real venues have.

A request that is refused does not count: a client that keeps trying is let in as soon as the window allows it, or
banned if the venue bans. Time is passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from faultline.history.contract import RateBucket

Headers = tuple[tuple[str, str], ...]


class Charge(NamedTuple):
    """What became of one request: ``status`` 0 (let through), 429 or 418, and the headers to answer with."""

    status: int
    headers: Headers


class _Window:
    """One bucket's count."""

    def __init__(self, bucket: RateBucket) -> None:
        self.bucket = bucket
        self._weights: dict[str, int] = {}
        self._spent: deque[tuple[float, int]] = deque()
        self._total = 0
        self._start_s = 0.0

    def weight(self, endpoint: str) -> int:
        """What a request there costs. Remembered: patterns are slow and endpoints few."""
        weight = self._weights.get(endpoint)
        if weight is None:
            weight = self._weights[endpoint] = self.bucket.weight_of(endpoint)
        return weight

    def advance(self, now_s: float) -> None:
        """Forget what the window has left behind."""
        length_s = self.bucket.window_s
        if self.bucket.kind == "fixed":
            start_s = now_s // length_s * length_s
            if start_s != self._start_s:
                self._start_s = start_s
                self._spent.clear()
                self._total = 0
            return
        while self._spent and self._spent[0][0] <= now_s - length_s:
            self._total -= self._spent.popleft()[1]

    @property
    def remaining(self) -> int:
        return self.bucket.limit - self._total

    def spend(self, now_s: float, weight: int) -> None:
        self._spent.append((now_s, weight))
        self._total += weight

    def wait_s(self, now_s: float, weight: int) -> float:
        """How long until ``weight`` fits; a whole window when it never does."""
        if self.bucket.kind == "fixed":
            return self._start_s + self.bucket.window_s - now_s
        free = self.remaining
        for spent_s, spent in self._spent:
            if free >= weight:
                break
            free += spent
            if free >= weight:
                return spent_s + self.bucket.window_s - now_s
        return self.bucket.window_s

    def reset_s(self, now_s: float) -> float:
        """How long until the window is empty (fixed) or its oldest weight leaves it (sliding)."""
        if self.bucket.kind == "fixed":
            return self._start_s + self.bucket.window_s - now_s
        return self._spent[0][0] + self.bucket.window_s - now_s if self._spent else 0.0


def _whole(seconds: float) -> str:
    # Rounded up, and never 0: a client that waits so long must find the window free.
    return str(max(1, ceil(round(seconds, 6))))


class RateLimiter:
    """Counts requests against ``buckets``.

    After ``ban_after`` refusals in a row (None: never) the next one turns into a ban of ``ban_s``, in which
    everything is answered 418.
    """

    def __init__(self, buckets: Sequence[RateBucket], *, ban_after: int | None = None, ban_s: float = 120.0) -> None:
        self._windows = [_Window(bucket) for bucket in buckets]
        self._ban_after = ban_after
        self._ban_s = ban_s
        self._refusals = 0
        self._banned_until_s = 0.0

    def charge(self, now_s: float, endpoint: str) -> Charge:
        """Count one request, or refuse it."""
        if not self._windows:
            return Charge(0, ())
        if now_s < self._banned_until_s:
            return self._banned(now_s)
        counted: list[tuple[_Window, int]] = []
        waits_s: list[float] = []
        for window in self._windows:
            weight = window.weight(endpoint)
            if weight:
                window.advance(now_s)
                counted.append((window, weight))
                if window.remaining < weight:
                    waits_s.append(window.wait_s(now_s, weight))
        if not counted:
            return Charge(0, ())
        if waits_s:
            return self._refuse(now_s, counted, max(waits_s))
        self._refusals = 0
        for window, weight in counted:
            window.spend(now_s, weight)
        return Charge(0, self._headers(now_s, counted))

    def _refuse(self, now_s: float, counted: list[tuple[_Window, int]], wait_s: float) -> Charge:
        if self._ban_after is not None and self._refusals >= self._ban_after:
            self._refusals = 0
            self._banned_until_s = now_s + self._ban_s
            return self._banned(now_s)
        self._refusals += 1
        return Charge(429, (("Retry-After", _whole(wait_s)), *self._headers(now_s, counted)))

    def _banned(self, now_s: float) -> Charge:
        return Charge(418, (("Retry-After", _whole(self._banned_until_s - now_s)),))

    def _headers(self, now_s: float, counted: list[tuple[_Window, int]]) -> Headers:
        window = min((window for window, _ in counted), key=lambda window: window.remaining / window.bucket.limit)
        return (
            ("X-RateLimit-Limit", str(window.bucket.limit)),
            ("X-RateLimit-Remaining", str(max(0, window.remaining))),
            ("X-RateLimit-Reset", _whole(window.reset_s(now_s))),
        )

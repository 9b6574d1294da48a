"""Weighted rate limits, with the headers and the escalation that real venues have.

A request that is refused does not count: a client that keeps trying is let in as soon as the window allows it, or
banned if the venue bans. Time is passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

from faultline.history.contract import RateBucket

Headers = tuple[tuple[str, str], ...]


class Charge(NamedTuple):
    """What became of one request: ``status`` 0 (let through), 429 or 418, and the headers to answer with."""

    status: int
    headers: Headers


class Usage(NamedTuple):
    """Where a bucket stands: ``spent`` of its limit, and how long until its window is empty or its oldest weight
    leaves it."""

    bucket: RateBucket
    spent: int
    reset_s: float


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


def fullest(usages: Sequence[Usage]) -> Headers:
    """The generic venue's headers: what is left of the fullest limit."""
    usage = min(usages, key=lambda usage: (usage.bucket.limit - usage.spent) / usage.bucket.limit)
    return (
        ("X-RateLimit-Limit", str(usage.bucket.limit)),
        ("X-RateLimit-Remaining", str(max(0, usage.bucket.limit - usage.spent))),
        ("X-RateLimit-Reset", _whole(usage.reset_s)),
    )


class RateLimiter:
    """Counts requests against ``buckets``.

    After ``ban_after`` refusals in a row (None: never) the next one turns into a ban of ``ban_s``, in which
    everything is answered 418. Each further ban is twice as long, up to ``ban_max_s`` (None: all are equal).
    ``headers`` makes what an answer tells of the buckets that its request counts in; ``retry_after`` says whether
    refusals carry that header.
    """

    def __init__(
        self,
        buckets: Sequence[RateBucket],
        *,
        ban_after: int | None = None,
        ban_s: float = 120.0,
        ban_max_s: float | None = None,
        headers: Callable[[Sequence[Usage]], Headers] = fullest,
        retry_after: bool = True,
    ) -> None:
        self._windows = [_Window(bucket) for bucket in buckets]
        self._ban_after = ban_after
        self._ban_s = ban_s
        self._ban_max_s = ban_max_s
        self._describe = headers
        self._retry_after = retry_after
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
            if self._ban_max_s is not None:
                self._ban_s = min(2 * self._ban_s, self._ban_max_s)
            return self._banned(now_s)
        self._refusals += 1
        return Charge(429, (*self._wait(wait_s), *self._headers(now_s, counted)))

    def _banned(self, now_s: float) -> Charge:
        return Charge(418, self._wait(self._banned_until_s - now_s))

    def _wait(self, wait_s: float) -> Headers:
        return (("Retry-After", _whole(wait_s)),) if self._retry_after else ()

    def _headers(self, now_s: float, counted: list[tuple[_Window, int]]) -> Headers:
        windows = [window for window, _ in counted]
        return self._describe(
            [Usage(window.bucket, window.bucket.limit - window.remaining, window.reset_s(now_s)) for window in windows]
        )

"""The place where a client waits for permission to send.

Two rules. Never more than so many requests in **any** window of so many seconds: a sliding window, because a fixed
one lets twice as many through at its boundary. And silence for as long as the venue asks for it. Both hold for every
request, retries and logins included, because the venue counts those too; so one limiter is shared by all clients of
an account, and each asks it directly before sending.

* **First come, first served**, in each bucket. A heavy request at the head of the queue is not overtaken by light ones
  that would fit, or it might wait for ever.
* **The queue is bounded.** Who finds it full is told at once, not served late.
* **Nothing is counted before it is granted**, and nothing is awaited afterwards: a waiter that is cancelled leaves no
  trace, and the next one takes its turn.
* **Time is monotonic.** A step of the wall clock neither opens the window nor shuts it.
* **A window is kept a little longer than it is** (``reserve_seconds``), because requests may arrive closer together
  than they were sent.

A request may fall under several limits at once (:class:`RateLimiters`): it goes when all of them have room and is
counted in all of them at that moment. It queues for them in their declared order, narrow ones first, so that those
who wait for a narrow one do not hold up the rest.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Protocol

from targets.resilience.errors import QueueFullError
from targets.resilience.ranges import in_range

FIRST_PAUSE_S: Final = {429: 1.0, 418: 5.0}
"""How long to stay silent when the venue refuses without saying for how long; doubled each time in a row."""
PAUSE_MAX_S: Final = 60.0


class Limiter(Protocol):
    """What the error handler needs of a limiter."""

    async def throttle(self, endpoint: str = "", *, weight: int = 1) -> None:
        """Return when a request to ``endpoint`` may be sent; the caller sends it at once. Raises QueueFullError."""
        ...

    def refused(self, status_code: int, retry_after_s: float | None = None) -> None:
        """The venue refused a request because of too many."""
        ...

    def served(self) -> None:
        """The venue answered a request in earnest."""
        ...

    @property
    def silent_s(self) -> float:
        """For how long nothing may be sent because the venue said so; 0 when it did not."""
        ...


@dataclass(frozen=True, slots=True)
class RateLimiterConfig:
    """``requests`` (or their weights) in any ``window_seconds``, and ``queue_size`` callers waiting.

    ``reserve_seconds`` is added to the window. ``pause_jitter`` stretches the pauses that the venue gave no length
    for, by up to that share, so that clients which were refused together do not come back together. Raises ValueError
    for what is out of range.
    """

    requests: int = 50
    window_seconds: float = 30.0
    queue_size: int = 100
    reserve_seconds: float = 0.1
    pause_jitter: float = 0.0

    def __post_init__(self) -> None:
        in_range("requests", self.requests, 1)
        in_range("window_seconds", self.window_seconds, 0.001)
        in_range("queue_size", self.queue_size, 0)
        in_range("reserve_seconds", self.reserve_seconds, 0)
        in_range("pause_jitter", self.pause_jitter, 0, 1)


class RateLimiter:
    """One limit. Belongs to one event loop."""

    def __init__(self, config: RateLimiterConfig) -> None:
        self.config = config
        self._granted: deque[tuple[float, int]] = deque()
        self._used = 0
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._silent_until = 0.0
        self._refusals = 0

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return self._waiting

    @property
    def free(self) -> int:
        """How much weight may go right now, were nobody waiting and no pause on."""
        self._forget()
        return self.config.requests - self._used

    async def throttle(self, endpoint: str = "", *, weight: int = 1) -> None:
        """Return when a request may be sent; the caller sends it at once. One limit holds for every ``endpoint``.

        Raises QueueFullError when too many wait already, ValueError for a weight that no window holds.
        """
        await _admit([self], weight)

    def pause(self, delay_s: float) -> None:
        """Let nothing through for ``delay_s`` seconds from now. A longer pause that is on stays on."""
        self._silent_until = max(self._silent_until, time.monotonic() + delay_s)

    def refused(self, status_code: int, retry_after_s: float | None = None) -> None:
        """The venue answered ``status_code`` because of too many requests: pause for as long as it asks.

        Where it does not say, for a second (5 after 418), doubled up to a minute for each refusal that follows a
        pause. Refusals of requests that were on their way when the pause began are one refusal.
        """
        if retry_after_s is None:
            if time.monotonic() < self._silent_until:
                return
            first_s = FIRST_PAUSE_S.get(status_code, FIRST_PAUSE_S[429])
            retry_after_s = min(PAUSE_MAX_S, first_s * 2.0 ** min(self._refusals, 10))
            if self.config.pause_jitter:
                retry_after_s *= random.uniform(1.0, 1.0 + self.config.pause_jitter)
            self._refusals += 1
        self.pause(retry_after_s)

    @property
    def silent_s(self) -> float:
        """For how long a pause of the venue still holds; 0 when none does."""
        return max(0.0, self._silent_until - time.monotonic())

    def served(self) -> None:
        """The venue answered a request in earnest: the next refusal is a first one again."""
        if time.monotonic() >= self._silent_until:
            self._refusals = 0

    # For _admit: the parts of one admission

    def goes_at_once(self, weight: int) -> bool:
        """Whether nobody waits, and there is room for ``weight``."""
        return self._waiting == 0 and weight <= self.config.requests and self.wait_s(weight) <= 0

    @asynccontextmanager
    async def turn(self, weight: int) -> AsyncIterator[None]:
        """Be at the head of the queue, with room for ``weight``, for as long as the block lasts."""
        if weight > self.config.requests:
            raise ValueError(f"weight {weight} never fits: the limit is {self.config.requests}")
        if not self.goes_at_once(weight) and self._waiting >= self.config.queue_size:
            raise QueueFullError(f"{self._waiting} callers wait for the rate limiter already")
        self._waiting += 1
        try:
            async with self._turn:
                await _sleep_until_room([self], weight)
                yield
        finally:
            self._waiting -= 1

    def wait_s(self, weight: int) -> float:
        """For how long there will be no room for ``weight``; 0 or less when there is."""
        self._forget()
        room_at = 0.0
        excess = self._used + weight - self.config.requests
        for granted_at, granted in self._granted:
            if excess <= 0:
                break
            excess -= granted
            room_at = granted_at + self._window_s
        return max(room_at, self._silent_until) - time.monotonic()

    def spend(self, weight: int) -> None:
        """Count a request that is sent now."""
        self._granted.append((time.monotonic(), weight))
        self._used += weight

    @property
    def _window_s(self) -> float:
        return self.config.window_seconds + self.config.reserve_seconds

    def _forget(self) -> None:
        now = time.monotonic()
        while self._granted and self._granted[0][0] + self._window_s <= now:
            self._used -= self._granted.popleft()[1]


async def _admit(limiters: Sequence[RateLimiter], weight: int) -> None:
    if not all(limiter.goes_at_once(weight) for limiter in limiters):
        await _admit_in_turn(limiters, weight)
        return
    for limiter in limiters:
        limiter.spend(weight)


async def _admit_in_turn(limiters: Sequence[RateLimiter], weight: int) -> None:
    async with AsyncExitStack() as turns:
        for limiter in limiters:
            await turns.enter_async_context(limiter.turn(weight))
        # While one waited for its turn in the last, the venue may have asked for silence in the first.
        await _sleep_until_room(limiters, weight)
        for limiter in limiters:
            limiter.spend(weight)


async def _sleep_until_room(limiters: Sequence[RateLimiter], weight: int) -> None:
    # Again after each wait: a pause may have begun or grown meanwhile.
    while (wait_s := max(limiter.wait_s(weight) for limiter in limiters)) > 0:  # noqa: ASYNC110
        await asyncio.sleep(wait_s)


@dataclass(frozen=True, slots=True)
class BucketRule:
    """Requests whose endpoint matches ``pattern`` (``*`` and ``?`` as in a shell) count in ``buckets``, each as heavy
    as ``weight``."""

    pattern: str
    buckets: tuple[str, ...]
    weight: int = 1


class RateLimiters:
    """Several limits, and which requests fall under which. Belongs to one event loop.

    The first matching rule decides; what matches none falls under ``default``. A venue's pause holds for all buckets:
    a refusal seldom says which limit it is about, and being silent is never wrong. Declare narrow buckets first.
    Raises ValueError for a rule that names none or an unknown one.
    """

    def __init__(
        self, buckets: Mapping[str, RateLimiterConfig], rules: Sequence[BucketRule], default: Sequence[str]
    ) -> None:
        self.buckets: Final = {name: RateLimiter(config) for name, config in buckets.items()}
        self._rules = (*rules, BucketRule("*", tuple(default)))
        for rule in self._rules:
            if not rule.buckets or not self.buckets.keys() >= set(rule.buckets):
                raise ValueError(f"rule {rule.pattern!r}: {rule.buckets} should be some of {tuple(buckets)}")

    @classmethod
    def projectx(cls, *, queue_size: int = 1000) -> RateLimiters:
        """ProjectX' published limits: 50 history requests in 30 s, and 200 of all others in 60 s."""
        return cls(
            {
                "history": RateLimiterConfig(50, 30.0, queue_size),
                "others": RateLimiterConfig(200, 60.0, queue_size),
            },
            [BucketRule("*History/*", ("history",))],
            default=["others"],
        )

    async def throttle(self, endpoint: str = "", *, weight: int = 1) -> None:
        """Return when a request to ``endpoint`` may be sent; the caller sends it at once. ``weight`` is multiplied
        by that of the rule. Raises QueueFullError when too many wait for one of its buckets.
        """
        rule = next(rule for rule in self._rules if fnmatchcase(endpoint, rule.pattern))
        limiters = [limiter for name, limiter in self.buckets.items() if name in rule.buckets]
        await _admit(limiters, weight * rule.weight)

    def pause(self, delay_s: float) -> None:
        """Let nothing through for ``delay_s`` seconds from now."""
        for limiter in self.buckets.values():
            limiter.pause(delay_s)

    def refused(self, status_code: int, retry_after_s: float | None = None) -> None:
        """The venue answered ``status_code`` because of too many requests: see :meth:`RateLimiter.refused`."""
        for limiter in self.buckets.values():
            limiter.refused(status_code, retry_after_s)

    def served(self) -> None:
        """The venue answered a request in earnest."""
        for limiter in self.buckets.values():
            limiter.served()

    @property
    def silent_s(self) -> float:
        """For how long a pause of the venue still holds; 0 when none does."""
        return max(limiter.silent_s for limiter in self.buckets.values())

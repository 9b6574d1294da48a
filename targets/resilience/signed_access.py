"""What stands for the token manager at venues whose requests are signed one by one: the venue's own clock.

A signature holds the time, and the venue refuses one that is too far from its own. So the venue is asked for its time
once, and that is carried on by the monotonic clock: a wall clock that is wrong, or that steps, changes nothing. It is
asked again when it refuses a signature for its time, and every hour, because clocks drift.

The answer is taken to have been given the moment it arrived. That is late by half a round trip at most, and late is the
right side: venues allow seconds behind and hardly anything ahead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from targets.resilience.errors import APIError, NotSentError

log = logging.getLogger(__name__)

TRUSTED_S: Final = 3600.0
AGAIN_S: Final = 60.0
"""How long to go on with the old time when the venue could not be asked."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a client signs with. ``passphrase`` is only for venues that ask for one."""

    key: str
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)


class SignedAccess:
    """The venue's clock. ``ask`` gives its time in milliseconds since 1970, with one request."""

    def __init__(self, ask: Callable[[], Awaitable[float]]) -> None:
        self._ask = ask
        self._asking = asyncio.Lock()
        self._ahead_ms: float | None = None
        self._ask_at_s = 0.0

    async def initialize(self) -> None:
        """There is nothing to take up: a clock does not survive its process."""

    async def close(self) -> None:
        """There is no work of its own."""

    def is_expired(self) -> bool:
        """Whether the venue's time is not known."""
        return self._ahead_ms is None

    def is_ready(self) -> bool:
        """Whether a request can be signed."""
        return self._ahead_ms is not None and time.monotonic() < self._ask_at_s

    async def get_ready(self) -> None:
        """Ask for the time, where it is not known. Raises NotSentError when the venue does not say."""
        if self.is_ready():
            return
        async with self._asking:
            if not self.is_ready():
                await self._ask_now()

    async def _ask_now(self) -> None:
        try:
            told_ms = await self._ask()
        except (APIError, OSError) as error:
            if self._ahead_ms is None:
                raise NotSentError(f"the venue's time is not known: {error}") from error
            log.info("the venue did not tell its time: %s", error)
            self._ask_at_s = time.monotonic() + AGAIN_S
        else:
            self._ahead_ms = told_ms - time.monotonic() * 1000
            self._ask_at_s = time.monotonic() + TRUSTED_S

    async def get_valid_token(self) -> str:
        """Be ready. There are no tokens: the empty string."""
        await self.get_ready()
        return ""

    def reject(self, token: str) -> None:
        """The venue did not accept a signature's time: do not trust the clock."""
        self._ahead_ms = None

    def now_ms(self) -> int:
        """The venue's time. Raises NotSentError when it is not known."""
        if self._ahead_ms is None:
            raise NotSentError("the venue's time is not known")
        return int(self._ahead_ms + time.monotonic() * 1000)

"""What a venue knows of a world with a real clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from faultline.faults.chance import Chance


class LiveContext:
    """The venue's view: ids count per kind, chance is keyed by the root seed, the wall clock is this machine's.

    ``now_s`` reads the run's clock.
    """

    def __init__(self, now_s: Callable[[], float], seed: int) -> None:
        self._now_s = now_s
        self._seed = seed
        self._ids: dict[str, int] = {}

    def now_s(self) -> float:
        """Real seconds since the run began."""
        return self._now_s()

    def wall_s(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def new_id(self, kind: str) -> str:
        """``kind`` with the next number."""
        count = self._ids[kind] = self._ids.get(kind, 0) + 1
        return f"{kind}{count}"

    def chance(self, *key: object) -> Chance:
        """Draws for one purpose."""
        return Chance(self._seed, "venue", *key)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` after ``delay_s``."""
        asyncio.get_running_loop().call_later(delay_s, callback)

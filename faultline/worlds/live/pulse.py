"""The heartbeat of a real event loop, for the watchdog: a loop without a pulse is kept by somebody's callback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

BEAT_S: Final = 1.0


class Pulse:
    """``turns`` grows while ``loop`` turns. ``fail`` ends the run."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fail: Callable[[BaseException], None]) -> None:
        self._loop = loop
        self._fail = fail
        self.turns = 0

    def fail(self, error: BaseException) -> None:
        """End the run with ``error``."""
        self._fail(error)

    def start(self) -> None:
        """Beat, until the loop is closed."""
        self.turns += 1
        self._loop.call_later(BEAT_S, self.start)

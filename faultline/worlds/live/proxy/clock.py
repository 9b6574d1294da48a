"""Which clock a proxy reads.

uvloop's ``loop.time()`` is the cached time of the turn in whole milliseconds: a delay counted by it ends up to a
millisecond early. Every other loop's own time is exact, and in the simulation it is the virtual one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """A monotonic clock in seconds that fits the timers of ``loop``."""
    return time.monotonic if type(loop).__module__.partition(".")[0] == "uvloop" else loop.time

"""What a benchmark says, and the clocks that it reads.

Inside a simulation ``time`` is virtual, also through aliases; real clocks are kept here, where no alias is rebound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import log10
from typing import Final


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. ``aim`` is what it is to be, in words (``< 5``, ``>= 0.95``); empty where there is none."""

    name: str
    value: float
    unit: str
    aim: str = ""

    def __str__(self) -> str:
        aim = f" (aim {self.aim})" if self.aim else ""
        digits = max(0, 2 - int(log10(abs(self.value)))) if abs(self.value) >= 1 else 3
        return f"{self.name} {self.value:.{digits}f} {self.unit}{aim}"


@dataclass(frozen=True, slots=True)
class _Clocks:
    """Real clocks. ``cpu_s`` counts this process only, so a busy machine disturbs it less than ``wall_s``."""

    cpu_s: Callable[[], float] = time.process_time
    wall_s: Callable[[], float] = time.perf_counter


REAL: Final = _Clocks()

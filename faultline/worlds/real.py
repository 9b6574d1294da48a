"""Real time, for the harness, also where a simulation has replaced the functions of :mod:`time`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class _Real:
    """The functions of the real clock."""

    perf_counter_s: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


REAL: Final = _Real()
"""Made when this is imported, before any run: a module-level alias of ours would be replaced like any other."""

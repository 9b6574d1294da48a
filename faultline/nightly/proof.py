"""What a number of runs proves about the rate of failure."""

from __future__ import annotations

from math import comb
from typing import Final

CONFIDENCE: Final = 0.95


def failure_rate_max(runs: int, failures: int = 0, confidence: float = CONFIDENCE) -> float:
    """The upper bound of the failure rate that ``runs`` with ``failures`` among them leave, at ``confidence``.

    Clopper and Pearson's exact one-sided bound (1934): the rate at which so few failures would be seen in only
    ``1 - confidence`` of all cases. Without failures that is ``1 - (1 - confidence) ** (1 / runs)``, about three
    divided by the number of runs.
    """
    if runs <= 0 or failures >= runs:
        return 1.0
    doubt = 1.0 - confidence
    if failures == 0:
        return float(1.0 - doubt ** (1.0 / runs))
    low, high = failures / runs, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(failures, runs, middle) > doubt:
            low = middle
        else:
            high = middle
    return high


def _at_most(failures: int, runs: int, rate: float) -> float:
    """The chance of no more than ``failures`` in ``runs``."""
    if rate >= 1.0:
        return 0.0
    return float(sum(comb(runs, k) * rate**k * (1.0 - rate) ** (runs - k) for k in range(failures + 1)))


def shown_rate(rate: float) -> str:
    """A rate as a percentage that is never rounded down: 0.1 %."""
    percent = rate * 100
    digits = 0 if percent >= 10 else 1 if percent >= 1 else 2 if percent >= 0.1 else 3
    step = 10**-digits
    return f"{-(-percent // step) * step:.{digits}f} %"

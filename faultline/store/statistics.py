"""The few tests that comparing two campaigns needs, exact where samples are small.

All are two-sided. Runs under the same seeds are compared in pairs (Wilcoxon's signed ranks), others as two samples
(Mann and Whitney); both take ties into account: small samples by counting every arrangement of the ranks as they are,
large ones by the normal approximation with the correction for ties. Shares of failing runs go by Fisher's exact test.
Many tests at once are corrected by Holm's method, and a test that could not have come out significant in any
arrangement is none (Tarone): it is told as too few runs instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import comb, erfc, sqrt
from typing import Final

ALPHA: Final = 0.05
PAIRS_EXACT_MAX: Final = 25
SAMPLES_EXACT_MAX: Final = 16
"""Of both samples together; counting the arrangements of more takes longer than it is worth."""


@dataclass(frozen=True, slots=True)
class Tested:
    """Outcome of a test. ``p_min`` is the smallest p that these sample sizes and ties allow.

    ``effect`` is the rank-biserial correlation: -1 when every value fell, 0 for no tendency, 1 when every one grew.
    ``n_before`` and ``n_after`` count values; in a test of pairs both count the pairs.
    """

    method: str
    n_before: int
    n_after: int
    p: float
    p_min: float
    effect: float


def mann_whitney(before: Sequence[float], after: Sequence[float]) -> Tested:
    """Whether the values of ``after`` tend to be larger or smaller than those of ``before``. Neither may be empty."""
    n, m = len(before), len(after)
    ranks = _doubled_ranks([*before, *after])
    rank_sum = sum(ranks[n:])
    mean = m * (n + m + 1)  # twice the mean of the rank sum, as the ranks are doubled
    effect = (rank_sum - mean) / (n * m)
    if n + m <= SAMPLES_EXACT_MAX:
        ways = _sums_of(ranks, m)
        return Tested("Mann-Whitney", n, m, *_exact(ways, rank_sum), effect)
    total = n + m
    variance = n * m / 12 * (total + 1 - _ties(ranks) / (total * (total - 1)))
    return Tested("Mann-Whitney", n, m, _normal((rank_sum - mean) / 2, variance), 0.0, effect)


def signed_rank(before: Sequence[float], after: Sequence[float]) -> Tested:
    """Whether values grew or fell, pair by pair. Pairs without a difference say nothing of its direction."""
    differences = [new - old for old, new in zip(before, after, strict=True) if new != old]
    n = len(differences)
    if not n:
        return Tested("Wilcoxon", len(before), len(after), 1.0, 1.0, 0.0)
    ranks = _doubled_ranks([abs(difference) for difference in differences])
    grew = sum(rank for rank, difference in zip(ranks, differences, strict=True) if difference > 0)
    total = sum(ranks)
    effect = (2 * grew - total) / total
    if n <= PAIRS_EXACT_MAX:
        ways = Counter({0: 1})
        for rank in ranks:
            for reached, count in list(ways.items()):
                ways[reached + rank] += count
        return Tested("Wilcoxon", len(before), len(after), *_exact(ways, grew), effect)
    variance = sum(rank * rank for rank in ranks) / 16
    return Tested("Wilcoxon", len(before), len(after), _normal((grew - total / 2) / 2, variance), 0.0, effect)


def fisher(failed_before: int, runs_before: int, failed_after: int, runs_after: int) -> float:
    """The p of two shares of failing runs being as different as this, or more, by chance."""
    failed, total = failed_before + failed_after, runs_before + runs_after
    low, high = max(0, failed - runs_after), min(failed, runs_before)
    ways = {k: comb(runs_before, k) * comb(runs_after, failed - k) for k in range(low, high + 1)}
    seen = ways[failed_before]
    return sum(count for count in ways.values() if count <= seen) / comb(total, failed)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p, corrected for all of them being looked at. In the order that they were given in."""
    adjusted = [1.0] * len(ps)
    highest = 0.0
    for done, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[index] * (len(ps) - done)))
        adjusted[index] = highest
    return adjusted


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle. There must be one."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the rank of each value: ties share the mean of their ranks, which twice is a whole number."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    start = 0
    for _, group in groupby(order, key=values.__getitem__):
        tied = list(group)
        for index in tied:
            ranks[index] = 2 * start + len(tied) + 1
        start += len(tied)
    return ranks


def _ties(ranks: Sequence[int]) -> int:
    return sum(count**3 - count for count in Counter(ranks).values())


def _sums_of(ranks: Sequence[int], size: int) -> Counter[int]:
    """In how many ways ``size`` of the ranks add up to each sum."""
    ways: list[Counter[int]] = [Counter({0: 1}), *(Counter() for _ in range(size))]
    for rank in ranks:
        for taken in range(size, 0, -1):
            for reached, count in ways[taken - 1].items():
                ways[taken][reached + rank] += count
    return ways[size]


def _exact(ways: Counter[int], seen: int) -> tuple[float, float]:
    """The p of a sum, and the smallest p that any sum could have."""
    total = sum(ways.values())
    low = sum(count for reached, count in ways.items() if reached <= seen)
    high = sum(count for reached, count in ways.items() if reached >= seen)
    least = min(ways[min(ways)], ways[max(ways)])
    return min(1.0, 2 * min(low, high) / total), min(1.0, 2 * least / total)


def _normal(deviation: float, variance: float) -> float:
    """The p of a deviation from the mean under the normal approximation, with the correction for continuity."""
    if variance <= 0.0:
        return 1.0
    return min(1.0, erfc(max(0.0, abs(deviation) - 0.5) / sqrt(2 * variance)))

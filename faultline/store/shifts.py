"""Latency and recovery from one campaign to the next: which of them grew beyond noise.

Each case is tested for each figure, and all cases together for each figure: what slows everything down by a little
shows there first. A figure has grown when its test is significant after the correction for all tests, and its median
grew by enough to matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Final, Literal

from faultline.store.statistics import ALPHA, Tested, holm, mann_whitney, median, signed_rank
from faultline.store.values import Sample, StoredCase

GROWTH_MIN: Final = 1.05
GROWTH_MIN_MS: Final = 1.0
"""What is smaller than both matters to nobody, however significant: simulated runs have no noise at all."""

Kind = Literal["grew", "fell", "noise", "too few"]
Read = Callable[[Sample], float | None]

FIGURES: Final[Mapping[str, Read]] = {
    "median latency": lambda sample: sample.operation_ms_p50,
    "99 % latency": lambda sample: sample.operation_ms_p99,
    "recovery": lambda sample: sample.recovery_ms,
}
ALL_CASES: Final = "all cases together"


@dataclass(frozen=True, slots=True)
class Shift:
    """One figure of one case (``key`` empty: of all together) before and after, as medians in milliseconds.

    Of all cases together ``before_ms`` is 100 and ``after_ms`` the typical case in percent of what it was.
    ``p`` is corrected for all tests of the comparison.
    """

    key: str
    label: str
    figure: str
    before_ms: float
    after_ms: float
    tested: Tested
    p: float
    kind: Kind

    @property
    def enough(self) -> bool:
        """The medians are as far apart as matters, in the direction in which the values went."""
        low, high = sorted((self.before_ms, self.after_ms))
        apart = high >= low * GROWTH_MIN and high - low >= GROWTH_MIN_MS
        return apart and (self.tested.effect > 0) == (self.after_ms > self.before_ms)

    @property
    def suspect(self) -> bool:
        """Every value grew, by enough, and there are too few of them to prove anything."""
        return self.kind == "too few" and self.enough and self.tested.effect == 1.0


@dataclass(frozen=True, slots=True)
class _Pair:
    key: str
    label: str
    figure: str
    before_ms: float
    after_ms: float
    tested: Tested


def shifts(cases: Iterable[tuple[StoredCase, Sequence[Sample], Sequence[Sample]]]) -> list[Shift]:
    """Test all figures of cases, each with its runs before and after. What did not change at all is left out."""
    tests: list[_Pair] = []
    ratios: dict[str, list[float]] = {figure: [] for figure in FIGURES}
    for case, before, after in cases:
        for figure, read in FIGURES.items():
            pair = _tested(case, figure, read, before, after)
            if pair is None:
                continue
            if pair.before_ms > 0.0 and pair.after_ms > 0.0:
                ratios[figure].append(log(pair.after_ms / pair.before_ms))
            if pair.tested.method != "Wilcoxon" or pair.tested.effect or pair.before_ms != pair.after_ms:
                tests.append(pair)
    for figure, logs in ratios.items():
        if len(logs) > 1 and any(logs):
            tested = signed_rank([0.0] * len(logs), logs)
            tests.append(_Pair("", ALL_CASES, figure, 100.0, 100.0 * exp(median(logs)), tested))
    return _judged(tests)


def _tested(
    case: StoredCase, figure: str, read: Read, before: Sequence[Sample], after: Sequence[Sample]
) -> _Pair | None:
    old = {sample.seed: value for sample in before if (value := read(sample)) is not None}
    new = {sample.seed: value for sample in after if (value := read(sample)) is not None}
    if not old or not new:
        return None
    common = [seed for seed in old if seed in new]
    if 2 * len(common) >= min(len(old), len(new)):
        was, now = [old[seed] for seed in common], [new[seed] for seed in common]
        tested = signed_rank(was, now)
    else:
        was, now = [*old.values()], [*new.values()]
        tested = mann_whitney(was, now)
    return _Pair(case.key, case.label, figure, median(was), median(now), tested)


def _judged(tests: Sequence[_Pair]) -> list[Shift]:
    able = [pair for pair in tests if pair.tested.p_min <= ALPHA]
    adjusted = dict(zip(map(id, able), holm([pair.tested.p for pair in able]), strict=True))
    found = []
    for pair in tests:
        p = adjusted.get(id(pair), 1.0)
        shift = Shift(pair.key, pair.label, pair.figure, pair.before_ms, pair.after_ms, pair.tested, p, "noise")
        found.append(replace(shift, kind=_kind(shift, len(able))))
    return found


def _kind(shift: Shift, tests: int) -> Kind:
    if shift.p <= ALPHA:
        if not shift.enough:
            return "noise"
        return "grew" if shift.tested.effect > 0 else "fell"
    return "too few" if shift.tested.p_min * max(1, tests) > ALPHA else "noise"

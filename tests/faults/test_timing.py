from __future__ import annotations

from itertools import islice, takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.faults.chance import Chance
from faultline.faults.timing import When

CHANCE = Chance(0, "rule", "x")


def active(when: When, *times: float, **marks: float) -> list[bool]:
    return [when.active(t_s, marks, CHANCE) for t_s in times]


def test_with_nothing_given_it_is_always() -> None:
    assert active(When(), 0, 1e9) == [True, True]
    assert When().ends_s is None
    assert When().window_end_s(5, {}, CHANCE) is None


def test_during_includes_its_begin_and_not_its_end() -> None:
    when = When(during_s=(10, 20))
    assert active(when, 9.99, 10, 19.99, 20) == [False, True, True, False]
    assert when.window_end_s(12, {}, CHANCE) == 20
    assert when.ends_s == 20


def test_at_with_for_is_an_interval() -> None:
    when = When(at_s=10, for_s=2)
    assert active(when, 9.99, 10, 11.99, 12) == [False, True, True, False]
    assert when.window_end_s(11, {}, CHANCE) == 12
    assert when.occasion(11, {}, CHANCE) == 0
    assert when.ends_s == 12


def test_at_alone_begins_and_is_one_occasion() -> None:
    when = When(at_s=10)
    assert active(when, 9.99, 10, 1e6) == [False, True, True]
    assert when.window_end_s(11, {}, CHANCE) is None
    assert when.occasion(11, {}, CHANCE) == 1
    assert list(when.clock(CHANCE, 0)) == [(1, 10)]


def test_for_alone_counts_from_the_start() -> None:
    assert active(When(for_s=3), 0, 2.9, 3) == [True, True, False]
    assert When(for_s=3).window_end_s(1, {}, CHANCE) == 3


def test_times_count_from_the_mark_of_after() -> None:
    when = When(after="fill", at_s=1, for_s=2)
    assert active(when, 100) == [False]
    assert active(when, 50, 51, 52.9, 53, fill=50) == [False, True, True, False]
    assert when.window_end_s(51.5, {"fill": 50}, CHANCE) == 53
    assert list(When(after="fill", at_s=1).clock(CHANCE, 50)) == [(1, 51)]
    assert active(When(after="fill"), 49, 50, fill=50) == [True, True]


def test_every_with_for_repeats_an_interval() -> None:
    when = When(every_s=10, for_s=2)
    assert active(when, 0, 1, 9.9, 10, 11.9, 12, 20, 22) == [False, False, False, True, True, False, True, False]
    assert when.window_end_s(21, {}, CHANCE) == 22


def test_at_is_the_first_of_the_repetitions() -> None:
    when = When(at_s=3, every_s=10, for_s=2)
    assert active(when, 2.9, 3, 5, 13, 15) == [False, True, False, True, False]
    assert [t_s for _, t_s in islice(When(at_s=3, every_s=10).clock(CHANCE, 0), 3)] == [3, 13, 23]


def test_during_bounds_the_repetitions() -> None:
    when = When(every_s=5, during_s=(10, 26))
    assert list(when.clock(CHANCE, 0)) == [(1, 15), (2, 20), (3, 25)]
    interval = When(every_s=5, for_s=3, during_s=(10, 26))
    assert active(interval, 5, 10, 15, 18, 25.9, 26) == [False, False, True, False, True, False]
    assert interval.window_end_s(25.5, {}, CHANCE) == 26


def test_each_period_is_one_occasion() -> None:
    when = When(every_s=5)
    assert active(when, 4.9, 5) == [False, True]
    assert [when.occasion(t_s, {}, CHANCE) for t_s in (5, 9.9, 10, 31)] == [1, 1, 2, 6]


def test_jitter_moves_each_repetition_within_its_bounds() -> None:
    when = When(every_s=5, every_jitter_s=1)
    times = [t_s for _, t_s in islice(when.clock(CHANCE, 0), 200)]
    off = [t_s - 5 * ordinal for ordinal, t_s in enumerate(times, 1)]
    assert len(set(off)) == 200
    assert -1 <= min(off) < -0.9
    assert 0.9 < max(off) <= 1
    assert times == [t_s for _, t_s in islice(when.clock(CHANCE, 0), 200)]
    assert times != [t_s for _, t_s in islice(when.clock(Chance(1), 0), 200)]


repeating = st.builds(
    lambda every, share, jitter, at, begin: When(
        every_s=every,
        for_s=every * share,
        every_jitter_s=every * jitter,
        at_s=at,
        during_s=None if at is not None or begin is None else (begin, begin + 60),
    ),
    st.floats(1, 10),
    st.floats(0.01, 0.99),
    st.floats(0, 0.5),
    st.none() | st.floats(0, 20),
    st.none() | st.floats(0, 20),
)


def windows(when: When, chance: Chance, until_s: float) -> list[tuple[float, float]]:
    """The intervals of a repeating ``when``, from the times of its clock."""
    stop = when.during_s[1] if when.during_s is not None else float("inf")
    early = list(takewhile(lambda tick: tick[1] < until_s, when.clock(chance, 0)))
    return [(t_s, min(t_s + (when.for_s or 0), stop)) for _, t_s in early]


@settings(deadline=None)
@given(repeating, st.integers(0, 5), st.floats(0, 80))
def test_repeated_intervals_are_those_of_the_clock(when: When, seed: int, t_s: float) -> None:
    chance = Chance(seed)
    inside = [(begin, end) for begin, end in windows(when, chance, 100) if begin <= t_s < end]
    assert when.active(t_s, {}, chance) == bool(inside)


@settings(deadline=None)
@given(repeating, st.integers(0, 5), st.floats(0, 80))
def test_an_interval_lasts_exactly_until_its_end(when: When, seed: int, t_s: float) -> None:
    chance = Chance(seed)
    if not when.active(t_s, {}, chance):
        return
    end_s = when.window_end_s(t_s, {}, chance)
    assert end_s is not None
    assert end_s > t_s
    assert all(when.active(t_s + (end_s - t_s) * part, {}, chance) for part in (0.25, 0.5, 0.75))
    assert not when.active(end_s + 1e-9, {}, chance)


@pytest.mark.parametrize(
    ("given_times", "says"),
    [
        ({"at_s": -1}, "zero or more"),
        ({"at_s": float("nan")}, "zero or more"),
        ({"during_s": (5, 5)}, "ends before it begins"),
        ({"during_s": (5, 2)}, r"during \[5s, 2s\] ends before"),
        ({"during_s": (5, float("inf"))}, "no end"),
        ({"during_s": (1, 2), "at_s": 1}, "at and during"),
        ({"during_s": (1, 2), "for_s": 1}, "during says how long"),
        ({"for_s": 0}, "for is zero"),
        ({"every_s": 0}, "every is zero"),
        ({"every_jitter_s": 1}, "give every as well"),
        ({"every_s": 2, "for_s": 2}, "not shorter than every"),
        ({"every_s": 2, "every_jitter_s": 1.5}, "more than half of every"),
    ],
)
def test_times_that_contradict_each_other_are_refused(given_times: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        When(**given_times)

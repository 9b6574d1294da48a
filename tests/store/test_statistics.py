"""Against values worked out by hand, or printed in the literature."""

from __future__ import annotations

from math import comb

import pytest

from faultline.store.statistics import fisher, holm, mann_whitney, median, signed_rank

near = pytest.approx


def test_two_samples_apart_have_the_smallest_p_that_their_sizes_allow() -> None:
    # 3 and 3: of 20 arrangements one is as low and one as high as that.
    apart = mann_whitney([1, 2, 3], [4, 5, 6])
    assert (apart.p, apart.p_min, apart.effect) == (near(2 / 20), near(2 / 20), 1.0)
    assert mann_whitney([5, 6, 7, 8], [1, 2, 3, 4]).p == near(2 / comb(8, 4))
    assert mann_whitney([5, 6, 7, 8], [1, 2, 3, 4]).effect == -1.0


def test_two_samples_that_overlap() -> None:
    # After: 1, 4, 6 of the ranks 1 to 6. Rank sums 6 to 15, in 1 1 2 3 3 3 3 2 1 1 ways; at least 11: 10 of 20.
    assert mann_whitney([2, 3, 5], [1, 4, 6]).p == 1.0
    # After: 2, 5, 6 sum to 13; 4 of 20 are as high.
    half = mann_whitney([1, 3, 4], [2, 5, 6])
    assert half.p == near(2 * 4 / 20)
    # Pairs in which the later value is larger: 7 of 9; smaller: 2. (7 - 2) / 9.
    assert half.effect == near(5 / 9)


def test_ties_share_their_ranks() -> None:
    # Ranks 1.5 1.5 | 3.5 3.5: of 6 arrangements the lowest sum comes in one way.
    assert mann_whitney([1, 1], [2, 2]).p == near(2 / 6)
    alike = mann_whitney([4, 4, 4], [4, 4])
    assert (alike.p, alike.p_min, alike.effect) == (1.0, 1.0, 0.0)


def test_large_samples_go_by_the_normal_approximation() -> None:
    before, after = list(range(20)), [value + 0.5 for value in range(10, 30)]
    # 11 + 12 + ... + 20 + 10 * 20 = 355 of 400 pairs grew; mean 200, variance 20 * 20 * 41 / 12.
    # z = 154.5 / 36.968 = 4.1792, and p = erfc(z / sqrt 2).
    tested = mann_whitney(before, after)
    assert (tested.p, tested.effect) == (near(2.925e-5, rel=1e-3), near((355 - 45) / 400))
    assert mann_whitney([1.0] * 12, [1.0] * 12).p == 1.0


def test_pairs_that_all_grew() -> None:
    grew = signed_rank([1, 2, 3, 4, 5], [2, 4, 6, 8, 10])
    assert (grew.p, grew.p_min, grew.effect, grew.n_before) == (near(2 / 2**5), near(2 / 2**5), 1.0, 5)
    assert signed_rank([1, 2], [1, 2]).p_min == 1.0


def test_pairs_of_the_textbook() -> None:
    # Rank sums 18 and 27 of 45 over 9 differences: 324 of 512 signs are as far from the middle.
    before = [125, 115, 130, 140, 140, 115, 140, 125, 140, 135]
    after = [110, 122, 125, 120, 140, 124, 123, 137, 135, 145]
    tested = signed_rank(before, after)
    assert tested.effect == near((18 - 27) / 45)
    assert tested.p == near(324 / 512)


def test_many_pairs_go_by_the_normal_approximation() -> None:
    before = [float(value) for value in range(40)]
    after = [value + (value + 1) * (-1 if value < 10 else 1) for value in before]
    # Ranks 1 to 40, of which 1 to 10 fell: 55 against 765, mean 410, variance 40 * 41 * 81 / 24.
    # z = 354.5 / 74.398 = 4.7650.
    assert signed_rank(before, after).p == near(1.888e-6, rel=1e-2)


def test_shares_of_failures() -> None:
    # Fisher's tea: 3 of 4 against 1 of 4 is (16 + 1 + 16 + 1) / 70.
    assert fisher(3, 4, 1, 4) == near(34 / 70)
    assert fisher(0, 10, 5, 10) == near(2 * comb(10, 5) / comb(20, 5))
    assert fisher(1, 10, 11, 14) == near(0.0027594, rel=1e-4)
    assert fisher(0, 5, 0, 5) == 1.0


def test_many_tests_are_corrected_together_and_stay_in_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == near([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_middle() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5

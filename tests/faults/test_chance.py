from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from faultline.faults.chance import Chance


def test_equal_keys_draw_equally_and_other_keys_do_not() -> None:
    assert [Chance(1, "a").random() for _ in range(3)] == [Chance(1, "a").random()] * 3
    draws = {Chance(seed, name).random() for seed in range(20) for name in "ab"}
    assert len(draws) == 40


def test_one_purpose_draws_a_sequence() -> None:
    chance = Chance(7)
    first = [chance.random() for _ in range(5)]
    assert len(set(first)) == 5
    again = Chance(7)
    assert [again.random() for _ in range(5)] == first


def test_a_childs_draws_do_not_depend_on_what_was_drawn_before() -> None:
    parent = Chance(7, "rule")
    untouched = parent.child("point").random()
    for _ in range(10):
        parent.random()
        parent.child("other").random()
    assert parent.child("point").random() == untouched
    assert parent.child("point").child("deeper").random() != untouched


def test_draws_do_not_depend_on_when_the_parent_was_first_drawn_from() -> None:
    early = Chance(3)
    early.random()
    late = Chance(3)
    child = late.child("x")
    assert child.random() == early.child("x").random()


def test_draws_are_spread_evenly() -> None:
    draws = [Chance(0).child("point", ordinal).random() for ordinal in range(4000)]
    assert all(0 <= draw < 1 for draw in draws)
    tenths = [sum(1 for draw in draws if int(draw * 10) == tenth) for tenth in range(10)]
    assert all(320 <= count <= 480 for count in tenths), tenths
    pairs = list(pairwise(draws))
    assert 0.2 < sum(1 for a, b in pairs if a < 0.5 and b < 0.5) / len(pairs) < 0.3


@pytest.mark.parametrize("probability", [0.02, 0.3, 0.5, 0.97])
def test_hits_as_often_as_asked(probability: float) -> None:
    hits = sum(Chance(5).child(ordinal).hits(probability) for ordinal in range(4000)) / 4000
    assert abs(hits - probability) < 4 * (probability * (1 - probability) / 4000) ** 0.5


def test_certainties_take_no_draw() -> None:
    chance = Chance(5)
    assert chance.hits(1)
    assert not chance.hits(0)
    assert chance.random() == Chance(5).random()


def test_a_choice_reaches_every_option() -> None:
    chosen = [Chance(2).child(ordinal).chosen("abc") for ordinal in range(300)]
    assert min(chosen.count(letter) for letter in "abc") > 70


def test_uniform_stays_in_its_range() -> None:
    draws = [Chance(2).child(ordinal).uniform(-2, 3) for ordinal in range(500)]
    assert min(draws) >= -2
    assert max(draws) < 3
    assert abs(sum(draws) / 500 - 0.5) < 0.25


def test_draws_are_the_same_in_another_process() -> None:
    code = "from faultline.faults.chance import Chance; print(Chance(1, 'rule', 'x').child(('p', 2)).random())"
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "17", "PYTHONPATH": ":".join(sys.path)},
    )
    assert float(other.stdout) == Chance(1, "rule", "x").child(("p", 2)).random()

"""What counts as a kill, and what a matrix makes of it."""

from __future__ import annotations

import pytest

from faultline.cli import exits
from faultline.mutants import Matrix, Mutant, Patch, Result, Trial, Tried
from faultline.mutants.matrix import document, text


def breaks_a_rule(patch: Patch) -> None:
    """Breaks a rule."""


def mutant(id: str = "M1", **more: object) -> Mutant:
    given = {"component": "Order", "plant": breaks_a_rule, "witness": "w.yaml", "expected": ("a",), **more}
    return Mutant(id, **given)  # type: ignore[arg-type]


def result(failed: str = "", passed: str = "", refuted: str = "", *, without: str = "", **more: object) -> Result:
    trial = Trial(0, ("a", "b"), tuple(failed), tuple(passed), tuple(refuted), error=str(more.pop("error", "")))
    return Result(mutant(**more), Tried((trial,), tuple(without)))


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (result("a", "ab"), "killed"),
        (result("ab", "ab"), "killed"),
        (result("b", "ab"), "misjudged"),
        (result("a", "b"), "survived"),
        (result("", "ab"), "survived"),
        (result("a", "a", "b"), "refuted"),
        (result(error="it hangs"), "broken"),
        (Result(mutant(witness=None, note="it is the same")), "unwitnessed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_kill_is_differential_and_for_the_right_reason(found: Result, outcome: str) -> None:
    assert found.outcome == outcome


def test_one_seed_that_kills_is_enough_and_one_that_refutes_is_too_many() -> None:
    kills = Trial(0, ("a",), ("a",), ("a",))
    lives = Trial(1, ("a",), (), ("a",))
    assert Result(mutant(), Tried((lives, kills))).outcome == "killed"
    assert Result(mutant(), Tried((kills, Trial(2, ("a",), (), (), ("a",))))).outcome == "refuted"


def matrix(*results: Result, recorded: str = "") -> Matrix:
    return Matrix(results, dict.fromkeys(recorded.split(), ("a",)))


def test_only_what_was_killed_before_is_a_regression() -> None:
    survivor, seen_by_another = result("", "ab"), result("b", "ab")
    assert exits.of_matrix(matrix(survivor, seen_by_another)) == exits.OK
    assert exits.of_matrix(matrix(survivor, recorded="M1")) == exits.FAILED
    assert exits.of_matrix(matrix(seen_by_another, recorded="M1")) == exits.FAILED
    assert exits.of_matrix(matrix(result("a", "a"), recorded="M1")) == exits.OK


def test_a_mutant_that_needs_no_fault_has_to_say_so() -> None:
    assert exits.of_matrix(matrix(result("a", "a", without="a"))) == exits.FAILED
    assert exits.of_matrix(matrix(result("a", "a", without="a", fault_free=True))) == exits.OK
    assert "Not said to need no fault" in text(matrix(result("a", "a", without="a")))


def test_what_proves_nothing_is_inconclusive() -> None:
    for undecided in (result("a", "a", "b"), result(error="it hangs")):
        assert exits.of_matrix(matrix(undecided)) == exits.INCONCLUSIVE
    assert exits.of_matrix(matrix()) == exits.INCONCLUSIVE


def test_the_score_leaves_out_what_has_no_witness() -> None:
    whole = matrix(
        result("a", "ab", wasabi="IF"),
        result("", "ab", id="M2", component="Token", note="nobody looks"),
        Result(mutant("M3", witness=None, note="it is the same", wasabi="HOW")),
    )
    assert {name: str(score) for name, score in whole.by_component.items()} == {"Order": "1/1", "Token": "0/1"}
    assert {name: str(score) for name, score in whole.by_class.items()} == {"IF": "1/1", "not of retrying": "0/1"}
    assert whole.record() == {"M1": ("a",)}
    shown = text(whole)
    assert "M1   O.   killed" in shown
    assert "nobody looks" in shown
    assert "it is the same" in shown
    assert "Killed: 1/2 of 2 mutants with a witness" in shown
    assert [each["outcome"] for each in document(whole, 0)["mutants"]] == ["killed", "survived", "unwitnessed"]


def test_a_mutant_without_a_witness_says_why() -> None:
    with pytest.raises(ValueError, match="M1 has no witness"):
        mutant(witness=None)
    with pytest.raises(ValueError, match="expects no oracle"):
        mutant(expected=())


class Base:
    rate = 1

    @property
    def double(self) -> int:
        return 2 * self.rate


class Derived(Base):
    pass


def test_a_patch_is_undone_to_the_letter() -> None:
    before = dict(vars(Base)), dict(vars(Derived))
    patch = Patch()
    patch.set(Derived, "rate", 5)
    patch.wrap(Base, "double", lambda double: property(lambda self: double.fget(self) + 1))
    patch.set(Derived, "rate", 7)
    assert (Derived().rate, Derived().double) == (7, 15)
    patch.undo()
    assert (dict(vars(Base)), dict(vars(Derived))) == before


def test_a_bug_is_gone_when_the_run_is_over_and_also_when_it_broke() -> None:
    planted = mutant(plant=lambda patch: patch.set(Base, "rate", 9))
    with pytest.raises(ZeroDivisionError), planted.planted():
        assert Base.rate == 9
        raise ZeroDivisionError
    assert Base.rate == 1


def test_what_is_not_there_cannot_be_patched() -> None:
    with pytest.raises(AttributeError):
        Patch().set(Base, "misspelt", 1)

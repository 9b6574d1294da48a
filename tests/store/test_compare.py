from __future__ import annotations

from dataclasses import replace

import pytest

from faultline.store import told
from faultline.store.address import Address
from faultline.store.compare import Comparison, compare
from faultline.store.results import Results
from tests.store.kit import One, recorded

near = pytest.approx


def latest_two(results: Results) -> Comparison:
    return compare(results, results.find("latest~1"), results.find("latest"))


def kinds(found: Comparison) -> dict[str, str]:
    return {change.case.scenario + ("" if change.what == "no_duplicates" else f" {change.what}"): change.kind
            for change in found.changes}  # fmt: skip


def test_new_fixed_and_still_failing(either: Address) -> None:
    results = Results(either)
    known = {"no_duplicates": "a fresh key for each retry"}
    recorded(results, One("a"), One("b", fails=[0]), One("c", fails=[0]), One("d"), One("gone", fails=[0]),
             One("s", fails=[1], stated=known), One("t", fails=[1]), One("u", fails=[1]), day=0)  # fmt: skip
    recorded(results, One("a", fails=[0, 2]), One("b"), One("c", fails=[1]), One("d"), One("added", fails=[1]),
             One("s", fails=[2], stated=known), One("t", fails=[1], stated=known), One("u", status="unfinished"),
             day=1)  # fmt: skip
    found = latest_two(results)
    assert kinds(found) == {"a": "new", "added": "new", "b": "fixed", "c": "still failing", "t": "still failing"}
    assert ([case.scenario for case in found.gone], [case.scenario for case in found.added]) == (["gone"], ["added"])
    assert (found.comparable, found.worse, found.shared) == (True, True, 7)
    a, added, *_ = found.changes
    assert (a.before.failed, a.before.runs, a.after.failed, a.after.runs, a.p) == (0, 3, 2, 3, None)
    assert (added.before.runs, added.p) == (0, None)
    assert a.since == found.after
    assert {change.case.scenario: change.since for change in found.changes}["c"] == found.before
    lines = told.comparison(found)
    assert "    failed: before 0 of 3 runs, after 2 of 3 runs (the same seeds)" in lines
    assert "    failed: before did not run, after 1 of 3 runs" in lines
    assert "    the scenario states it as a known failure now" in lines
    assert lines[-1] == "worse: 2 new"


def test_a_case_that_breaks_or_proves_nothing_is_worse_too(results: Results) -> None:
    recorded(results, One("a"), One("b"), One("c"), day=0)
    recorded(results, One("a", error="boom"), One("b", status="inconclusive", doubts=("never fired",)),
             One("c", unmet=("no_loss",)), day=1)  # fmt: skip
    found = latest_two(results)
    assert kinds(found) == {"a broke": "new", "b inconclusive": "new", "c no_loss did not fail as stated": "new"}
    assert any("of the case as a whole" in line for line in told.comparison(found))


def test_nothing_shared_is_not_comparable(results: Results) -> None:
    recorded(results, One("a"), day=0)
    recorded(results, One("a", target="other"), One("a", world="live"), day=1)
    found = latest_two(results)
    assert (found.comparable, found.worse) == (False, False)
    assert told.comparison(found)[-1] == "not comparable: no scenario ran against the same target in both"


def test_what_comes_and_goes_is_flaky_and_a_bug_that_was_mended_is_not(results: Results) -> None:
    for day, failing in enumerate([True, False, True, False, True]):
        once = [0] if day in (1, 2) else []
        recorded(results, One("flaky", fails=[0] if failing else []), One("once", fails=once), day=day)
    found = latest_two(results)
    assert kinds(found) == {"flaky": "flaky"}
    assert found.changes[0].why_flaky == "changed 4 times in the last 5 runs of it"
    assert not found.worse
    assert kinds(compare(results, results.find("latest~2"), results.find("latest~1"))) == {
        "flaky": "flaky", "once": "fixed",
    }  # fmt: skip


def test_a_seed_that_went_another_way_is_flaky(results: Results) -> None:
    recorded(results, One(), day=0)
    recorded(results, One(fails=[0], differs=True), day=1)
    (change,) = latest_two(results).changes
    assert (change.kind, change.why_flaky) == ("flaky", "the same seed, run again, went another way")


@pytest.mark.parametrize(("world", "seeds"), [("sim", range(100, 110)), ("live", range(10))])
def test_where_chance_plays_a_part_its_share_is_told(results: Results, world: str, seeds: range) -> None:
    recorded(results, One(seeds=range(10), world=world), day=0)
    recorded(results, One(seeds=seeds, fails=[seeds[0]], world=world), day=1)
    found = latest_two(results)
    (change,) = found.changes
    assert (change.kind, change.p, found.worse) == ("new", 1.0, True)
    assert any("(Fisher: p = 1.000, may be chance)" in line for line in told.comparison(found))


def latency(results: Results, before: dict[int, float], after: dict[int, float]) -> Comparison:
    day = 2 * len(results.entries())
    recorded(results, One(seeds=before, latency_ms=before), day=day)
    recorded(results, One(seeds=after, latency_ms=after), day=day + 1)
    return latest_two(results)


def test_latency_that_grew_under_the_same_seeds_is_found_in_pairs(results: Results) -> None:
    found = latency(results, {n: 100.0 + 40 * n for n in range(12)}, {n: 112.0 + 43 * n for n in range(12)})
    (half, whole) = found.grown
    assert (half.figure, whole.figure, found.worse) == ("median latency", "99 % latency", True)
    assert (whole.before_ms, whole.after_ms) == (near(320.0), near(348.5))
    assert (whole.tested.method, whole.tested.p, whole.tested.effect) == ("Wilcoxon", near(2 / 2**12), 1.0)
    assert whole.p == near(2 * 2 / 2**12)
    (line,) = [line for line in told.comparison(found) if "99 % latency" in line]
    assert line.endswith("320.0 -> 348.5 ms   Wilcoxon, n = 12, p < 0.001 (Holm), effect +1.00")
    assert told.comparison(found)[-1] == "worse: 2 slower"


def test_under_other_seeds_two_samples_are_compared(results: Results) -> None:
    found = latency(results, {n: 100.0 + n for n in range(12)}, {n + 100: 150.0 + n for n in range(12)})
    assert [shift.tested.method for shift in found.grown] == ["Mann-Whitney"] * 2
    assert (found.grown[0].tested.n_before, found.grown[0].tested.effect) == (12, 1.0)


def test_noise_and_what_is_too_small_to_matter_are_not_worse(results: Results) -> None:
    base = {n: 100.0 + 7 * n for n in range(12)}
    noisy = latency(results, base, {n: value + (15 if n % 2 else -14) for n, value in base.items()})
    assert ([shift.kind for shift in noisy.shifts], noisy.worse) == (["noise"] * 2, False)
    small = latency(results, base, {n: value * 1.02 for n, value in base.items()})
    assert ([shift.kind for shift in small.shifts], small.worse) == (["noise"] * 2, False)
    faster = latency(results, base, {n: value / 2 for n, value in base.items()})
    assert ([shift.kind for shift in faster.shifts], faster.worse) == (["fell"] * 2, False)
    same = latency(results, base, base)
    assert (same.shifts, same.worse) == ((), False)
    assert "latency and recovery: no figure changed" in told.comparison(same)


def test_too_few_runs_are_said_to_be_too_few(results: Results) -> None:
    found = latency(results, dict.fromkeys(range(4), 100.0), dict.fromkeys(range(4), 300.0))
    assert ({shift.kind for shift in found.shifts}, found.worse) == ({"too few"}, False)
    lines = told.comparison(found)
    assert "too few runs to tell: 2 figures that changed; run more seeds" in lines
    assert any(line.startswith("  perhaps orders · careful") and "100.0 -> 300.0 ms" in line for line in lines)


def test_what_slows_everything_down_a_little_shows_in_all_cases_together(results: Results) -> None:
    cases = [One(f"case{n}", seeds=range(3), latency_ms=50.0 + 20 * n, recovery_ms=500.0) for n in range(12)]
    recorded(results, *cases, day=0)
    slower = [replace(case, latency_ms=case.latency_ms * 1.2, recovery_ms=800.0) for case in cases]  # type: ignore[operator]
    recorded(results, *slower, day=1)
    found = latest_two(results)
    assert {(shift.label, shift.figure) for shift in found.grown} == {
        ("all cases together", figure) for figure in ("median latency", "99 % latency", "recovery")
    }
    assert {round(shift.after_ms) for shift in found.grown} == {120, 160}
    assert any("100.0 -> 160.0 %" in line for line in told.comparison(found))

from __future__ import annotations

from faultline.oracles import Evidence, NotVacuous, Verdict, inconclusive
from faultline.oracles.vacuity import fired


def run(seed=0, fired=(), **verdicts):
    """Evidence with verdicts given as ``oracle=("pass", judged)``."""
    given = tuple(Verdict(name, verdict, judged, f"{name} says") for name, (verdict, judged) in verdicts.items())
    return Evidence(seed, frozenset(fired), given)


def test_a_run_in_which_a_fault_struck_is_not_vacuous(story):
    verdict = NotVacuous().judge(story.struck().end())

    assert (verdict.verdict, verdict.why) == ("pass", "1 strike")


def test_a_run_in_which_nothing_struck_is_unknown_and_not_a_failure(story):
    verdict = NotVacuous().judge(story.good_order(1).end())

    assert (verdict.verdict, verdict.why) == ("unknown", "no fault struck in this run")


def test_a_declared_fault_that_did_not_strike_makes_the_run_unknown(story):
    verdict = NotVacuous(("lost_response", "disconnect")).judge(story.struck("lost_response").end())

    assert (verdict.verdict, verdict.why) == ("unknown", "never fired in this run: disconnect")


def test_faults_are_known_by_their_name_in_the_plan_and_by_their_kind(story):
    assert fired(story.struck("lost_response#2").end()) == {"lost_response#2", "lost_response"}


def test_a_scenario_whose_faults_fired_and_whose_oracles_judged_is_conclusive():
    runs = [run(1, ["lost_response"], a=("unknown", 0)), run(2, ["disconnect"], a=("pass", 3))]

    assert inconclusive(["lost_response", "disconnect"], ["a"], runs) == ()


def test_a_fault_that_never_fired_over_all_seeds_is_named():
    runs = [run(seed, ["lost_response"], a=("pass", 1)) for seed in range(3)]

    assert inconclusive(["lost_response", "disconnect"], ["a"], runs) == ("fault disconnect never fired in 3 runs",)


def test_an_oracle_that_judged_nothing_in_any_run_is_named():
    runs = [run(seed, ["x"], a=("unknown", 0)) for seed in range(3)]

    assert inconclusive(["x"], ["a"], runs) == ("a judged nothing in 3 runs: a says",)


def test_an_oracle_that_was_never_asked_is_named():
    assert inconclusive([], ["a"], [run()]) == ("a judged nothing in the one run: it was never asked",)


def test_an_oracle_in_doubt_in_one_run_is_named_even_if_it_passed_in_others():
    runs = [run(1, a=("pass", 3)), run(7, a=("unknown", 3))]

    assert inconclusive([], ["a"], runs) == ("a could not tell in 1 of 2 runs (seed 7: a says)",)


def test_a_failure_is_conclusive():
    assert inconclusive([], ["a"], [run(1, a=("fail", 3))]) == ()


def test_the_evidence_of_a_run_is_taken_from_its_history(story):
    history = story.struck("lost_response#1").end()
    verdict = NotVacuous().judge(history)

    evidence = Evidence.of(history, [verdict], seed=5)

    assert evidence == Evidence(5, frozenset({"lost_response", "lost_response#1"}), (verdict,))

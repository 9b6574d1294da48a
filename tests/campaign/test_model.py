"""A case is judged as a whole."""

from __future__ import annotations

from collections.abc import Callable

from faultline.campaign.model import Case, CaseResult, RunRecord, target_label
from faultline.faults import LostResponse
from faultline.targets import TargetRef
from faultline.worlds.command import Command

MakeCase = Callable[..., Case]
Record = Callable[..., RunRecord]


def result(case: Case, *runs: RunRecord) -> CaseResult:
    return CaseResult(case, runs)


def test_it_passes_when_every_run_does(case: MakeCase, record: Record) -> None:
    assert result(case(), record(0), record(1), record(2)).status == "pass"


def test_one_failing_run_fails_it(case: MakeCase, record: Record) -> None:
    failed = result(case(), record(0), record(1, "two"), record(2, "one", "two"))
    assert failed.status == "fail"
    assert failed.unexpected == {"two": (1, 2), "one": (2,)}


def test_a_stated_failure_has_to_happen_in_one_run_at_least(case: MakeCase, record: Record) -> None:
    stated = case(fails={"one": "why"})
    assert result(stated, record(0), record(1, "one"), record(2)).status == "pass"
    unmet = result(stated, record(0), record(1), record(2))
    assert (unmet.status, unmet.unmet) == ("fail", ("one",))


def test_a_stated_failure_excuses_no_other(case: MakeCase, record: Record) -> None:
    failed = result(case(fails={"one": ""}), record(0, "one", "two"), record(1), record(2))
    assert (failed.status, dict(failed.unexpected)) == ("fail", {"two": (0,)})


def test_what_may_fail_may_also_pass_or_not_tell(case: MakeCase, record: Record) -> None:
    free = case(may_fail=("one",))
    assert result(free, record(0, "one"), record(1), record(2)).status == "pass"
    assert result(free, *(record(seed, unknown=("one",)) for seed in range(3))).status == "pass"


def test_an_oracle_that_judged_nothing_makes_it_inconclusive(case: MakeCase, record: Record) -> None:
    idle = result(case(), *(record(seed, unknown=("two",)) for seed in range(3)))
    assert idle.status == "inconclusive"
    assert "two judged nothing" in idle.doubts[0]


def test_a_target_that_fails_as_stated_need_not_meet_every_fault(case: MakeCase, record: Record) -> None:
    stated = case(fails={"one": "why"}, faults=[LostResponse(), LostResponse()])
    assert result(stated, record(0, "one"), record(1), record(2)).status == "pass"


def test_a_fault_that_never_fired_makes_it_inconclusive(case: MakeCase, record: Record) -> None:
    lossy = case(faults=[LostResponse(), LostResponse()])
    once = result(lossy, record(0, fired=("lost_response",)), record(1), record(2))
    assert once.status == "inconclusive"
    assert once.doubts == ("fault lost_response#2 never fired in 3 runs",)
    both = result(lossy, record(0, fired=("lost_response",)), record(1, fired=("lost_response#2",)), record(2))
    assert both.status == "pass"


def test_a_run_that_broke_is_worse_than_one_that_failed(case: MakeCase, record: Record) -> None:
    broken = result(case(), record(0, "one"), record(1, error="SimEscape"), record(2))
    assert broken.status == "broken"
    assert [run.seed for run in broken.broken] == [1]


def test_a_worker_that_was_lost_breaks_it(case: MakeCase, record: Record) -> None:
    assert CaseResult(case(), (record(0), record(1)), lost=("it died",)).status == "broken"


def test_an_unfinished_case_is_no_pass_and_states_nothing(case: MakeCase, record: Record) -> None:
    unfinished = result(case(fails={"one": ""}), record(0), record(1))
    assert (unfinished.status, unfinished.unmet, unfinished.doubts) == ("unfinished", (), ())
    assert result(case(), record(0, "two")).status == "fail"


def test_a_target_is_called_by_its_name_or_by_its_class() -> None:
    assert target_label(TargetRef("naive", "a/b.py:Naive")) == "naive"
    assert target_label(TargetRef("default", "a/b.py:Naive")) == "Naive"
    assert target_label(TargetRef("given", "a/b.py:Naive")) == "Naive"
    line = Command(("node", "client.js", "--url", "http://a:80", "x" * 100))
    assert target_label(TargetRef("default", line.spec, "", line)) == f"node client.js --url http://a:80 {'x' * 7}"

"""Who runs what and when; the runs themselves are played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from faultline.campaign import conduct
from faultline.campaign.conductor import WAITING_RUNS_PER_PROCESSOR, workers_for
from faultline.campaign.model import Campaign, Case, CaseResult, Failure, RunRecord
from faultline.search.executors import Inline

MakeCase = Callable[..., Case]
Record = Callable[..., RunRecord]


class Log:
    """A watcher that writes down what it is told, and a stage on which runs are played."""

    def __init__(self, record: Record) -> None:
        self.told: list[str] = []
        self.ran_seeds: list[tuple[str, int]] = []
        self.explained: list[tuple[str, int, str]] = []
        self.failing: dict[tuple[str, int], tuple[str, ...]] = {}
        self.broken: dict[tuple[str, int], str] = {}
        self.interrupt_at: tuple[str, int] | None = None
        self._record = record

    def ran(self, case: Case, records: Sequence[RunRecord]) -> None:
        self.told.append(f"ran {len(records)} of {case.scenario.name}")

    def explaining(self, case: Case, seed: int) -> None:
        self.told.append(f"explaining {seed} of {case.scenario.name}")

    def finished(self, result: CaseResult) -> None:
        self.told.append(f"{result.case.scenario.name}: {result.status}")

    def run_seeds(self, case: Case, seeds: Sequence[int], keep_receipts: bool, fail_fast: bool) -> list[RunRecord]:
        records = []
        for seed in seeds:
            key = (case.scenario.name, seed)
            if key == self.interrupt_at:
                raise KeyboardInterrupt
            self.ran_seeds.append(key)
            records.append(self._record(seed, *self.failing.get(key, ()), error=self.broken.get(key, "")))
        return records

    def explain(self, case: Case, record: RunRecord, oracle: str, folder: Path) -> Failure:
        self.explained.append((case.scenario.name, record.seed, oracle))
        return Failure(oracle, record.seed, stated=case.expectation.fails.get(oracle))

    def conduct(self, *cases: Case, jobs: int = 1, **options: bool) -> Campaign:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("faultline.campaign.conductor.run_seeds", self.run_seeds)
            patch.setattr("faultline.campaign.conductor.explain", self.explain)
            patch.setattr("faultline.campaign.conductor.executor", lambda *_: Inline())
            return conduct(cases, self, folder=Path("nowhere"), jobs=jobs, **options)


@pytest.fixture
def log(record: Record) -> Log:
    return Log(record)


def test_every_seed_of_every_case_is_run_once(log: Log, case: MakeCase) -> None:
    campaign = log.conduct(case("a", 12), case("b", 3))
    assert log.ran_seeds == [("a", seed) for seed in range(12)] + [("b", seed) for seed in range(3)]
    assert [result.status for result in campaign.results] == ["pass", "pass"]
    assert (campaign.run_count, campaign.receipt_count, campaign.planned) == (15, 30, 2)
    assert log.told[-1] == "b: pass"


def test_runs_that_mostly_wait_go_on_side_by_side(case: MakeCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultline.campaign.conductor.processors", lambda: 2)
    few, many = case(seeds=3), case(seeds=200)
    assert (workers_for([few]), workers_for([many])) == (1, 2)

    def live(simulated: Case) -> Case:
        return replace(simulated, scenario=replace(simulated.scenario, world="live"))

    assert workers_for([live(few)]) == 3
    assert workers_for([live(many)]) == 2 * WAITING_RUNS_PER_PROCESSOR


def test_the_first_failing_oracle_is_explained_by_its_lowest_seed(log: Log, case: MakeCase) -> None:
    log.failing = {("a", 2): ("two",), ("a", 4): ("one", "two"), ("b", 1): ("one",)}
    campaign = log.conduct(case("a", 6), case("b", 2))
    assert log.explained == [("a", 2, "two"), ("b", 1, "one")]
    assert [failure.oracle for failure in campaign.results[0].failures] == ["two"]


def test_stated_failures_are_explained_only_when_all_are_wanted(log: Log, case: MakeCase) -> None:
    log.failing = {("a", 1): ("one", "two")}
    stated = case("a", 3, fails={"one": "because"})
    assert log.conduct(stated).results[0].failures[0].oracle == "two"
    log.explained.clear()
    campaign = log.conduct(stated, explain_all=True)
    assert sorted(log.explained) == [("a", 1, "one"), ("a", 1, "two")]
    assert [(failure.oracle, failure.stated) for failure in campaign.results[0].failures] == [
        ("one", "because"),
        ("two", None),
    ]


def test_a_case_is_reported_after_its_failure_is_explained(log: Log, case: MakeCase) -> None:
    log.failing = {("a", 0): ("one",)}
    log.conduct(case("a", 2), case("b", 2))
    assert log.told.index("explaining 0 of a") < log.told.index("a: fail") < log.told.index("b: pass")


def test_fail_fast_begins_nothing_after_the_first_failure(log: Log, case: MakeCase) -> None:
    log.failing = {("b", 0): ("one",)}
    campaign = log.conduct(case("a", 2), case("b", 40), case("c", 2), fail_fast=True)
    assert {name for name, _ in log.ran_seeds} == {"a", "b"}
    assert len(log.ran_seeds) < 10
    assert log.explained == [("b", 0, "one")]
    assert [result.status for result in campaign.results] == ["pass", "fail"]
    assert campaign.planned == 3


def test_fail_fast_still_explains_what_failed_at_the_same_time(log: Log, case: MakeCase) -> None:
    log.failing = {("a", 0): ("one",), ("b", 0): ("two",)}
    campaign = log.conduct(case("a", 1), case("b", 1), jobs=2, fail_fast=True)
    assert sorted(log.explained) == [("a", 0, "one"), ("b", 0, "two")]
    assert [len(result.failures) for result in campaign.results] == [1, 1]


def test_a_stated_failure_is_no_reason_to_stop(log: Log, case: MakeCase) -> None:
    log.failing = {("a", 0): ("one",)}
    campaign = log.conduct(case("a", 2, fails={"one": ""}), case("b", 2), fail_fast=True)
    assert [result.status for result in campaign.results] == ["pass", "pass"]


def test_an_interruption_keeps_what_there_is(log: Log, case: MakeCase) -> None:
    log.interrupt_at = ("b", 5)
    campaign = log.conduct(case("a", 3), case("b", 20), case("c", 2))
    assert campaign.interrupted
    assert [(result.case.scenario.name, result.status) for result in campaign.results] == [
        ("a", "pass"),
        ("b", "unfinished"),
    ]
    assert log.told[-1] == "b: unfinished"
    assert campaign.planned == 3


def test_a_target_that_hangs_is_not_run_again(log: Log, case: MakeCase) -> None:
    log.broken = {("a", 1): "SimHang"}
    campaign = log.conduct(case("a", 50), case("b", 2))
    assert len([name for name, _ in log.ran_seeds if name == "a"]) <= 5
    assert [result.status for result in campaign.results] == ["broken", "pass"]


def test_a_run_that_broke_is_explained_without_an_oracle(log: Log, case: MakeCase) -> None:
    log.broken = {("a", 1): "SimEscape", ("a", 2): "SimEscape"}
    log.conduct(case("a", 3))
    assert log.explained == [("a", 1, "")]

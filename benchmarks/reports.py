"""What reports cost, and how right they are: the page of a large run, a suite's documents, recording, a known delay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.figure import REAL, Figure
from benchmarks.oracles import history_of
from benchmarks.runs import checked
from faultline.campaign import Campaign, Case, CaseResult
from faultline.campaign.work import record_of
from faultline.history import History
from faultline.history.event import Event
from faultline.history.operations import operations, requests
from faultline.plan import Plan, make_plan
from faultline.reports import agent, document, json, page, trace
from faultline.reports.shown import of_history
from faultline.runner import Run, judge, run
from faultline.scenario.load import load, loads
from faultline.targets import TargetRef

OPERATIONS: Final = 10_000
SUITE_CASES: Final = 20
SUITE_RUNS: Final = 10
REPETITIONS: Final = 5
ROOT: Final = Path(__file__).resolve().parent.parent
MEANING: Final = "every verdict as expected"

LIVE: Final = """
version: 1
name: orders over real sockets
target: targets/order_flow.py:OrderFlow
venue: {profile: generic}
world: live
seeds: 1
workload: {orders: 10, rate: 20/s, linger: 1s, tail: 10s}
faults:
  - %s
expect: [no_duplicates]
"""
UNTOUCHED: Final = "latency: {on: '*', delay: 0ms, during: [0s, 100ms]}"
DELAYED: Final = "late_request: {on: POST /orders, by: 50ms, probability: 100%, during: [0s, 1s]}"


def figures() -> Iterator[Figure]:
    """The page, a suite, a live run."""
    yield from _large()
    yield from _suite()
    yield from _live()


def _least_ms(make: Callable[[], object]) -> float:
    took = []
    for _ in range(REPETITIONS):
        began_s = REAL.wall_s()
        make()
        took.append(REAL.wall_s() - began_s)
    return min(took) * 1000


def _report() -> document.Report:
    plan = _suite_plan()
    result = CaseResult(Case(plan.scenario, plan.target, (0,)), ())
    return json.document(Campaign((result,), 1, False, 1.0), 0, MEANING)


def _large() -> Iterator[Figure]:
    history = history_of(OPERATIONS)
    assert len(operations(history)) == OPERATIONS
    shown = of_history(history, (), None, "")
    report = _report()
    text = page.text(report, [shown])
    yield Figure("reports.page_of_10k_operations", _least_ms(lambda: page.text(report, [shown])) / 1000, "s", "< 1")
    yield Figure("reports.size_of_that_page", len(text.encode()) / 1000, "kB", "< 300")
    yield Figure("reports.trace_of_10k_operations", _least_ms(lambda: trace.text(history)) / 1000, "s")


def _suite() -> Iterator[Figure]:
    """A suite as one has it: so many scenarios under so many seeds each, and one run of it as a page."""
    plan = _suite_plan()
    done = checked(run(plan, 0))
    record = record_of(done, 0.06, keep_receipts=True)
    case = Case(plan.scenario, plan.target, tuple(range(SUITE_RUNS)))
    runs = tuple(replace(record, seed=seed) for seed in case.seeds)
    campaign = Campaign(tuple(CaseResult(case, runs) for _ in range(SUITE_CASES)), SUITE_CASES, False, 12.0)
    shown = of_history(done.history, done.verdicts, None, "")
    report = json.document(campaign, 0, MEANING)

    def everything() -> None:
        made = json.document(campaign, 0, MEANING)
        page.text(made, [shown])
        agent.text(made)

    yield Figure("reports.suite_page_and_summary", _least_ms(everything), "ms", "< 100")
    yield Figure("reports.suite_json", _least_ms(lambda: document.text(report)), "ms", "< 10")
    yield Figure("reports.suite_summary_json", _least_ms(lambda: agent.text(report)), "ms", "< 10")
    yield Figure("reports.judging_that_run_again", _least_ms(lambda: judge(done.history, plan.scenario.expect)), "ms")


def _suite_plan() -> Plan:
    (scenario,) = load(ROOT / "benchmarks" / "runs.yaml")
    return make_plan(scenario, TargetRef("careful", str(ROOT / scenario.targets["careful"])))


def _plan(fault: str) -> Plan:
    (scenario,) = loads(LIVE % fault, str(ROOT / "live.yaml"))
    return make_plan(scenario, TargetRef("careful", str(ROOT / "targets" / "order_flow.py") + ":OrderFlow"))


def _live() -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        plain, cost_s, wall_s, cpu_s = _timed(_plan(UNTOUCHED), Path(folder) / "history.jsonl")
    yield Figure("reports.recording_of_a_live_run", 100 * cost_s / wall_s, "% of its time", "< 2")
    yield Figure("reports.recording_of_processor_time", 100 * cost_s / cpu_s, "% of it")
    delayed = run(_plan(DELAYED), 0)
    added_s = _least_s(delayed) - _least_s(plain)
    yield Figure("reports.delay_of_50_ms_as_measured", added_s * 1000, "ms", "49 to 51")


def _least_s(done: Run) -> float:
    if done.error is not None:
        raise done.error
    orders = [each for each in requests(done.history) if each.endpoint == "POST /orders"]
    # The least: on a busy machine the sleep that delays is itself late.
    return min(each.end_t - each.t for each in orders if each.end_t is not None)


def _timed(plan: Plan, path: Path) -> tuple[Run, float, float, float]:
    """A run, the time that writing its history took, and its whole time: real, and of the processor."""
    spent_s = 0.0
    append = History.append

    def timed(history: History, event: Event) -> None:
        nonlocal spent_s
        began_s = REAL.wall_s()
        append(history, event)
        spent_s += REAL.wall_s() - began_s

    History.append = timed  # type: ignore[method-assign, assignment]
    began_s, began_cpu_s = REAL.wall_s(), REAL.cpu_s()
    try:
        done = run(plan, 0, path=path)
    finally:
        History.append = append  # type: ignore[method-assign]
    return done, spent_s, REAL.wall_s() - began_s, REAL.cpu_s() - began_cpu_s

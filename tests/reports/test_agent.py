"""The summary for agents: its keys are fixed, its values are computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from faultline.campaign.model import Campaign, Case, CaseResult, RunRecord
from faultline.history.operations import Timing
from faultline.reports import agent
from faultline.reports import json as json_report
from tests.campaign.conftest import case, record  # noqa: F401  # fixtures

MakeCase = Callable[..., Case]
Record = Callable[..., RunRecord]
FAST = Timing(requests=3, request_max_s=0.004, messages=1, message_max_s=0.1)


@pytest.fixture
def results(case: MakeCase, record: Record) -> dict[str, CaseResult]:  # noqa: F811
    def runs(*failed: str, **more: object) -> tuple[RunRecord, ...]:
        return tuple(replace(record(seed, *failed, **more), timing=FAST) for seed in range(3))

    return {
        "pass": CaseResult(case("orders/good"), runs()),
        "fail": CaseResult(case("orders/bad"), runs("one")),
        "broken": CaseResult(case("orders/broke"), runs(error="boom")),
        "inconclusive": CaseResult(case("auth/vague"), runs(unknown=("one", "two"))),
    }


def summary(
    *results: CaseResult, code: int = 0, wall_s: float = 15.42, planned: int | None = None
) -> dict[str, object]:
    campaign = Campaign(results, len(results) if planned is None else planned, False, wall_s)
    found: dict[str, object] = json.loads(agent.text(json_report.document(campaign, code, "")))
    return found


def test_the_keys_in_their_order(results: dict[str, CaseResult]) -> None:
    found = summary(results["pass"])
    assert list(found) == [
        "exchange", "test_suite", "status", "total_tests", "passed", "failed", "errors", "duration_ms",
        "success_rate", "hft_compliant", "compliance_status",
    ]  # fmt: skip
    assert found["compliance_status"] == {
        "overall_compliant": True,
        "performance_compliant": True,
        "error_rate_compliant": True,
    }
    assert (found["status"], found["duration_ms"], found["success_rate"]) == ("PASSED", 15420, 1.0)


def test_every_value_follows_from_the_results(results: dict[str, CaseResult]) -> None:
    found = summary(*results.values(), code=3, wall_s=2.0, planned=5)
    assert {name: found[name] for name in list(found)[:10]} == {
        "exchange": "generic",
        "test_suite": ".",
        "status": "ERROR",
        "total_tests": 5,
        "passed": 1,
        "failed": 1,
        "errors": 1,
        "duration_ms": 2000,
        "success_rate": 0.2,
        "hft_compliant": False,
    }
    assert summary(results["pass"])["test_suite"] == "orders/good"
    assert summary(results["pass"], results["fail"])["test_suite"] == "orders"
    assert [summary(results["pass"], code=code)["status"] for code in (1, 4, 130)] == [
        "FAILED", "INCONCLUSIVE", "INTERRUPTED",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("timing", "compliant"),
    [
        (FAST, True),
        (replace(FAST, request_max_s=5.001), False),
        (replace(FAST, message_max_s=0.1004), False),
        (replace(FAST, message_max_s=None), True),
        (Timing(), False),  # nothing was measured
    ],
)
def test_performance_is_held_to_the_table(case: MakeCase, record: Record, timing: Timing, compliant: bool) -> None:  # noqa: F811
    runs = tuple(
        replace(record(seed), timing=timing if seed else FAST if timing != Timing() else timing) for seed in range(3)
    )
    found = summary(CaseResult(case("x"), runs))
    assert found["compliance_status"] == {
        "overall_compliant": compliant,
        "performance_compliant": compliant,
        "error_rate_compliant": True,
    }
    assert found["hft_compliant"] is compliant


def test_the_error_rate_has_its_bound(results: dict[str, CaseResult]) -> None:
    def steady(good: int, bad: int) -> bool:
        found = summary(*[results["pass"]] * good, *[results["fail"]] * bad, code=1)["compliance_status"]
        assert isinstance(found, dict)
        return bool(found["error_rate_compliant"])

    assert steady(19, 1)
    assert not steady(18, 1)
    assert not steady(0, 0)


def test_the_bounds_and_keys_are_those_of_the_page(results: dict[str, CaseResult]) -> None:
    written = (Path(__file__).parents[2] / "docs" / "reports.md").read_text()
    for threshold in agent.THRESHOLDS:
        assert f"| `{threshold.figure}` | {threshold.max_ms:,.0f} ms |" in written
    assert f"at least {agent.SUCCESS_RATE_MIN}" in written
    (example,) = [block for block in written.split("```json\n")[1:] if '"exchange"' in block]
    assert list(json.loads(example.split("```")[0])) == list(summary(results["pass"]))
    for status in agent.STATUS.values():
        assert f"`{status}`" in written

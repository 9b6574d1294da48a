"""The report in the few keys that an agent or a dashboard asks for: did it pass, how much, and was it fast enough.

Every value is computed from the results. A bound that nothing was measured against is not kept: what was not measured
is never compliant. Tests are what JUnit calls so: one for each scenario and target. One that proved nothing is neither
passed nor failed nor an error, and counts against the success rate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from os.path import commonpath
from typing import Any, Final, NamedTuple

from faultline.reports.document import Report, Result, Run


class Threshold(NamedTuple):
    """A bound: the key of a run's ``timing`` that it holds, and its value in milliseconds."""

    figure: str
    max_ms: float
    about: str


THRESHOLDS: Final = (
    Threshold("request_ms_max", 5000.0, "a request, from the client's send to its response"),
    Threshold("message_ms_max", 100.0, "a stream message, from the effect that it tells of to its sending"),
)
"""What performance has to keep to, in every run. Only what no fault touched is measured."""

SUCCESS_RATE_MIN: Final = 0.95

STATUS: Final = {0: "PASSED", 1: "FAILED", 3: "ERROR", 4: "INCONCLUSIVE", 130: "INTERRUPTED"}
"""The status by exit code."""


def summary(report: Report) -> dict[str, Any]:
    """The view. Its keys are fixed."""
    results = report.results
    passed = sum(result.status == "pass" for result in results)
    total = report.planned
    rate = passed / total if total else 0.0
    fast = performance_compliant(report.runs)
    steady = total > 0 and rate >= SUCCESS_RATE_MIN
    return {
        "exchange": ", ".join(_unique(result.venue for result in results)),
        "test_suite": _suite(results),
        "status": STATUS.get(report.exit_code, "ERROR"),
        "total_tests": total,
        "passed": passed,
        "failed": sum(result.status == "fail" for result in results),
        "errors": sum(result.status == "broken" for result in results),
        "duration_ms": round(report.wall_s * 1000),
        "success_rate": round(rate, 4),
        "hft_compliant": fast and steady,
        "compliance_status": {
            "overall_compliant": fast and steady,
            "performance_compliant": fast,
            "error_rate_compliant": steady,
        },
    }


def text(report: Report) -> str:
    """The view as JSON."""
    return json.dumps(summary(report), indent=2, ensure_ascii=False)


def performance_compliant(runs: Iterable[Run]) -> bool:
    """Whether something was measured, and every figure of every run keeps to its bound."""
    measured = [
        (value, threshold.max_ms)
        for run in runs
        for threshold in THRESHOLDS
        if (value := getattr(run.timing, threshold.figure)) is not None
    ]
    return bool(measured) and all(value <= bound for value, bound in measured)


def _unique(names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name})


def _suite(results: tuple[Result, ...]) -> str:
    """The scenario's name when there is one, else the folder or file that holds them all."""
    names = _unique(result.scenario for result in results)
    paths = _unique(result.path for result in results)
    if len(names) == 1 or not paths:
        return ", ".join(names)
    try:
        return commonpath(paths) or "."
    except ValueError:  # some absolute, some not
        return ", ".join(paths)

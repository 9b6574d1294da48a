"""Which exit code, when several hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faultline.campaign.model import Campaign, Case, CaseResult, RunRecord
from faultline.cli import exits
from faultline.errors import HarnessError, ScenarioError, SimEscape, SimHang, TargetError, UsageError
from tests.campaign.conftest import case, record  # noqa: F401  # fixtures


@pytest.mark.parametrize(
    ("which", "interrupted", "code"),
    [
        ("", False, 0),
        ("pass", False, 0),
        ("inconclusive pass", False, 4),
        ("inconclusive fail pass", False, 1),
        ("fail broken inconclusive", False, 3),
        ("broken fail pass", True, 130),
        ("pass", True, 130),
    ],
)
def test_the_worst_decides(
    case: Callable[..., Case],  # noqa: F811
    record: Callable[..., RunRecord],  # noqa: F811
    which: str,
    interrupted: bool,
    code: int,
) -> None:
    runs = {
        "pass": record(0),
        "fail": record(0, "one"),
        "broken": record(0, error="SimEscape"),
        "inconclusive": record(0, unknown=("one",)),
    }
    results = tuple(CaseResult(case(word, 1), (runs[word],)) for word in which.split())
    assert [result.status for result in results] == which.split()
    assert exits.of_campaign(Campaign(results, len(results), interrupted, 0.0)) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError(""), 2),
        (ScenarioError([]), 2),
        (TargetError(""), 3),
        (HarnessError(""), 3),
        (SimEscape(""), 3),
        (SimHang(""), 3),
        (ZeroDivisionError(), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_class_of_an_error_decides(error: BaseException, code: int) -> None:
    assert exits.of_error(error) == code

"""The report document keeps to its published schema, and the schema says what the code does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from faultline.campaign.model import Broken, Campaign, Case, CaseResult, Failure, RunRecord
from faultline.campaign.replay import Replay
from faultline.history.operations import Timing
from faultline.reports import json as json_report
from faultline.reports.document import schema, schema_text
from faultline.search.repeat import Difference
from faultline.search.witness import Receipt, Row
from tests.campaign.conftest import case, record  # noqa: F401  # fixtures

WRITTEN = Path(__file__).parents[2] / "docs" / "report.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(schema())

FAILURE = Failure(
    oracle="one",
    seed=1,
    findings=("intent A became 2 orders",),
    finding_count=2,
    receipts=(Receipt(0.05, "lost_response", "POST /orders", "Cut(how='rst')", "applied"),),
    rows=(Row("A", "buy 4", "o1; o2", "done"),),
    schedule_path=".faultline/a.json",
    difference=Difference(3, "then", "now"),
)


def test_the_written_schema_is_in_step() -> None:
    # python -c "from faultline.reports.document import schema_text; print(schema_text(), end='')"
    assert WRITTEN.read_text() == schema_text()
    jsonschema.Draft202012Validator.check_schema(schema())


def test_reports_of_every_kind_keep_to_it(
    case: Callable[..., Case],  # noqa: F811
    record: Callable[..., RunRecord],  # noqa: F811
) -> None:
    broken = Failure("", 0, error=Broken("HarnessError", "boom"))
    results = (
        CaseResult(case("good"), tuple(record(seed) for seed in range(3))),
        CaseResult(case("bad", fails={"two": "known"}), (record(0, "one"), record(1, "one", "two")), (FAILURE,)),
        CaseResult(case("broke"), (record(0, error="boom"),), (broken,), ("a worker was killed",)),
    )
    shown = json.loads(json_report.text(Campaign(results, 4, True, 1.23456), 3, "it broke"))
    VALIDATOR.validate(shown)
    assert [result["status"] for result in shown["results"]] == ["pass", "fail", "broken"]
    assert shown["results"][1]["failures"][0]["repeat"] == "faultline replay .faultline/a.json"
    assert (shown["planned"], shown["wall_s"], len(shown["runs"])) == (4, 1.235, 6)
    replayed = Replay(case("bad"), record(1, "one"), FAILURE, repeats=True)
    VALIDATOR.validate(json.loads(json_report.replay_text(replayed, 1, "failed")))


@pytest.mark.parametrize("change", [{"exit_code": "1"}, {"planned": -1}, {"results": [{}]}, {"faultline_report": 2}])
def test_what_is_no_report_is_refused(change: dict[str, object]) -> None:
    report = json.loads(json_report.text(Campaign((), 0, False, 0.0), 0, "fine"))
    assert VALIDATOR.is_valid(report)
    assert not VALIDATOR.is_valid({**report, **change})


def test_times_are_in_milliseconds_and_what_was_not_measured_is_null() -> None:
    shown = json_report.timing_json(Timing(operations=2, operation_p50_s=0.0012345, request_max_s=None))
    assert (shown.operations, shown.operation_ms_p50, shown.request_ms_max) == (2, 1.234, None)

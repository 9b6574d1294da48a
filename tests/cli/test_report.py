"""``faultline report``, and the files that ``faultline run`` writes beside the screen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from faultline.campaign import Campaign
from faultline.cli.outputs import Outputs
from faultline.errors import HarnessError, UsageError
from faultline.reports.document import schema
from tests.cli.conftest import Done

Cli = Callable[..., Done]
Project = Callable[..., Path]
VALIDATOR = jsonschema.Draft202012Validator(schema())


@pytest.fixture
def failed(cli: Cli, project: Project) -> Path:
    """A failure of the naive client, saved: its schedule, with the history beside it."""
    project(target="Naive")
    files = ("--html", "run.html", "--trace", "run.trace", "--agent", "run.json")
    done = cli("run", "s.yaml", "--jobs", "1", "--seeds", "1", *files, "--json")
    assert done.code == 1, done.err
    VALIDATOR.validate(json.loads(done.out))
    (schedule,) = Path(".faultline").glob("*no_duplicates-seed0.json")
    return schedule


def test_a_run_writes_its_page_its_trace_and_its_summary(failed: Path) -> None:
    page = Path("run.html").read_text()
    assert "became 2 orders" in page
    assert f"faultline replay {failed}" in page
    assert "What mends it" in page
    names = {item["name"] for item in json.loads(Path("run.trace").read_text())["traceEvents"]}
    assert {"lost_response", "no_duplicates fails"} <= names
    summary = json.loads(Path("run.json").read_text())
    assert (summary["status"], summary["failed"], summary["exchange"]) == ("FAILED", 1, "generic")


def test_a_saved_run_is_shown_from_either_of_its_files(cli: Cli, failed: Path) -> None:
    shown = cli("report", str(failed))
    assert shown.code == 0, "the report was made"
    lines = shown.out.splitlines()
    assert lines[0].startswith("FAIL  orders · clients.py:Naive · no_duplicates · seed 0")
    assert "Why: The response to POST /orders of" in shown.out
    assert "from here on no_duplicates fails" in shown.out
    assert f"repeat    faultline replay {failed}" in shown.out
    history = failed.with_suffix(".history.jsonl")
    assert cli("report", str(history)).out == shown.out
    # The same document as a run's, and the same page.
    report = json.loads(cli("report", str(failed), "--json").out)
    VALIDATOR.validate(report)
    assert (report["exit_code"], report["results"][0]["unexpected"][0]) == (1, "no_duplicates")
    assert report["runs"][0]["timing"]["operations"] == 4
    assert json.loads(cli("report", str(failed), "--agent").out)["status"] == "FAILED"
    assert cli("report", str(failed), "--html", "one.html", "--trace", "one.trace") == Done(0, "", "")
    assert "became 2 orders" in Path("one.html").read_text()
    assert json.loads(Path("one.trace").read_text())["otherData"]["seed"] == "0"


def test_a_history_alone_is_judged_by_what_needs_to_be_told_nothing(cli: Cli, failed: Path, tmp_path: Path) -> None:
    alone = tmp_path / "night" / "some.jsonl"
    alone.parent.mkdir()
    failed.with_suffix(".history.jsonl").rename(alone)
    Path("s.yaml").unlink()
    shown = cli("report", str(alone))
    assert "FAIL  orders · clients.py:Naive · no_duplicates" in shown.out
    assert "repeat" not in shown.out
    report = json.loads(cli("report", str(alone), "--json").out)
    VALIDATOR.validate(report)
    assert {"no_duplicates", "reconciled", "no_stuck_tasks"} <= set(report["runs"][0]["verdicts"])


def test_nothing_failed_is_shown_too(cli: Cli, project: Project) -> None:
    project(target="Careful", seeds=1)
    assert cli("run", "s.yaml", "--html", "run.html", "--trace", "run.trace").code == 0
    page = Path("run.html").read_text()
    assert "Everything held" in page
    assert "made again for its picture" in page
    assert json.loads(Path("run.trace").read_text())["traceEvents"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.json"], "nowhere.json: cannot be read"),
        (["s.yaml"], "s.yaml: not a saved schedule"),
        (["alone.json"], "its history alone.history.jsonl is not beside it; faultline replay alone.json makes one"),
        (["alone.json", "--html", "absent/x.html"], "there is no folder absent"),
        (["alone.json", "--json", "--agent"], "both want stdout"),
    ],
)
def test_what_cannot_be_shown_is_said(cli: Cli, project: Project, arguments: list[str], words: str) -> None:
    project()
    Path("alone.json").write_text('{"faultline_schedule": 1, "meta": {}, "entries": []}')
    done = cli("report", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_a_place_that_cannot_be_is_named_before_anything_runs(tmp_path: Path) -> None:
    for name in ("junit", "html", "trace", "agent"):
        with pytest.raises(UsageError, match="there is no folder"):
            Outputs(**{name: tmp_path / "absent" / "x"})


def test_a_full_disk_loses_one_report_and_not_the_others(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    outputs = Outputs(full, full, tmp_path / "trace.json", tmp_path / "agent.json")
    with pytest.raises(
        HarnessError, match=r"^/dev/full could not be written: No space left on device; /dev/full could"
    ):
        outputs.write(Campaign((), 0, False, 0.0), 0, "x", env={})
    assert json.loads((tmp_path / "agent.json").read_text())["status"] == "PASSED"
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"] == []


def test_a_report_on_a_full_disk_ends_with_a_word(cli: Cli, failed: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = cli("report", str(failed), "--html", "/dev/full")
    assert (done.code, done.err) == (3, "/dev/full could not be written: No space left on device\n")

"""What CI servers are told: JUnit's XML, and GitHub's annotations and step summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from faultline.campaign.model import Broken, Campaign, Case, CaseResult, Failure, RunRecord
from faultline.cli.outputs import Outputs
from faultline.errors import HarnessError, UsageError
from faultline.reports import github, junit
from faultline.search.witness import Receipt, Row
from tests.campaign.conftest import case, record  # noqa: F401  # fixtures

MakeCase = Callable[..., Case]
Record = Callable[..., RunRecord]

HOSTILE = "<b>&\x1b[31m\x00]]> @all %0A::error::x\r\n```\n| a |"
FAILURE = Failure(
    oracle="one",
    seed=1,
    findings=("intent A became 2 orders", HOSTILE),
    finding_count=2,
    receipts=(Receipt(0.05, "lost_response", "POST /orders [A] #1 after", "Cut(how='rst')", "applied"),),
    faults_left=1,
    faults_before=13,
    minimal=True,
    rows=(Row("A", "buy 4", "o1; o2", HOSTILE),),
    schedule_path=".faultline/a.json",
    history_path=".faultline/a.history.jsonl",
)


@pytest.fixture
def campaign(case: MakeCase, record: Record) -> Campaign:  # noqa: F811
    passed, failed, broken, unclear, cut = (case(name) for name in ("good", f"bad {HOSTILE}", "broke", "vague", "cut"))
    runs = tuple(record(seed) for seed in range(3))
    results = (
        CaseResult(passed, runs),
        CaseResult(failed, (runs[0], record(1, "one"), runs[2]), (FAILURE, replace(FAILURE, stated="known"))),
        CaseResult(broken, (record(0, error="boom"),), (Failure("", 0, error=Broken("HarnessError", "boom")),)),
        CaseResult(unclear, tuple(record(seed, unknown=("one", "two")) for seed in range(3))),
        CaseResult(cut, runs[:1]),
    )
    return Campaign(results, planned=6, interrupted=True, wall_s=1.5)


def test_junit_has_one_test_per_case_and_a_kind_for_each_way_not_to_pass(campaign: Campaign) -> None:
    root = ElementTree.fromstring(junit.text(campaign))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "5", "failures": "1", "errors": "1", "skipped": "2", "time": "1.500",
    }  # fmt: skip
    kinds = {
        str(test.get("name")).split()[0]: [child.tag for child in test if child.tag != "system-out"]
        for test in root.iter("testcase")
    }
    assert kinds == {"good": [], "bad": ["failure"], "broke": ["error"], "vague": ["skipped"], "cut": ["skipped"]}
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "one failed under seed 1"
    assert failure.text is not None
    assert "1 of 13 faults enough:\n  0.050 s  lost_response  POST /orders [A] #1 after  cut how=rst" in failure.text
    assert "repeat:  faultline replay .faultline/a.json" in failure.text
    assert failure.text.count("intent A became 2 orders") == 1, "a stated failure is no failure"
    suite = root.find("testsuite")
    assert suite is not None
    assert suite.get("name") == "good.yaml"


def test_junit_survives_what_xml_cannot_hold(campaign: Campaign) -> None:
    root = ElementTree.fromstring(junit.text(campaign))
    text = str(root.findtext(".//failure"))
    assert "<b>&\\x1b[31m\\x00]]> @all" in text


def test_junit_is_read_by_a_published_reader(campaign: Campaign, tmp_path: Path) -> None:
    junitparser = pytest.importorskip("junitparser")
    path = tmp_path / "results.xml"
    path.write_text(junit.text(campaign))
    cases = [test for suite in junitparser.JUnitXml.fromfile(str(path)) for test in suite]
    assert [len(test.result) for test in cases] == [0, 1, 1, 1, 1]
    assert [test.time > 0 or test.name.startswith("g") for test in cases]


def test_annotations_point_at_the_scenario_and_cannot_be_forged(campaign: Campaign) -> None:
    lines = github.commands(campaign)
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning", "::warning"]
    assert all("\n" not in line and "\r" not in line and "\x1b" not in line for line in lines)
    first = lines[0]
    assert first.count("::") == 2 + 2 * 2, "the two that frame it, and those of the hostile text in the message"
    assert "%250A" in first, "an encoded line break of somebody else's stays text"
    place = first.split("::")[1]
    assert ",line=1,col=1,title=bad" in place
    assert "%0D%0A" not in place
    assert "one failed under seed 1%0Aone, seed 1%0Aintent A became 2 orders%0A" in first


def test_no_more_annotations_than_are_shown_and_errors_first(case: MakeCase, record: Record) -> None:  # noqa: F811
    vague = [
        CaseResult(case(f"v{n}"), tuple(record(seed, unknown=("one", "two")) for seed in range(3))) for n in range(9)
    ]
    bad = [CaseResult(case(f"b{n}"), tuple(record(seed, "one") for seed in range(3))) for n in range(9)]
    lines = github.commands(Campaign((*vague, *bad), 18, False, 1.0))
    assert len(lines) == github.ANNOTATIONS_MAX
    assert sum(line.startswith("::error") for line in lines) == 9


def test_the_summary_says_the_verdict_first_and_hostile_text_stays_text(campaign: Campaign) -> None:
    text = github.summary(campaign, 130, "interrupted")
    assert text.startswith("## faultline: 1 of 6 as expected\n\nexit 130: interrupted. ")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "|---" not in line]
    assert len(rows) == 6
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows), "no cell breaks out of its row"
    assert rows[-1].startswith("| ✅ | good"), "what passed comes last"
    assert "<b>" not in text.split("<details>")[0]
    fenced = text.split("````")
    assert "```\\r" not in fenced[0]
    assert len(fenced) == 3, "the fence is longer than any run of backticks inside"


def test_a_summary_that_would_be_too_long_ends_with_a_word(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "SUMMARY_BYTES_MAX", 100)
    assert github.summary(campaign, 1, "x").endswith("More failures than fit here.\n")


def test_files_are_written_whole_and_replaced(campaign: Campaign, tmp_path: Path) -> None:
    path = tmp_path / "results.xml"
    path.write_text("old")
    Outputs(path).write(campaign, 1, "x", env={})
    assert path.read_text().startswith("<?xml")
    assert [each.name for each in tmp_path.iterdir()] == ["results.xml"]


def test_a_place_that_cannot_be_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        Outputs(tmp_path / "absent" / "results.xml")
    with pytest.raises(UsageError, match="is a folder"):
        Outputs(tmp_path)


def test_a_full_disk_is_said_and_leaves_nothing_behind(
    campaign: Campaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    summary = tmp_path / "summary.md"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    with pytest.raises(HarnessError, match="/dev/full could not be written: No space left"):
        Outputs(full).write(campaign, 1, "x", env=env)
    assert summary.read_text().startswith("## faultline"), "the other reports are written all the same"
    captured = capsys.readouterr()
    assert captured.err.startswith("::error file=")
    assert captured.out == ""

"""What people read, from results made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from faultline.campaign.model import Broken, Campaign, Case, CaseResult, Failure, RunRecord
from faultline.reports.console import ConsoleReport
from faultline.search.repeat import Difference
from faultline.search.witness import Receipt, Row
from tests.campaign.conftest import case, record  # noqa: F401  # fixtures

MakeCase = Callable[..., Case]
Record = Callable[..., RunRecord]

FAILURE = Failure(
    oracle="one",
    seed=3,
    findings=("intent A became 2 orders",),
    finding_count=4,
    receipts=(Receipt(0.05, "lost_response", "POST /orders [A] #1 after", "Cut(how='rst')", "applied"),),
    faults_left=1,
    faults_before=13,
    replays=5,
    minimal=True,
    rows=(Row("A", "buy 4 NQ at 100", "o1 filled 4; o2 filled 4", "said done; believes filled 4"),),
    schedule_path=".faultline/a.json",
    history_path=".faultline/a.history.jsonl",
)


def shown(show: Callable[[ConsoleReport], None], cases: tuple[Case, ...], **options: bool) -> str:
    out = StringIO()
    show(ConsoleReport(Console(file=out, highlight=False, markup=False), cases, **options))
    return out.getvalue()


def block(of: Case, failure: Failure, **options: bool) -> str:
    return shown(lambda report: report.failure(of, failure), (of,), **options)


def test_a_failure_in_full(case: MakeCase) -> None:  # noqa: F811
    assert block(case("orders"), FAILURE).splitlines() == [
        "",
        "FAIL  orders · it · one · seed 3",
        "  orders.yaml:1:1   t.py:T",
        "",
        "  intent A became 2 orders",
        "  and 3 more findings of this oracle",
        "",
        "  1 of 13 faults is enough (5 replays; without it the oracle does not fail):",
        "              fault           where                       did           operation",
        "    0.050 s   lost_response   POST /orders [A] #1 after   cut how=rst   applied",
        "",
        "        wanted            venue                      client",
        "    A   buy 4 NQ at 100   o1 filled 4; o2 filled 4   said done; believes filled 4",
        "",
        "  schedule  .faultline/a.json",
        "  history   .faultline/a.history.jsonl",
        "  repeat    faultline replay .faultline/a.json",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"faults_left": 2}, "2 of 13 faults are enough (5 replays; none of them can be left out):"),
        ({"minimal": False}, "1 of 13 faults is enough (5 replays; stopped there, so fewer may do):"),
        ({"faults_left": 0, "receipts": ()}, "It fails without any fault."),
        ({"stated": "a fresh key"}, "FAILS AS STATED  orders"),
        ({"stated": "a fresh key"}, "The scenario says why: a fresh key"),
        ({"also": ("two", "three")}, "In the same run failed too: two, three"),
        ({"difference": Difference(7, "then this", "now that")}, "it went another way, first at event 7:"),
        ({"error": Broken("SimEscape", "a real socket")}, "BROKE  orders"),
        ({"error": Broken("SimEscape", "a real socket")}, "SimEscape: a real socket"),
    ],
)
def test_what_else_a_failure_can_say(case: MakeCase, change: dict[str, object], words: str) -> None:  # noqa: F811
    assert words in block(case("orders"), replace(FAILURE, **change))


def test_what_came_off_the_wire_is_shown_and_never_obeyed(case: MakeCase) -> None:  # noqa: F811
    hostile = "\x1b[2J\x1b]8;;http://evil\x07[bold]x[/bold]\r\n"
    text = block(
        case(hostile),
        replace(FAILURE, findings=(hostile,), rows=(Row("A", hostile, hostile, hostile),), stated=hostile),
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\r" not in text
    assert "\\x1b[2J" in text
    assert "[bold]x[/bold]" in text


def test_the_line_of_a_case(case: MakeCase, record: Record) -> None:  # noqa: F811
    good = CaseResult(case("good"), tuple(record(seed) for seed in range(3)))
    text = shown(lambda report: report.case(good), (good.case,))
    assert text == "  ✓ good  it  3 seeds     6 receipts   1.5 s\n"


def test_the_notes_of_a_case(case: MakeCase, record: Record) -> None:  # noqa: F811
    def note(result: CaseResult) -> str:
        return shown(lambda report: report.case(result), (result.case,)).split(" s   ", 1)[1].strip()

    runs = [record(seed) for seed in range(8)]
    some = [record(seed, "two") if seed in (1, 4) else record(seed) for seed in range(8)]
    all_of_them = [record(seed, "one", "two") for seed in range(8)]
    assert note(CaseResult(case("x", 8), tuple(some))) == "failed: two under 2 of 8 seeds (1, 4)"
    assert note(CaseResult(case("x", 8), tuple(all_of_them))) == "failed: one, two under every seed"
    assert note(CaseResult(case("x", 1), (record(0, "one"),))) == "failed: one under seed 0"
    unmet = CaseResult(case("x", 8, fails={"one": "why"}), tuple(runs))
    assert note(unmet) == "did not fail as stated: one"
    stated = CaseResult(case("x", 8, fails={"two": "why"}), tuple(some))
    assert note(stated) == "fails as stated: two under 2 of 8 seeds (1, 4)"
    broken = CaseResult(case("x", 1), (record(0, error="SimEscape"),))
    assert note(broken) == "broke under seed 0: SimEscape: it broke"
    idle = CaseResult(case("x", 1), (record(0, unknown=("two",)),))
    assert note(idle).startswith("two judged nothing")


def test_quiet_leaves_out_what_passed(case: MakeCase, record: Record) -> None:  # noqa: F811
    good = CaseResult(case("good", 1), (record(0),))
    bad = CaseResult(case("bad", 1), (record(0, "one"),))
    text = shown(lambda report: [report.case(good), report.case(bad)], (good.case, bad.case), quiet=True)
    assert "bad" in text
    assert "good" not in text


def test_the_summary(case: MakeCase, record: Record) -> None:  # noqa: F811
    results = (
        CaseResult(case("a", 1), (record(0),)),
        CaseResult(case("b", 1), (record(0, "one"),)),
        CaseResult(case("c", 2), (record(0),)),
    )
    campaign = Campaign(results, planned=5, interrupted=True, wall_s=2.0)
    text = shown(lambda report: report.summary(campaign, 130, "interrupted"), ())
    assert text == (
        "1 of 5 as expected, 1 failed, 1 unfinished, 2 not begun   3 runs, 6 receipts, 2.0 s\nexit 130: interrupted\n"
    )

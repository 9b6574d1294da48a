"""What every report keeps: it is text, the same each time, and obeys nothing that came off a wire."""

from __future__ import annotations

from typing import Final

from faultline.campaign.model import Campaign, Case, CaseResult, Failure, RunRecord
from faultline.oracles.base import Finding, Verdict
from faultline.reports.table import Report, why_no_report
from faultline.scenario.load import loads
from faultline.search.witness import Receipt, Row
from faultline.testing.conformance import Promises

_HOSTILE: Final = "\x1b[31mred\x1b[0m \x00 </script><script>alert(1)</script> ]]> & \u202e"
_SCENARIO: Final = """
version: 1
name: a scenario that failed
target: client.py:Client
venue: generic
faults: [lost_response]
expect: [no_duplicates]
"""


def a_campaign() -> Campaign:
    """A campaign with a failure in it, whose findings hold what nobody wants to see obeyed."""
    (scenario,) = loads(_SCENARIO)
    case = Case(scenario, scenario.target("default"), (0, 1))
    what = f"intent I1 became 2 orders {_HOSTILE}"
    failed = Verdict("no_duplicates", "fail", 1, what, (Finding(what, 0.5, "I1"),), 1)
    passed = Verdict("no_duplicates", "pass", 1, "1 intent with one order each")
    fired = frozenset({"lost_response"})
    runs = (
        RunRecord(0, (failed,), fired, 1, "0" * 32, 12.0, 0.1),
        RunRecord(1, (passed,), fired, 1, "1" * 32, 12.0, 0.1),
    )
    failure = Failure(
        "no_duplicates",
        0,
        findings=(what,),
        finding_count=1,
        receipts=(Receipt(0.5, "lost_response", "POST /orders [I1] #1 after", "Cut(how='rst')", "applied"),),
        faults_left=1,
        faults_before=3,
        replays=4,
        minimal=True,
        rows=(Row("I1", _HOSTILE, "order1 filled 1", "said done"),),
        schedule_path=".faultline/a.json",
        history_path=".faultline/a.history.jsonl",
    )
    return Campaign((CaseResult(case, runs, (failure,)),), 1, False, 0.2)


def check_report(report: Report) -> None:
    """Raises NonConforming for a report that does not keep what ours keep.

    It is called with a campaign that failed and with an empty one. What it gives is text without control characters,
    is the same when it is made again, and does not let text that came off a wire end the element or the script that it
    stands in.
    """
    promises = Promises(f"report {getattr(report, '__name__', report)!r}")
    why = why_no_report("", report)
    if promises.that(not why, why):
        campaign = a_campaign()
        text = promises.works(lambda: report(campaign, 1, "an oracle failed"), "it breaks on a campaign that failed")
        empty = Campaign((), 0, False, 0.0)
        promises.works(lambda: report(empty, 0, "every verdict as expected"), "it breaks on an empty campaign")
        if text is not None and promises.that(isinstance(text, str), f"it gives {type(text).__name__}, and not text"):
            _check_text(promises, text)
            promises.that(text == report(campaign, 1, "an oracle failed"), "made again it is another")
    promises.keep()


def _check_text(promises: Promises, text: str) -> None:
    control = sorted({repr(sign) for sign in text if ord(sign) < 32 and sign not in "\n\r\t"})
    promises.that(not control, f"it passes on control characters: {', '.join(control)}")
    promises.works(lambda: text.encode("utf-8"), "it cannot be written as UTF-8")
    if text.lstrip().startswith("<"):
        promises.that("<script>alert" not in text and "]]> &" not in text, "it does not escape what came off the wire")

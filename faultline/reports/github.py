"""What GitHub Actions shows: annotations at the line of the scenario, and a summary of the step in Markdown.

Both are commands to a machine that also reads what came off a wire, so every value is escaped as GitHub's runner asks
(its ``toolkit`` documents percent-encoding of ``%``, CR and LF, and of ``:`` and ``,`` in properties).
"""

from __future__ import annotations

from typing import Final

from faultline.campaign.model import Campaign, CaseResult, target_label
from faultline.oracles.base import plural
from faultline.reports.facts import headline, told
from faultline.reports.text import safe

ANNOTATIONS_MAX: Final = 10
"""GitHub shows ten of a kind per step and drops the rest; the summary has them all."""
SUMMARY_BYTES_MAX: Final = 900_000
"""GitHub refuses a summary over 1 MiB as a whole."""

_LEVEL: Final = {"fail": "error", "broken": "error", "inconclusive": "warning", "unfinished": "warning"}
_MARK: Final = {"pass": "✅", "fail": "❌", "broken": "💥", "inconclusive": "❔", "unfinished": "⏹️"}


def commands(campaign: Campaign) -> list[str]:
    """Lines for stdout, one for each case that is not as expected."""
    wrong = sorted((r for r in campaign.results if r.status in _LEVEL), key=lambda r: _LEVEL[r.status] != "error")
    return [_annotation(result) for result in wrong[:ANNOTATIONS_MAX]]


def _annotation(result: CaseResult) -> str:
    scenario = result.case.scenario
    line, column = scenario.where("expect")
    place = {
        "file": scenario.path,
        "line": str(line),
        "col": str(column),
        "title": f"{scenario.name} [{target_label(result.case.target)}]",
    }
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    blocks = ["\n".join(told(failure)) for failure in result.failures if failure.stated is None]
    return f"::{_LEVEL[result.status]} {properties}::{_data(chr(10).join([headline(result), *blocks]))}"


def summary(campaign: Campaign, code: int, meaning: str) -> str:
    """The step summary: verdict first, then a table, then the failures."""
    good = len(campaign.having("pass"))
    head = f"## faultline: {good} of {campaign.planned} as expected\n\nexit {code}: {meaning}. "
    head += f"{plural(campaign.run_count, 'run')}, {plural(campaign.receipt_count, 'receipt')}.\n\n"
    rows = ["| | scenario | target | seeds | |", "|---|---|---|---:|---|"]
    results = sorted(campaign.results, key=lambda result: result.status == "pass")
    rows += [_row(result) for result in results]
    text = head + "\n".join(rows) + "\n"
    for result in results:
        for failure in result.failures:
            if failure.stated is not None:
                continue
            title = f"{_cell(result.case.scenario.name)} [{_cell(target_label(result.case.target))}]"
            block = f"\n<details><summary>{title}</summary>\n\n{_fenced(told(failure))}\n</details>\n"
            if len((text + block).encode()) > SUMMARY_BYTES_MAX:
                return text + "\nMore failures than fit here.\n"
            text += block
    return text


def _row(result: CaseResult) -> str:
    scenario = result.case.scenario
    cells = (_MARK[result.status], scenario.name, target_label(result.case.target), len(result.runs), headline(result))
    return "| " + " | ".join(_cell(str(cell)) for cell in cells) + " |"


def _cell(value: str) -> str:
    value = safe(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for character in "\\`*_[]|":
        value = value.replace(character, "\\" + character)
    return value.replace("@", "@\u200b")


def _fenced(lines: list[str]) -> str:
    shown = [safe(line) for line in lines]
    longest = max((len(run) for line in shown for run in _runs_of_backticks(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence, *shown, fence])


def _runs_of_backticks(line: str) -> list[str]:
    return "".join(character if character == "`" else " " for character in line).split()


def _data(value: str) -> str:
    cleaned = "\n".join(safe(line) for line in value.splitlines())
    return cleaned.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")

"""One HTML page per run, in one file: no network, no other file, works from ``file://`` and on paper.

The verdict comes first, then wanted, venue and client side by side, the faults that are enough, the sequence with each
fault on its arrow, how to repeat it; then the whole run over time, latency, and every event. Behind each picture stands
its table.

What came off a wire is data: the template escapes every value, the data for the script is JSON in which nothing can end
the element, the script sets text and never markup, and the page's own policy forbids everything but its one style
and its one script, by their hashes, and every connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from faultline.history import History
from faultline.reports import document as doc
from faultline.reports.cause import ADVICE, why
from faultline.reports.cone import Cone, cone
from faultline.reports.diagram import svg
from faultline.reports.sequence import Step, steps
from faultline.reports.shown import Shown
from faultline.reports.text import action_text, safe, shortened
from faultline.reports.timeline import Bin, Slice, bars, bins, data, slices
from faultline.search.witness import side_by_side

FILES: Final = Path(__file__).with_name("page_files")
FAILURES_MAX: Final = 4
"""So many failures are shown with their sequence; the others have their row in the table of results."""
RESULTS_MAX: Final = 150
RECEIPTS_MAX: Final = 8
WORDS_MAX: Final = 400

STATUS: Final[Mapping[str, tuple[str, str]]] = {
    "pass": ("✓", "as expected"),
    "fail": ("✗", "failed"),
    "broken": ("!", "broke"),
    "inconclusive": ("?", "inconclusive"),
    "unfinished": ("…", "unfinished"),
}
_BY_CODE: Final = {0: "pass", 1: "fail", 3: "broken", 4: "inconclusive", 130: "unfinished"}


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the three views; ``wrong`` names the cells that contradict each other."""

    subject: str
    wanted: str
    venue: str
    client: str
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Story:
    """One failing run as the template tells it."""

    number: int
    shown: Shown
    kind: str
    headline: str
    why: str
    advice: str
    enough: str
    rows: tuple[_Row, ...]
    receipts: tuple[doc.Receipt, ...]
    steps: tuple[Step, ...]
    picture: Markup
    led: Cone


def text(report: doc.Report, runs: Sequence[Shown]) -> str:
    """The page. ``runs`` are those that are shown in full; the first of them is the one that is drawn over time."""
    stories = [_story(number, shown) for number, shown in enumerate(runs[:FAILURES_MAX], 1)]
    kind = _BY_CODE.get(report.exit_code, "broken")
    results = sorted(report.results, key=lambda result: result.status == "pass")
    css, script = _file("style.css"), _file("report.js")
    first = runs[0] if runs else None
    page: str = _template().render(
        report=report,
        kind=kind,
        mark=STATUS[kind][0],
        headline=_headline(report, stories),
        stories=stories,
        more_failures=max(0, len(runs) - FAILURES_MAX),
        first=first,
        over_time=None if first is None else _over_time(first.history, stories[0].led),
        results=results[:RESULTS_MAX],
        more_results=max(0, len(results) - RESULTS_MAX),
        status_of=STATUS,
        did=action_text,
        css=Markup(css),  # our own files, without a value in them
        script=Markup(script),
        policy=_policy(css, script),
        receipts_max=RECEIPTS_MAX,
    )
    return page


@cache
def _template() -> Any:
    loader = Environment(
        loader=FileSystemLoader(FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    return loader.get_template("report.html")


def _finalize(value: object) -> object:
    """What the template shows: text without control characters; markup of our own as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return safe(shortened(value, WORDS_MAX))


@cache
def _file(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def _policy(css: str, script: str) -> Markup:
    """What the page may do: nothing but its own style and script."""

    def hashed(words: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(words.encode()).digest()).decode() + "'"

    return Markup(
        f"default-src 'none'; style-src {hashed(css)}; script-src {hashed(script)}; base-uri 'none'; form-action 'none'"
    )


def _embedded(value: object) -> Markup:
    """JSON that can stand in a script element: nothing in it can end the element or begin a comment."""
    words = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        words = words.replace(character, f"\\u{ord(character):04x}")
    return Markup(words)


def _headline(report: doc.Report, stories: Sequence[_Story]) -> str:
    """The verdict as a sentence: the first finding, or that there is none."""
    if stories and stories[0].kind in ("fail", "broken"):
        return stories[0].headline
    if report.exit_code == 0:
        one = "Everything held that the scenario expects"
        return one if report.planned == 1 else f"All {report.planned} cases are as expected"
    return report.meaning[0].upper() + report.meaning[1:]


def _story(number: int, shown: Shown) -> _Story:
    failure, history = shown.failure, shown.history
    led = cone(history, shown.verdict)
    told = steps(history, led, failure.oracle if failure else "")
    what = "; ".join(failure.findings[:1]) if failure else shown.note
    if failure is not None and failure.error is not None:
        what = f"The run broke: {failure.error.kind}: {failure.error.message}"
    kind = "pass" if failure is None else "broken" if failure.error else "stated" if failure.stated else "fail"
    label = "; ".join(f"{step.t:.3f} s {step.source} to {step.target}: {step.text}" for step in told[:12])
    return _Story(
        number=number,
        shown=shown,
        kind=kind,
        headline=what[:1].upper() + what[1:],
        why=why(history, led),
        advice=ADVICE.get(failure.oracle, "") if failure else "",
        enough=_enough(failure),
        rows=_rows(shown),
        receipts=failure.receipts[:RECEIPTS_MAX] if failure else (),
        steps=tuple(told),
        led=led,
        picture=Markup(svg(told, f"Sequence diagram. {shortened(label, WORDS_MAX)}")),  # made of elements, see diagram
    )


def _enough(failure: doc.Failure | None) -> str:
    """How small the set of faults is, and what that was found with."""
    if failure is None or failure.error is not None:
        return ""
    left, before = failure.faults_left, failure.faults_before
    if left == 0:
        return "It fails without any fault."
    faults = "fault" if before == 1 else "faults"
    if not failure.replays:
        return f"{left} {'fault' if left == 1 else 'faults'} struck in this run."
    rest = "Without it this oracle does not fail." if left == 1 else "None of them can be left out."
    tail = rest if failure.minimal else "The search stopped there, so fewer may do."
    return f"{left} of {before} {faults} {'is' if left == 1 else 'are'} enough ({failure.replays} replays). {tail}"


def _rows(shown: Shown) -> tuple[_Row, ...]:
    if shown.verdict is None:
        return ()
    rows = side_by_side(shown.history, shown.verdict)
    return tuple(
        _Row(row.subject, row.wanted, row.venue, row.client, _wrong(shown.history, row.subject)) for row in rows
    )


def _wrong(history: History, subject: str) -> tuple[str, ...]:
    """Which of the venue's and the client's cells contradict what was wanted or each other."""
    ledger = history.ledger
    if subject not in ledger.intents:
        return ("venue", "client")
    orders = ledger.orders_of(subject)
    answer, view = ledger.answers.get(subject), ledger.view_of(subject)
    wrong = []
    if len(orders) > 1 or (not orders and answer is not None and answer.outcome == "ok"):
        wrong.append("venue")
    truly = sum((order.filled for order in orders), start=type(orders[0].filled)(0)) if orders else 0
    refused = answer is not None and answer.outcome == "fail" and bool(orders)
    if refused or (orders and (view is None or view.filled != str(truly))):
        wrong.append("client")
    return tuple(wrong)


@dataclass(frozen=True, slots=True)
class _OverTime:
    """What stands behind the pictures over time."""

    data: Markup
    unit: str
    total: int
    drawn: int
    events: int
    listed: int
    slices: tuple[Slice, ...]
    bins: tuple[Bin, ...]
    faults: tuple[tuple[str, int, float, float], ...]


def _over_time(history: History, led: Cone) -> _OverTime:
    drawn = data(history, led)
    unit, found = bars(history)
    return _OverTime(
        data=_embedded(drawn),
        unit=unit,
        total=len(found),
        drawn=len(drawn["bars"]["t"]),
        events=len(history),
        listed=len(drawn["events"]),
        slices=tuple(_coarser(slices(found, drawn["end"]))),
        bins=tuple(bins(found)),
        faults=tuple((lane["name"], lane["total"], lane["t"][0], lane["t"][-1]) for lane in drawn["faults"]),
    )


def _coarser(parts: Sequence[Slice]) -> Sequence[Slice]:
    """Every so many, for a table that can be read."""
    return parts[:: max(1, -(-len(parts) // 30))]

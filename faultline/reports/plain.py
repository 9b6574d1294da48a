"""One run as plain text: the parts of the page that can be said in lines, in the same order."""

from __future__ import annotations

from faultline.reports.cause import ADVICE, why
from faultline.reports.cone import cone
from faultline.reports.sequence import Step, steps
from faultline.reports.shown import Shown
from faultline.reports.text import columns, safe, wrapped
from faultline.search.witness import side_by_side

WIDTH = 110


def lines(shown: Shown) -> list[str]:
    """The verdict, why, what mends it, the three views, the sequence, and how to repeat it."""
    failure = shown.failure
    led = cone(shown.history, shown.verdict)
    head = "PASS" if failure is None else "BROKE" if failure.error else "FAIL"
    oracle = failure.oracle if failure else ""
    about = [shown.scenario, shown.target, oracle, f"seed {shown.seed}"]
    told = [f"{head}  " + " · ".join(safe(word) for word in about if word), ""]
    for finding in failure.findings if failure else ():
        told += wrapped(safe(finding), WIDTH, "  ")
    if failure is not None and failure.error is not None:
        told += wrapped(safe(failure.error.message), WIDTH, "  ")
    cause = why(shown.history, led)
    told += wrapped(f"Why: {safe(cause)}", WIDTH, "  ") if cause else []
    told += wrapped(f"What mends it: {ADVICE[oracle]}", WIDTH, "  ") if oracle in ADVICE else []
    if shown.verdict is not None:
        rows = [("", "wanted", "venue", "client")]
        rows += [
            (row.subject, safe(row.wanted), safe(row.venue), safe(row.client))
            for row in side_by_side(shown.history, shown.verdict)
        ]
        told += ["", *("    " + line for line in columns(rows))]
    told += ["", *("  " + line for line in columns([_cells(step) for step in steps(shown.history, led, oracle)]))]
    told += ["", *(f"  {each.verdict:<7} {each.oracle}" for each in shown.verdicts)]
    if failure is not None and failure.repeat:
        told += ["", f"  repeat    {safe(failure.repeat)}"]
    return told


def _cells(step: Step) -> tuple[str, str, str]:
    way = step.source if step.is_note else f"{step.source} > {step.target}"
    if step.tone == "bad" and step.source == "caller" and step.target == "venue":
        way = "!"
    fault = f"  <- {step.fault}" if step.fault else ""
    detail = f" ({step.detail})" if step.detail else ""
    return f"{step.t:9.3f} s", way, safe(step.text + detail + fault)

"""What a history shows of verdicts that are not as they should be, as the lines that a person reads.

For tests: there the history is at hand, and nothing was shrunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from faultline.history import History
from faultline.oracles.base import Verdict, plural
from faultline.reports.text import action_text, columns, safe
from faultline.search.witness import receipts, side_by_side

FINDINGS_SHOWN: Final = 10
RECEIPTS_SHOWN: Final = 20


def explained(verdicts: Sequence[Verdict], history: History | None = None) -> list[str]:
    """The findings of ``verdicts``, the faults that struck, and the three views side by side."""
    lines: list[str] = []
    for verdict in verdicts:
        lines.append(f"{verdict.oracle}: {verdict.verdict}: {safe(verdict.why)}")
        lines += [f"    {finding.t:.3f} s  {safe(finding.what)}" for finding in verdict.findings[1:FINDINGS_SHOWN]]
        if verdict.count > FINDINGS_SHOWN:
            lines.append(f"    and {verdict.count - FINDINGS_SHOWN} more")
    if history is None:
        return lines
    lines += ["", *struck(history)]
    rows = dict.fromkeys(row for verdict in verdicts for row in side_by_side(history, verdict))
    if rows:
        table = [("", "wanted", "venue", "client")]
        table += [(row.subject, safe(row.wanted), safe(row.venue), safe(row.client)) for row in rows]
        lines += ["", *(f"    {line}" for line in columns(table))]
    return lines


def struck(history: History) -> list[str]:
    """The faults that struck: when, where, what they did, and what is known of the operation."""
    found = receipts(history)
    if not found:
        return ["  no fault struck"]
    table = [("", "fault", "where", "did", "operation")]
    table += [
        (f"{each.t:.3f} s", each.fault, safe(each.point), action_text(each.action), each.effect)
        for each in found[:RECEIPTS_SHOWN]
    ]
    lines = [f"  {plural(len(found), 'fault')} struck:", *(f"    {line}" for line in columns(table))]
    if len(found) > RECEIPTS_SHOWN:
        lines.append(f"    and {plural(len(found) - RECEIPTS_SHOWN, 'receipt')} more")
    return lines

"""What reports say of a result and of a failure in plain lines, the same in each of the formats that are plain text."""

from __future__ import annotations

from faultline.campaign.model import CaseResult, Failure
from faultline.oracles.base import plural
from faultline.reports.text import action_text

RECEIPTS_SHOWN = 20


def headline(result: CaseResult) -> str:
    """Why a result is what it is, in one line; the empty string for one that is as expected."""
    if result.broken:
        return f"broke under seed {result.broken[0].seed}: {result.broken[0].error}"
    if result.lost:
        return f"lost: {result.lost[0]}"
    parts = [f"{name} failed under seed {seeds[0]}" for name, seeds in result.unexpected.items()]
    parts += [f"{name} did not fail as stated" for name in result.unmet]
    parts += list(result.doubts)
    if not parts and result.status == "unfinished":
        done, due = len(result.runs), len(result.case.seeds)
        parts = [f"ended after {done} of {plural(due, 'seed')}"]
    return "; ".join(parts)


def told(failure: Failure) -> list[str]:
    """A failure, line by line: the facts, the faults that are enough, the three views, and how to repeat it."""
    lines = [f"{failure.oracle or 'broke'}, seed {failure.seed}", *failure.findings]
    if failure.error is not None:
        lines.append(str(failure.error))
    if failure.receipts:
        enough = "enough" if failure.minimal else "left"
        lines.append(f"{failure.faults_left} of {plural(failure.faults_before, 'fault')} {enough}:")
        lines += [
            f"  {each.t:.3f} s  {each.fault}  {each.point}  {action_text(each.action)}  {each.effect}"
            for each in failure.receipts[:RECEIPTS_SHOWN]
        ]
    lines += [f"  {row.subject}: wanted {row.wanted}, venue {row.venue}, client {row.client}" for row in failure.rows]
    if failure.schedule_path:
        lines += [f"history: {failure.history_path}", f"repeat:  faultline replay {failure.schedule_path}"]
    return lines

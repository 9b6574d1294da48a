"""The report that people read: one line for each scenario and target, failures below, one line that sums up.

It goes to stdout and is the same on a terminal and in a file, but for its colours. Nothing in it moves; what moves is
in :mod:`faultline.reports.progress`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from faultline.campaign.model import Campaign, Case, CaseResult, Failure, Status, target_label
from faultline.campaign.replay import Replay
from faultline.oracles.base import plural
from faultline.reports.text import action_text, columns, safe, shortened, wrapped

MARKS: Final[Mapping[Status, tuple[str, str]]] = {
    "pass": ("✓", "green"),
    "fail": ("✗", "bold red"),
    "broken": ("!", "bold magenta"),
    "inconclusive": ("?", "yellow"),
    "unfinished": ("…", "dim"),
}
_WORDS: Final[Mapping[Status, str]] = {
    "fail": "failed",
    "broken": "broke",
    "inconclusive": "inconclusive",
    "unfinished": "unfinished",
}
NAME_WIDTH_MAX: Final = 56
LINE_WIDTH: Final = 110
SEEDS_SHOWN: Final = 5


class ConsoleReport:
    """Writes to ``console``. ``verbose`` adds every verdict, ``quiet`` leaves out the lines of what passed."""

    def __init__(self, console: Console, cases: Sequence[Case], *, verbose: bool = False, quiet: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._quiet = quiet
        self._folder: str | None = None
        self._names = min(max((len(case.scenario.name) for case in cases), default=0), NAME_WIDTH_MAX)
        self._targets = max((len(target_label(case.target)) for case in cases), default=0)
        self._blocks = 0

    def _line(self, *parts: str | tuple[str, str]) -> None:
        shown = [(part, "") if isinstance(part, str) else part for part in parts]
        lines = [("\n".join(map(safe, text.split("\n"))), style) for text, style in shown]
        self._console.print(Text.assemble(*lines), soft_wrap=True)

    # One line a case

    def case(self, result: CaseResult) -> None:
        """The line of one case, and what it says for itself."""
        if self._quiet and result.status == "pass":
            return
        folder = str(Path(result.case.scenario.path).parent)
        if folder != self._folder and folder != ".":
            self._line(("" if self._folder is None else "\n") + folder, "")
            self._folder = folder
        mark, style = MARKS[result.status]
        name = safe(result.case.scenario.name).ljust(self._names)
        target = target_label(result.case.target).ljust(self._targets)
        count = plural(len(result.runs), "seed").rjust(9)
        struck = plural(result.receipt_count, "receipt").rjust(15)
        took = f"{result.wall_s:.1f} s".rjust(8)
        note, *more = self._notes(result) or [""]
        passed = result.status == "pass"
        self._line(
            "  ", (mark, style), " ", (name, "" if passed else "bold"), "  ", target,
            (f"{count}{struck}{took}", "dim"), "   " if note else "", (note, "dim" if passed else style),
        )  # fmt: skip
        for line in more:
            self._line("      ", (line, style))
        if self._verbose:
            self._verdicts(result)

    def _notes(self, result: CaseResult) -> list[str]:
        """Why the status is what it is; the first note goes on the line of the case."""
        notes = [f"did not fail as stated: {', '.join(result.unmet)}"] if result.unmet else []
        total = len(result.runs)
        if result.unexpected:
            notes.insert(0, f"failed: {_by_seeds(result.unexpected, total)}")
        if result.broken:
            of = _of([run.seed for run in result.broken], total)
            notes.insert(0, f"broke {of}: {shortened(safe(str(result.broken[0].error)), LINE_WIDTH)}")
        notes += [f"lost: {safe(error)}" for error in result.lost]
        if result.status == "inconclusive":
            notes += [safe(doubt) for doubt in result.doubts]
        stated = {name: seeds for name, seeds in result.failing_seeds.items() if name in result.case.expectation.fails}
        if stated and not notes:
            notes.append(f"fails as stated: {_by_seeds(stated, total)}")
        return notes

    def _verdicts(self, result: CaseResult) -> None:
        rows = []
        for oracle in result.case.scenario.expect:
            found = [verdict for run in result.runs for verdict in run.verdicts if verdict.oracle == oracle.name]
            counts = {word: sum(verdict.verdict == word for verdict in found) for word in ("pass", "fail", "unknown")}
            judged = sum(verdict.judged for verdict in found)
            shown = ", ".join(f"{word} {count}" for word, count in counts.items() if count)
            why = next((verdict.why for verdict in found if verdict.verdict != "pass"), "")
            rows.append((oracle.name, shown, f"judged {judged}", shortened(safe(why), LINE_WIDTH)))
        for line in columns(rows):
            self._line("      ", (line, "dim"))

    # Failures

    def failures(self, results: Sequence[CaseResult]) -> None:
        """Every explained failure, those that should not be first."""
        explained = [(result.case, failure) for result in results for failure in result.failures]
        for case, failure in sorted(explained, key=lambda pair: pair[1].stated is not None):
            self.failure(case, failure)

    def failure(self, case: Case, failure: Failure) -> None:
        """One failure: the facts, the faults that are left, the three views side by side, and how to repeat it."""
        stated = failure.stated is not None
        line, column = case.scenario.where("expect")
        head = (
            "FAILS AS STATED" if stated else "BROKE" if failure.error else "FAIL",
            "yellow" if stated else "bold red",
        )
        what = [safe(case.scenario.name), target_label(case.target), failure.oracle, f"seed {failure.seed}"]
        self._line("\n", head, "  ", (" · ".join(word for word in what if word), "bold"))
        self._line(("  " + f"{case.scenario.path}:{line}:{column}   {case.target.spec}", "dim"))
        self._blocks += 1
        self._facts(failure)
        if failure.schedule_path:
            self._faults(failure)
        if failure.rows:
            table = [("", "wanted", "venue", "client")]
            table += [(row.subject, safe(row.wanted), safe(row.venue), safe(row.client)) for row in failure.rows]
            self._table(table)
        if not failure.schedule_path:
            return
        self._line("")
        self._line(("  schedule  ", "dim"), failure.schedule_path)
        self._line(("  history   ", "dim"), failure.history_path)
        self._line(("  repeat    ", "dim"), (f"faultline replay {failure.schedule_path}", "bold"))

    def _facts(self, failure: Failure) -> None:
        self._line("")
        facts = [safe(fact) for fact in failure.findings]
        if failure.error is not None:
            told = failure.error.trace if self._verbose and failure.error.trace else str(failure.error)
            facts = [safe(line) for line in told.splitlines()]
        for fact in facts:
            indent = "  " + " " * (len(fact) - len(fact.lstrip()))
            for text in wrapped(fact, LINE_WIDTH, indent):
                self._line(text)
        if failure.finding_count > len(failure.findings):
            more = plural(failure.finding_count - len(failure.findings), "more finding")
            self._line((f"  and {more} of this oracle", "dim"))
        if failure.stated:
            for text in wrapped(f"The scenario says why: {safe(failure.stated)}", LINE_WIDTH, "  "):
                self._line((text, "yellow"))
        if failure.also:
            self._line((f"  In the same run failed too: {', '.join(failure.also)}", "dim"))
        if not failure.repeatable:
            self._line(("\n  Runs of this world do not repeat, so its faults were not shrunk.", "bold yellow"))
        if failure.difference is not None:
            at = "" if failure.difference.index is None else f", first at event {failure.difference.index}"
            self._line((f"\n  Run again under the same seed, it went another way{at}:", "bold yellow"))
            self._line(f"    then  {safe(failure.difference.first)}")
            self._line(f"    now   {safe(failure.difference.second)}")
            self._line("  Something in it is not decided by the seed; its faults were not shrunk.")

    def _faults(self, failure: Failure) -> None:
        self._line("")
        before, left = failure.faults_before, failure.faults_left
        if failure.error is not None:
            self._line(f"  {plural(left, 'fault')} struck before{':' if left else '.'}")
        elif left == 0:
            self._line("  It fails without any fault.")
        elif failure.replays:
            rest = "none of them can be left out" if left > 1 else "without it the oracle does not fail"
            tail = f"; {rest}" if failure.minimal else "; stopped there, so fewer may do"
            does = "is" if left == 1 else "are"
            self._line(
                f"  {left} of {plural(before, 'fault')} {does} enough ({plural(failure.replays, 'replay')}{tail}):"
            )
        else:
            self._line(f"  {plural(left, 'fault')}:")
        if failure.intents_before:
            asked = ", ".join(failure.intents_left) or "nothing"
            self._line(f"  Of {plural(failure.intents_before, 'intent')} it needs: {asked}.")
        rows = [("", "fault", "where", "did", "operation")]
        rows += [
            (f"{each.t:.3f} s", each.fault, safe(each.point), action_text(each.action), each.effect)
            for each in failure.receipts[:20]
        ]
        if len(rows) > 1:
            self._table(rows)
        if len(failure.receipts) > 20:
            self._line((f"    and {plural(len(failure.receipts) - 20, 'receipt')} more", "dim"))

    def _table(self, rows: Sequence[Sequence[str]]) -> None:
        if rows and not rows[0][0] and rows[0][1] == "wanted":
            self._line("")
        head, *lines = columns(rows)
        self._line(("    " + head, "dim"))
        for line in lines:
            self._line("    ", line)

    # The end

    def replay(self, done: Replay, code: int, meaning: str) -> None:
        """A replay: every verdict, the failure if there is one, and whether it is what was saved."""
        record, case = done.record, done.case
        self._line((safe(case.scenario.name), "bold"), f" · {target_label(case.target)} · seed {record.seed}")
        width = max((len(verdict.oracle) for verdict in record.verdicts), default=0)
        for verdict in record.verdicts:
            mark, style = MARKS["inconclusive" if verdict.verdict == "unknown" else verdict.verdict]
            why = shortened(safe(verdict.why), LINE_WIDTH)
            self._line("  ", (mark, style), f" {verdict.oracle.ljust(width)}", (f"   {why}", "dim"))
        if done.failure is not None:
            self.failure(case, done.failure)
        self._line("")
        if done.repeats is not None:
            same = "the history is the one that was saved"
            other = "the history is not the one that was saved: client, scenario or libraries have changed since"
            self._line((same if done.repeats else other, "dim" if done.repeats else "yellow"))
        self._line((f"exit {code}: {meaning}", "bold red" if code else "bold green"))

    def summary(self, campaign: Campaign, code: int, meaning: str) -> None:
        """How many were as expected, what was done, and what the exit code means."""
        good = len(campaign.having("pass"))
        others = [f"{len(found)} {word}" for status, word in _WORDS.items() if (found := campaign.having(status))]
        unbegun = campaign.planned - len(campaign.results)
        if unbegun:
            others.append(f"{unbegun} not begun")
        done = (
            f"{plural(campaign.run_count, 'run')}, {plural(campaign.receipt_count, 'receipt')}, {campaign.wall_s:.1f} s"
        )
        style = "bold green" if code == 0 else "bold red" if code in (1, 3) else "bold yellow"
        head = f"{good} of {campaign.planned} as expected" + "".join(f", {other}" for other in others)
        self._line("\n" if self._folder is not None or self._blocks else "", (head, style), (f"   {done}", "dim"))
        self._line((f"exit {code}: {meaning}", style if code else "dim"))


def _by_seeds(failing: Mapping[str, Sequence[int]], total: int) -> str:
    """Oracles with the seeds under which they failed; those of the same seeds together."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, seeds in failing.items():
        groups.setdefault(tuple(seeds), []).append(name)
    return "; ".join(f"{', '.join(names)} {_of(seeds, total)}" for seeds, names in groups.items())


def _of(seeds: Sequence[int], total: int) -> str:
    if total == 1:
        return f"under seed {seeds[0]}"
    if len(seeds) == total:
        return "under every seed"
    shown = ", ".join(map(str, seeds[:SEEDS_SHOWN])) + (", ..." if len(seeds) > SEEDS_SHOWN else "")
    return f"under {len(seeds)} of {total} seeds ({shown})"

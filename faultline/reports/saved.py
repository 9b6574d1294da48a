"""A saved run, opened again to be shown: from its history, or from the schedule that was saved beside it.

Nothing is run. The history is judged again: by the oracles of its scenario where that is still there, else by those of
:data:`ORACLES_ALONE`, which need to be told nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from faultline.campaign.model import Broken, Case, Failure, Status
from faultline.campaign.replay import case_of
from faultline.campaign.work import FINDINGS_SHOWN
from faultline.errors import FaultlineError, UsageError
from faultline.faults import codec
from faultline.history import History, read_history
from faultline.history.event import Contracted, Struck
from faultline.history.operations import timing
from faultline.oracles import ORACLES
from faultline.oracles.base import Oracle, Verdict
from faultline.reports import document as doc
from faultline.reports.json import failure_json, receipts_json, timing_json, verdict_json
from faultline.reports.shown import Shown, of_history
from faultline.runner import judge
from faultline.search.witness import receipts, side_by_side

ORACLES_ALONE: Final = (
    "no_duplicates",
    "no_lost_intent",
    "no_lost_ack",
    "no_lost_events",
    "fills_conserved",
    "legal_order_states",
    "reconciled",
    "resolved_unknowns",
    "no_stuck_tasks",
)
HISTORIES: Final = (".history.jsonl", ".replay.jsonl")
"""How the names of histories end beside ``NAME.json``."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A saved run: as it is shown, and as the report document has it."""

    status: Status
    shown: Shown
    result: doc.Result
    run: doc.Run


def opened(path: Path) -> Opened:
    """Open a history or a schedule. Raises UsageError when it is neither, or when the schedule's history is missing."""
    history_path, schedule_path = _both(path)
    history = read_history(history_path)
    meta: Mapping[str, str] = {}
    entries = len(history.of(Struck))
    if schedule_path is not None:
        saved = codec.load(schedule_path)
        meta, entries = saved.meta, len(saved.schedule)
    case = None
    if schedule_path is not None and meta:
        try:
            case = case_of(schedule_path, meta)
        except FaultlineError:
            case = None
    oracles: Sequence[Oracle] = case.scenario.expect if case else [ORACLES[name]() for name in ORACLES_ALONE]
    broke = meta.get("oracle") == ""
    verdicts = () if broke else tuple(judge(history, oracles))
    failed = [verdict.oracle for verdict in verdicts if verdict.verdict == "fail"]
    unexpected = failed if case is None else list(case.unexpected(failed))
    failure = None
    if failed or broke:
        oracle = meta.get("oracle", "")
        oracle = oracle if oracle in failed else next(iter([*unexpected, *failed]), "")
        explained = _failure(history, verdicts, oracle, entries, schedule_path, history_path, case)
        failure = failure_json(explained)
    status: Status = "broken" if broke else "fail" if unexpected else "pass"
    if status == "pass" and not any(verdict.verdict == "pass" for verdict in verdicts) and not failed:
        status = "inconclusive"
    line, column = (0, 0) if case is None else case.scenario.where("expect")
    place = "" if case is None else f"{case.scenario.path}:{line}:{column}"
    shown = of_history(history, verdicts, failure, place)
    run = _run(shown, meta)
    return Opened(status, shown, _result(shown, run, status, case, unexpected), run)


def _both(path: Path) -> tuple[Path, Path | None]:
    """The history and the schedule that belong together."""
    try:
        with path.open("rb") as file:
            first = file.readline(4096)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if first.startswith(b'{"faultline_history"'):
        for ending in HISTORIES:
            beside = path.with_name(path.name.removesuffix(ending) + ".json")
            if path.name.endswith(ending) and beside.is_file():
                return path, beside
        return path, None
    codec.load(path)
    for ending in HISTORIES:
        beside = path.with_name(path.stem + ending)
        if beside.is_file():
            return beside, path
    raise UsageError(
        f"{path}: its history {path.stem}{HISTORIES[0]} is not beside it; faultline replay {path} makes one"
    )


def _failure(
    history: History,
    verdicts: Sequence[Verdict],
    oracle: str,
    entries: int,
    schedule_path: Path | None,
    history_path: Path,
    case: Case | None,
) -> Failure:
    verdict = next((each for each in verdicts if each.oracle == oracle), Verdict(oracle, "unknown", 0))
    about = next(iter(history.of(Contracted)), None)
    return Failure(
        oracle=oracle,
        seed=about.seed if about else 0,
        findings=tuple(finding.what for finding in verdict.findings[:FINDINGS_SHOWN]),
        finding_count=verdict.count,
        receipts=receipts(history),
        faults_left=entries,
        faults_before=entries,
        rows=side_by_side(history, verdict),
        schedule_path="" if schedule_path is None else str(schedule_path),
        history_path=str(history_path),
        history_hash=history.digest,
        stated=None if case is None else case.expectation.fails.get(oracle),
        also=tuple(each.oracle for each in verdicts if each.verdict == "fail" and each.oracle != oracle),
        error=None if oracle else Broken("Broken", "the harness or the target broke; faultline replay says how"),
    )


def _run(shown: Shown, meta: Mapping[str, str]) -> doc.Run:
    error = shown.failure.error if shown.failure else None
    return doc.Run(
        scenario=shown.scenario,
        path=meta.get("scenario", ""),
        target=shown.target,
        target_name=meta.get("target_name", ""),
        seed=shown.seed,
        verdicts={verdict.oracle: verdict_json(verdict) for verdict in shown.verdicts},
        receipts=receipts_json(receipts(shown.history)),
        history_hash=shown.history.digest,
        virtual_s=round(shown.history.end_t, 3),
        # A history does not have the real time that its run took; in real time it is the same.
        wall_s=round(shown.history.end_t, 3),
        timing=timing_json(timing(shown.history)),
        error=error,
    )


def _result(shown: Shown, run: doc.Run, status: Status, case: Case | None, unexpected: Sequence[str]) -> doc.Result:
    about = next(iter(shown.history.of(Contracted)), None)
    failed = [verdict.oracle for verdict in shown.verdicts if verdict.verdict == "fail"]
    return doc.Result(
        scenario=run.scenario,
        path=run.path,
        line=0 if case is None else case.scenario.where("name")[0],
        target=run.target,
        target_name=run.target_name,
        venue=about.contract.venue if about else "",
        world=shown.world,
        tags=() if case is None else tuple(case.scenario.tags),
        status=status,
        seeds=(run.seed,),
        failed=dict.fromkeys(failed, (run.seed,)),
        unexpected=tuple(unexpected),
        stated={} if case is None else dict(case.expectation.fails),
        may_fail=() if case is None else tuple(case.expectation.may_fail),
        unmet=(),
        doubts=tuple(verdict.why for verdict in shown.verdicts if verdict.verdict == "unknown")
        if status == "inconclusive"
        else (),
        lost=(),
        receipt_count=len(run.receipts),
        wall_s=run.wall_s,
        failures=() if shown.failure is None else (shown.failure,),
    )

"""From a campaign's report to the rows of the tables. Values only; nothing here knows a database."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from faultline.reports import document as doc
from faultline.store.folder import About

Row = Mapping[str, object]

BROKE: Final = "broke"
LOST: Final = "lost its worker"
INCONCLUSIVE: Final = "inconclusive"
UNMET: Final = "did not fail as stated"
"""What can be wrong with a case besides an oracle that failed. None of these is a name that an oracle can have."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one campaign, by table."""

    campaign: Row
    cases: Sequence[Row]
    failures: Sequence[Row]
    runs: Sequence[Row]


def rows_of(whose: About, report: doc.Report) -> Rows:
    """All rows of a campaign. The runs of a report stand in the order of its results."""
    cases: list[Row] = []
    failures: list[Row] = []
    runs: list[Row] = []
    start = 0
    for number, result in enumerate(report.results):
        mine = report.runs[start : start + len(result.seeds)]
        start += len(result.seeds)
        cases.append({"campaign": whose.id, "number": number, **_case(result, mine)})
        failures += ({"campaign": whose.id, "number": number, **row} for row in _failures(result, mine))
        runs += ({"campaign": whose.id, "number": number, **_run(run)} for run in mine)
    campaign: Row = {
        **{name: getattr(whose, name) for name in ("id", "began_at", "label", "host", "revision", "branch")},
        **{name: getattr(report, name) for name in ("faultline", "exit_code", "meaning", "interrupted", "planned")},
        "cases": len(report.results),
        "expected": sum(result.status == "pass" for result in report.results),
        "runs": len(report.runs),
        "receipts": sum(result.receipt_count for result in report.results),
        "wall_s": report.wall_s,
    }
    return Rows(campaign, cases, failures, runs)


def case_key(path: str, scenario: str, target_name: str, target: str, world: str) -> str:
    """What a case is known by from one campaign to the next."""
    parts = (portable(path), scenario, target_name, target, world)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def portable(path: str) -> str:
    """A path relative to this folder where it is under it: how it was typed makes no other case of it."""
    relative = os.path.relpath(path)
    return os.path.normpath(path) if relative.startswith("..") else relative


def _case(result: doc.Result, runs: Sequence[doc.Run]) -> Row:
    judged = sorted({name for run in runs for name in run.verdicts})
    return {
        "case_key": case_key(result.path, result.scenario, result.target_name, result.target, result.world),
        "path": portable(result.path),
        **{name: getattr(result, name) for name in ("line", "scenario", "target", "target_name", "world", "status")},
        "oracles": _json(judged),
        "runs": len(runs),
        "receipts": result.receipt_count,
        "wall_s": result.wall_s,
    }


def _failures(result: doc.Result, runs: Sequence[doc.Run]) -> Iterator[Row]:
    explained = {failure.oracle: failure for failure in result.failures}
    for name, seeds in result.failed.items():
        why = next((run.verdicts[name].why for run in runs if run.seed == seeds[0] and name in run.verdicts), "")
        yield _failure(name, seeds, why, explained.get(name), stated=name not in result.unexpected)
    broken = [run for run in runs if run.error is not None]
    if broken:
        error = broken[0].error
        assert error is not None
        said = f"{error.kind}: {error.message}"
        yield _failure(BROKE, [run.seed for run in broken], said, explained.get(""))
    if result.lost:
        yield _failure(LOST, (), result.lost[0], None)
    for name in result.unmet:
        yield _failure(f"{name} {UNMET}", (), result.stated.get(name, ""), None)
    if result.status == "inconclusive":
        yield _failure(INCONCLUSIVE, (), result.doubts[0] if result.doubts else "", None)


def _failure(what: str, seeds: Sequence[int], said: str, explained: doc.Failure | None, *, stated: bool = False) -> Row:
    found = explained.findings[:1] if explained is not None else ()
    return {
        "what": what,
        "stated": stated,
        "seeds": _json([str(seed) for seed in seeds]),
        "finding": _plain("".join(found) or said),
        "faults_before": 0 if explained is None else explained.faults_before,
        "faults_left": 0 if explained is None else explained.faults_left,
        "minimal": explained is not None and explained.minimal,
        "differs": explained is not None and explained.difference is not None,
        "schedule": "" if explained is None else explained.schedule,
        "history": "" if explained is None else explained.history,
    }


def _run(run: doc.Run) -> Row:
    return {
        "seed": str(run.seed),
        "history_hash": run.history_hash,
        "virtual_s": run.virtual_s,
        "wall_s": run.wall_s,
        "operation_ms_p50": run.timing.operation_ms_p50,
        "operation_ms_p99": run.timing.operation_ms_p99,
        "recovery_ms": run.timing.recovery_ms,
    }


def _plain(text: str) -> str:
    """PostgreSQL takes no NUL in a text, and no text needs one."""
    return text.replace("\0", "\\0")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()

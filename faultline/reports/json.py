"""The report that programs read: one JSON document."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from faultline import __version__
from faultline.campaign.model import Campaign, Case, CaseResult, Failure, RunRecord
from faultline.campaign.replay import Replay
from faultline.oracles.base import Verdict
from faultline.search.witness import Receipt

VERSION: Final = 1
"""Version of the document. It grows by keys; a key that changes its meaning raises it."""

Json: TypeAlias = dict[str, Any]
"""A JSON object on its way out."""


def document(campaign: Campaign, code: int, meaning: str) -> Json:
    """Results by case and runs, flat: each with its seed, target, verdicts, receipts and history hash."""
    return {
        "faultline_report": VERSION,
        "faultline": __version__,
        "exit_code": code,
        "meaning": meaning,
        "interrupted": campaign.interrupted,
        "planned": campaign.planned,
        "wall_s": round(campaign.wall_s, 3),
        "results": [_result(result) for result in campaign.results],
        "runs": [_run(result.case, run) for result in campaign.results for run in result.runs],
    }


def text(campaign: Campaign, code: int, meaning: str) -> str:
    """The document as text."""
    return json.dumps(document(campaign, code, meaning), indent=1, ensure_ascii=False)


def replay_text(done: Replay, code: int, meaning: str) -> str:
    """A replayed run as text: as in ``runs``, with the failure that it shows and whether it is the saved one."""
    shown = {
        "faultline_replay": VERSION,
        "faultline": __version__,
        "exit_code": code,
        "meaning": meaning,
        "run": _run(done.case, done.record),
        "failure": None if done.failure is None else failure_json(done.failure),
        "repeats": done.repeats,
    }
    return json.dumps(shown, indent=1, ensure_ascii=False)


def _case(case: Case) -> Json:
    scenario = case.scenario
    return {
        "scenario": scenario.name,
        "path": scenario.path,
        "line": scenario.where("name")[0],
        "target": case.target.spec,
        "target_name": case.target.name,
    }


def _result(result: CaseResult) -> Json:
    known = result.case.expectation
    return {
        **_case(result.case),
        "tags": list(result.case.scenario.tags),
        "status": result.status,
        "seeds": [run.seed for run in result.runs],
        "failed": {name: list(seeds) for name, seeds in result.failing_seeds.items()},
        "unexpected": list(result.unexpected),
        "stated": dict(known.fails),
        "may_fail": list(known.may_fail),
        "unmet": list(result.unmet),
        "doubts": list(result.doubts),
        "lost": list(result.lost),
        "receipt_count": result.receipt_count,
        "wall_s": round(result.wall_s, 3),
        "failures": [failure_json(failure) for failure in result.failures],
    }


def _run(case: Case, run: RunRecord) -> Json:
    return {
        "scenario": case.scenario.name,
        "path": case.scenario.path,
        "target": case.target.spec,
        "target_name": case.target.name,
        "seed": run.seed,
        "verdicts": {verdict.oracle: _verdict(verdict) for verdict in run.verdicts},
        "receipts": [_receipt(receipt) for receipt in run.receipts],
        "history_hash": run.history_hash,
        "virtual_s": round(run.virtual_s, 3),
        "wall_s": round(run.wall_s, 4),
        "error": None if run.error is None else {"kind": run.error.kind, "message": run.error.message},
    }


def _verdict(verdict: Verdict) -> Json:
    return {"verdict": verdict.verdict, "judged": verdict.judged, "findings": verdict.count, "why": verdict.why}


def _receipt(receipt: Receipt) -> Json:
    return {
        "t": receipt.t,
        "fault": receipt.fault,
        "point": receipt.point,
        "action": receipt.action,
        "effect": receipt.effect,
    }


def failure_json(failure: Failure) -> Json:
    """One explained failure."""
    difference = failure.difference
    return {
        "oracle": failure.oracle,
        "seed": failure.seed,
        "findings": list(failure.findings),
        "finding_count": failure.finding_count,
        "also": list(failure.also),
        "faults_before": failure.faults_before,
        "faults_left": failure.faults_left,
        "replays": failure.replays,
        "minimal": failure.minimal,
        "receipts": [_receipt(receipt) for receipt in failure.receipts],
        "side_by_side": [
            {"subject": row.subject, "wanted": row.wanted, "venue": row.venue, "client": row.client}
            for row in failure.rows
        ],
        "schedule": failure.schedule_path,
        "history": failure.history_path,
        "history_hash": failure.history_hash,
        "stated": failure.stated,
        "error": None if failure.error is None else {"kind": failure.error.kind, "message": failure.error.message},
        "difference": None
        if difference is None
        else {"event": difference.index, "first": difference.first, "second": difference.second},
        "repeat": f"faultline replay {failure.schedule_path}",
    }

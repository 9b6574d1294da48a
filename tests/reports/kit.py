"""A run to show and the document around it, as the reports get them."""

from __future__ import annotations

from faultline.campaign.model import Failure
from faultline.history import History
from faultline.history.operations import timing
from faultline.oracles import ORACLES
from faultline.reports import document as doc
from faultline.reports.json import failure_json, receipts_json, timing_json, verdict_json
from faultline.reports.shown import Shown, of_history
from faultline.search.witness import receipts, side_by_side


def shown(history: History, oracle: str = "no_duplicates", words: str = "") -> Shown:
    verdicts = tuple(ORACLES[name]().judge(history) for name in ("no_duplicates", "no_lost_intent", "reconciled"))
    verdict = next(each for each in verdicts if each.oracle == oracle)
    failure = None
    if verdict.verdict == "fail":
        failure = failure_json(
            Failure(
                oracle=oracle,
                seed=7,
                findings=tuple(finding.what for finding in verdict.findings),
                finding_count=verdict.count,
                receipts=receipts(history),
                faults_left=1,
                faults_before=13,
                replays=5,
                minimal=True,
                rows=side_by_side(history, verdict),
                schedule_path=f".faultline/a{words}.json",
                history_path=f".faultline/a{words}.history.jsonl",
            )
        )
    return of_history(history, verdicts, failure, f"s{words}.yaml:3:1")


def report(run: Shown, words: str = "") -> doc.Report:
    failed = run.failure is not None
    result = doc.Result(
        scenario=f"orders{words}",
        path=f"s{words}.yaml",
        line=3,
        target=f"bot.py:Bot{words}",
        target_name=f"it{words}",
        venue=f"generic{words}",
        world="sim",
        tags=(),
        status="fail" if failed else "pass",
        seeds=(7,),
        failed={"no_duplicates": (7,)} if failed else {},
        unexpected=("no_duplicates",) if failed else (),
        stated={f"other{words}": words},
        may_fail=(),
        unmet=(f"other{words}",),
        doubts=(f"doubt{words}",),
        lost=(f"lost{words}",),
        receipt_count=1,
        wall_s=0.5,
        failures=() if run.failure is None else (run.failure,),
    )
    record = doc.Run(
        scenario=result.scenario,
        path=result.path,
        target=result.target,
        target_name=result.target_name,
        seed=7,
        verdicts={each.oracle: verdict_json(each) for each in run.verdicts},
        receipts=receipts_json(receipts(run.history)),
        history_hash=run.history.digest,
        virtual_s=3.0,
        wall_s=0.5,
        timing=timing_json(timing(run.history)),
        error=None,
    )
    return doc.Report(1, "0.1.0", int(failed), f"meaning{words}", False, 1, 0.5, (result,), (record,))

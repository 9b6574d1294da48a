"""The report that programs read: one JSON document, see :mod:`faultline.reports.document`."""

from __future__ import annotations

from faultline import __version__
from faultline.campaign.model import Broken, Campaign, Case, CaseResult, RunRecord
from faultline.campaign.model import Failure as Explained
from faultline.campaign.replay import Replay
from faultline.history.operations import Timing as Times
from faultline.oracles.base import Verdict as Judged
from faultline.reports import document as doc
from faultline.search.witness import Receipt as Fired


def document(campaign: Campaign, code: int, meaning: str) -> doc.Report:
    """Results by case and runs, flat: each with its seed, target, verdicts, receipts and history hash."""
    return doc.Report(
        faultline_report=doc.VERSION,
        faultline=__version__,
        exit_code=code,
        meaning=meaning,
        interrupted=campaign.interrupted,
        planned=campaign.planned,
        wall_s=round(campaign.wall_s, 3),
        results=tuple(_result(result) for result in campaign.results),
        runs=tuple(run_json(result.case, run) for result in campaign.results for run in result.runs),
    )


def text(campaign: Campaign, code: int, meaning: str) -> str:
    """The document as text."""
    return doc.text(document(campaign, code, meaning))


def replay_text(done: Replay, code: int, meaning: str) -> str:
    """A replayed run as text: as in ``runs``, with the failure that it shows and whether it is the saved one."""
    return doc.text(
        doc.Replayed(
            faultline_replay=doc.VERSION,
            faultline=__version__,
            exit_code=code,
            meaning=meaning,
            run=run_json(done.case, done.record),
            failure=None if done.failure is None else failure_json(done.failure),
            repeats=done.repeats,
        )
    )


def _result(result: CaseResult) -> doc.Result:
    case, known = result.case, result.case.expectation
    return doc.Result(
        scenario=case.scenario.name,
        path=case.scenario.path,
        line=case.scenario.where("name")[0],
        target=case.target.spec,
        target_name=case.target.name,
        venue=case.scenario.venue.profile,
        world=case.scenario.world,
        tags=tuple(case.scenario.tags),
        status=result.status,
        seeds=tuple(run.seed for run in result.runs),
        failed=dict(result.failing_seeds),
        unexpected=tuple(result.unexpected),
        stated=dict(known.fails),
        may_fail=tuple(known.may_fail),
        unmet=result.unmet,
        doubts=result.doubts,
        lost=result.lost,
        receipt_count=result.receipt_count,
        wall_s=round(result.wall_s, 3),
        failures=tuple(failure_json(failure) for failure in result.failures),
    )


def run_json(case: Case, run: RunRecord) -> doc.Run:
    """One run of a case."""
    return doc.Run(
        scenario=case.scenario.name,
        path=case.scenario.path,
        target=case.target.spec,
        target_name=case.target.name,
        seed=run.seed,
        verdicts={verdict.oracle: verdict_json(verdict) for verdict in run.verdicts},
        receipts=receipts_json(run.receipts),
        history_hash=run.history_hash,
        virtual_s=round(run.virtual_s, 3),
        wall_s=round(run.wall_s, 4),
        timing=timing_json(run.timing),
        error=_error(run.error),
    )


def verdict_json(verdict: Judged) -> doc.Verdict:
    """One verdict."""
    return doc.Verdict(verdict.verdict, verdict.judged, verdict.count, verdict.why)


def receipts_json(receipts: tuple[Fired, ...]) -> tuple[doc.Receipt, ...]:
    """Receipts, in order."""
    return tuple(doc.Receipt(each.t, each.fault, each.point, each.action, each.effect) for each in receipts)


def timing_json(times: Times) -> doc.Timing:
    """The figures of a run, in milliseconds."""
    return doc.Timing(
        operations=times.operations,
        operation_ms_p50=_ms(times.operation_p50_s),
        operation_ms_p99=_ms(times.operation_p99_s),
        operation_ms_max=_ms(times.operation_max_s),
        requests=times.requests,
        request_ms_p99=_ms(times.request_p99_s),
        request_ms_max=_ms(times.request_max_s),
        messages=times.messages,
        message_ms_max=_ms(times.message_max_s),
        recovery_ms=_ms(times.recovery_s),
    )


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * 1000, 3)


def _error(error: Broken | None) -> doc.Error | None:
    return None if error is None else doc.Error(error.kind, error.message)


def failure_json(failure: Explained) -> doc.Failure:
    """One explained failure."""
    difference = failure.difference
    return doc.Failure(
        oracle=failure.oracle,
        seed=failure.seed,
        findings=failure.findings,
        finding_count=failure.finding_count,
        also=failure.also,
        faults_before=failure.faults_before,
        faults_left=failure.faults_left,
        replays=failure.replays,
        minimal=failure.minimal,
        receipts=receipts_json(failure.receipts),
        side_by_side=tuple(doc.Row(row.subject, row.wanted, row.venue, row.client) for row in failure.rows),
        schedule=failure.schedule_path,
        history=failure.history_path,
        history_hash=failure.history_hash,
        stated=failure.stated,
        error=_error(failure.error),
        difference=None
        if difference is None
        else doc.Difference(difference.index, difference.first, difference.second),
        repeat=f"faultline replay {failure.schedule_path}" if failure.schedule_path else "",
    )

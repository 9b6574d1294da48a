"""What a worker does: run some seeds of a case, or explain one failing run of it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from faultline import __version__
from faultline.campaign.model import Broken, Case, Failure, RunRecord, target_label
from faultline.errors import SimHang
from faultline.faults import codec
from faultline.faults.deciders import Scheduled
from faultline.faults.schedule import Schedule
from faultline.history.event import Intent
from faultline.history.operations import timing
from faultline.oracles import Evidence
from faultline.oracles.base import Verdict
from faultline.plan import Plan, make_plan
from faultline.runner import Run, run
from faultline.search.interruption import INTERRUPTION
from faultline.search.repeat import Difference, first_difference
from faultline.search.shrink import Shrunk, shrink, shrink_all
from faultline.search.witness import receipts, side_by_side

FINDINGS_SHOWN: Final = 2


def run_seeds(case: Case, seeds: Sequence[int], keep_receipts: bool, fail_fast: bool) -> list[RunRecord]:
    """Run ``seeds`` of ``case``, the first failing one twice.

    Where runs do not repeat, a second one would prove nothing, and is not made.
    With ``fail_fast`` only up to the first that should have passed; never on after one that hangs, or after Ctrl-C.
    """
    # A client may print; stdout is for results.
    with redirect_stdout(sys.stderr):
        plan = make_plan(case.scenario, case.target)
        records: list[RunRecord] = []
        again = plan.repeatable
        for seed in seeds:
            began_s = time.perf_counter()
            try:
                done = run(plan, seed)
                took_s = time.perf_counter() - began_s
                wrong = _is_wrong(case, done)
                again_too = wrong and again and not isinstance(done.error, SimHang)
                difference = first_difference(done.history, run(plan, seed).history) if again_too else None
                records.append(record_of(done, took_s, keep_receipts, difference))
            except Exception as error:  # a fault of ours; it must not take the other runs with it
                wrong = True
                records.append(_broken_record(seed, time.perf_counter() - began_s, error))
            again = again and not wrong
            last = records[-1].error
            if (wrong and fail_fast) or (last is not None and last.hangs) or INTERRUPTION.asked:
                break
        return records


def _is_wrong(case: Case, done: Run) -> bool:
    return done.error is not None or bool(case.unexpected(done.failed))


def _broken_record(seed: int, wall_s: float, error: Exception) -> RunRecord:
    return RunRecord(seed, (), frozenset(), 0, "", 0.0, wall_s, error=Broken.by(error))


def record_of(done: Run, wall_s: float, keep_receipts: bool = False, difference: Difference | None = None) -> RunRecord:
    """What is kept of a run that took ``wall_s``."""
    evidence = Evidence.of(done.history, done.verdicts, seed=done.seed)
    return RunRecord(
        seed=done.seed,
        verdicts=tuple(msgspec.structs.replace(verdict, findings=verdict.findings[:1]) for verdict in done.verdicts),
        fired=evidence.fired,
        receipt_count=len(done.receipts),
        history_hash=done.history.digest,
        virtual_s=done.virtual_s,
        wall_s=wall_s,
        receipts=receipts(done.history) if keep_receipts else (),
        error=broken_by(done),
        difference=difference,
        timing=timing(done.history),
    )


def broken_by(done: Run) -> Broken | None:
    """Why a run has no verdicts, or None when it has."""
    return None if done.error is None else Broken.by(done.error)


def explain(case: Case, record: RunRecord, oracle: str, folder: Path) -> Failure:
    """Shrink the faults of the failing run that ``record`` tells of, save what is left, and say what it shows.

    ``oracle`` is the one that failed; empty for a run that broke. What is saved goes to ``folder``.
    """
    if record.error is not None and record.error.hangs:
        return Failure("", record.seed, error=record.error)
    with redirect_stdout(sys.stderr):
        plan = make_plan(case.scenario, case.target)
        if not plan.repeatable:
            return _met_again(plan, record, oracle, folder)
        try:
            whole = run(plan, record.seed)
        except Exception as error:
            return Failure(oracle, record.seed, error=Broken.by(error))
        difference = record.difference or _difference(plan, whole, record)
        shrunk: Shrunk | None = None
        if oracle and difference is None:
            shrunk = shrink(plan, record.seed, whole.schedule, oracle)
        return _explained(plan, whole, shrunk, oracle, difference, _stem(plan, record.seed, oracle, folder))


def explain_schedule(
    case: Case, schedule: Schedule, oracle: str, stem: Path, intents: Sequence[Intent] | None = None
) -> Failure:
    """Shrink the faults of ``schedule``, under which ``oracle`` fails (empty: the run breaks), and then the intents.

    Run under the case's first seed. What is left is saved as ``stem`` with ``.json`` and ``.history.jsonl`` after it.
    ``intents``, where given, take the place of all that the workload has. A bound on replays as for :func:`explain`.
    """
    seed = case.seeds[0]
    with redirect_stdout(sys.stderr):
        plan = make_plan(case.scenario, case.target)
        plan = plan if intents is None else plan.with_intents(intents)
        try:
            whole = run(plan, seed, Scheduled(schedule, seed))
        except Exception as error:
            return Failure(oracle, seed, error=Broken.by(error))
        shrunk = shrink_all(plan, seed, schedule, oracle) if oracle else None
        return _explained(plan, whole, shrunk, oracle, None, stem)


def stem_of(case: Case, oracle: str, *marks: str) -> str:
    """The name, without a folder, of what is saved of a failing run of the case's first seed."""
    scenario = case.scenario
    parts = [
        Path(scenario.path).stem,
        *([] if scenario.world == "sim" else [scenario.world]),
        *scenario.params.values(),
        target_label(case.target),
        oracle or "broken",
        *marks,
        f"seed{case.seeds[0]}",
    ]
    return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part).strip("_.") or "_" for part in parts)


def _met_again(plan: Plan, record: RunRecord, oracle: str, folder: Path) -> Failure:
    """What a failing run shows where runs do not repeat: it is run once more, for its history; nothing is shrunk.

    When it does not fail that time, what is left is the verdict of the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = _stem(plan, record.seed, oracle, folder)
    history_path = Path(f"{stem}.history.jsonl")
    done = run(plan, record.seed, path=history_path)
    if record.error is None and oracle not in done.failed:
        verdict = verdict_of(record.verdicts, oracle)
        return Failure(
            oracle,
            record.seed,
            findings=tuple(finding.what for finding in verdict.findings[:FINDINGS_SHOWN]),
            finding_count=verdict.count,
            stated=plan.scenario.expectation(plan.target.name).fails.get(oracle),
            repeatable=False,
        )
    schedule_path = Path(f"{stem}.json")
    codec.dump(done.schedule, schedule_path, _meta(plan, done, oracle))
    failure = failure_of(done, oracle, done.schedule, str(schedule_path), str(history_path))
    return replace(failure, error=failure.error or record.error, repeatable=False)


def _stem(plan: Plan, seed: int, oracle: str, folder: Path) -> Path:
    return folder / stem_of(Case(plan.scenario, plan.target, (seed,)), oracle)


def _difference(plan: Plan, whole: Run, record: RunRecord) -> Difference | None:
    """Where this run parts from the one that ``record`` tells of, as far as that can still be seen."""
    if whole.history.digest == record.history_hash:
        return None
    now = first_difference(whole.history, run(plan, record.seed).history)
    earlier, later = f"history {record.history_hash}", f"history {whole.history.digest}, again and again"
    return now or Difference(None, f"{earlier}, in another process or earlier in this one", later)


def _explained(
    plan: Plan,
    whole: Run,
    shrunk: Shrunk | None,
    oracle: str,
    difference: Difference | None,
    stem: Path,
) -> Failure:
    schedule = whole.schedule if shrunk is None else shrunk.schedule
    intents = plan.intents if shrunk is None else shrunk.run.plan.intents
    fewer = len(intents) < len(plan.intents)
    left = plan.with_intents(intents)
    try:
        final, *paths = _saved(left, whole.seed, schedule, oracle, stem)
    except OSError as error:
        # A disk that takes nothing must not hide what was found: it is told, and cannot be repeated from a file.
        print(f"faultline: {stem}.json: not saved: {error.strerror or error}", file=sys.stderr)
        final, paths = run(left, whole.seed, Scheduled(schedule, whole.seed)), ["", ""]
    failure = failure_of(final, oracle, schedule, *paths)
    return replace(
        failure,
        faults_before=len(whole.schedule),
        replays=0 if shrunk is None else shrunk.replays,
        minimal=shrunk is not None and shrunk.minimal,
        intents_left=tuple(intent.id for intent in intents) if fewer else (),
        intents_before=len(plan.intents) if fewer else 0,
        also=tuple(name for name in whole.failed if name != oracle),
        error=failure.error or broken_by(whole),
        difference=difference,
    )


def _saved(plan: Plan, seed: int, schedule: Schedule, oracle: str, stem: Path) -> tuple[Run, str, str]:
    """The replay of what is saved, and where. Its history streams to disk while it runs.

    Raises OSError, and leaves neither file.
    """
    schedule_path, history_path = Path(f"{stem}.json"), Path(f"{stem}.history.jsonl")
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        final = run(plan, seed, Scheduled(schedule, seed), path=history_path)
        codec.dump(schedule, schedule_path, _meta(final.plan, final, oracle))
    except OSError:
        for path in (schedule_path, history_path):
            with suppress(OSError):
                path.unlink()
        raise
    return final, str(schedule_path), str(history_path)


def failure_of(done: Run, oracle: str, schedule: Schedule, schedule_path: str, history_path: str) -> Failure:
    """What a failing run under ``schedule`` shows; ``oracle`` is the one that failed, empty when the run broke."""
    verdict = verdict_of(done.verdicts, oracle)
    return Failure(
        oracle=oracle,
        seed=done.seed,
        findings=tuple(finding.what for finding in verdict.findings[:FINDINGS_SHOWN]),
        finding_count=verdict.count,
        receipts=receipts(done.history),
        faults_left=len(schedule),
        faults_before=len(schedule),
        rows=side_by_side(done.history, verdict),
        schedule_path=schedule_path,
        history_path=history_path,
        history_hash=done.history.digest,
        stated=done.plan.scenario.expectation(done.plan.target.name).fails.get(oracle),
        also=tuple(name for name in done.failed if name != oracle),
        error=broken_by(done),
    )


def verdict_of(verdicts: Iterable[Verdict], oracle: str) -> Verdict:
    """The verdict of ``oracle``; an unknown one when it was not asked."""
    return next((each for each in verdicts if each.oracle == oracle), Verdict(oracle, "unknown", 0))


def _meta(plan: Plan, final: Run, oracle: str) -> Mapping[str, str]:
    """What a replay needs beside the schedule."""
    scenario = plan.scenario
    return {
        "scenario": scenario.path,
        "name": scenario.name,
        "world": scenario.world,
        **({} if scenario.toxiproxy is None else {"toxiproxy": scenario.toxiproxy}),
        **({} if scenario.faults else {"faults": "none"}),
        **_chosen_intents(plan),
        "params": msgspec.json.encode(dict(scenario.overrides)).decode(),
        "target_name": plan.target.name,
        "target": plan.target.spec,
        "seed": str(final.seed),
        "oracle": oracle,
        **({"history_hash": final.history.digest} if plan.repeatable else {}),
        "faultline": __version__,
    }


def _chosen_intents(plan: Plan) -> Mapping[str, str]:
    """The intents that are asked for, where they are not all that the workload has."""
    if plan.intents == make_plan(plan.scenario, plan.target).intents:
        return {}
    return {"intents": msgspec.json.encode([intent.id for intent in plan.intents]).decode()}

"""A saved schedule, repeated: found again, planned again, run once and judged."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path

import msgspec

from faultline.campaign.model import Case, Failure, RunRecord
from faultline.campaign.work import failure_of, record_of
from faultline.errors import UsageError
from faultline.faults import codec
from faultline.faults.deciders import Scheduled
from faultline.plan import Plan, make_plan
from faultline.runner import run
from faultline.scenario import load_scenarios
from faultline.scenario.document import did_you_mean
from faultline.targets import TargetRef


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it. ``repeats``: the history is the one that was saved; None when none was.

    ``failure`` explains the oracle that failed, if one did.
    """

    case: Case
    record: RunRecord
    failure: Failure | None
    repeats: bool | None


def replay(path: Path, target: str | None = None) -> Replay:
    """Repeat the schedule saved at ``path``, against ``target`` when one is given.

    The history streams to a file beside it. Raises UsageError for a file that is not a saved schedule, or whose
    scenario is not there any more.
    """
    saved = codec.load(path)
    case = case_of(path, saved.meta, target)
    plan = plan_of(path, case, saved.meta)
    seed = case.seeds[0]
    history_path = path.with_name(f"{path.stem}.replay.jsonl")
    began_s = time.perf_counter()
    with redirect_stdout(sys.stderr):
        done = run(plan, seed, Scheduled(saved.schedule, seed), path=history_path)
    record = record_of(done, time.perf_counter() - began_s, keep_receipts=True)
    oracle = failing_oracle(case, record.failed, saved.meta.get("oracle", ""))
    failure = None
    if oracle or record.error:
        failure = failure_of(done, oracle, saved.schedule, str(path), str(history_path))
    expected = saved.meta.get("history_hash")
    repeats = None if expected is None or target is not None else expected == record.history_hash
    return Replay(case, record, failure, repeats)


def failing_oracle(case: Case, failed: Sequence[str], saved: str) -> str:
    """Which failure to explain: the saved one when it happens again, else the first that should not be."""
    return saved if saved in failed else next(iter([*case.unexpected(failed), *failed]), "")


def case_of(path: Path, meta: Mapping[str, str], target: str | None = None) -> Case:
    """The case that a saved schedule belongs to. Raises UsageError when it is not there any more."""
    try:
        file, name, spec = meta["scenario"], meta["name"], meta["target"]
        seed = int(meta["seed"])
        params = msgspec.json.decode(meta.get("params", "{}"), type=dict[str, str])
    except (KeyError, ValueError) as error:
        raise UsageError(f"{path}: its meta does not say which scenario, target and seed it belongs to") from error
    if not Path(file).is_file():
        raise UsageError(f"{path}: its scenario {file} is not there; replay from the folder where it was saved")
    found = {scenario.name: scenario for scenario in load_scenarios(file, params=params)}
    if name not in found:
        raise UsageError(f"{path}: {file} has no scenario {name!r} any more{did_you_mean(name, found)}")
    called = meta.get("target_name", "default")
    scenario = changed(
        found[name],
        world=meta.get("world", found[name].world),
        toxiproxy=meta.get("toxiproxy", found[name].toxiproxy),
        # A schedule that was searched for has nothing to do with the scenario's own faults, nor waits for their end.
        faults=() if meta.get("faults") == "none" else found[name].faults,
    )
    command = scenario.commands.get(called)
    if target is not None:
        ref = TargetRef("given", target, file)
    elif command is not None and command.spec == spec:
        ref = TargetRef(called, spec, file, command)
    else:
        ref = TargetRef(called, spec, file)
    return Case(scenario, ref, (seed,))


def plan_of(path: Path, case: Case, meta: Mapping[str, str]) -> Plan:
    """The plan of a saved schedule: only the intents that it names, where it names any.

    Raises UsageError for an intent that the workload does not have any more.
    """
    plan = make_plan(case.scenario, case.target)
    if "intents" not in meta:
        return plan
    try:
        names = msgspec.json.decode(meta["intents"], type=list[str])
    except msgspec.DecodeError as error:
        raise UsageError(f'{path}: intents in its meta is not a list such as ["I1", "I2"]') from error
    lacking = set(names) - {intent.id for intent in plan.intents}
    if lacking:
        raise UsageError(f"{path}: the workload of {case.scenario.path} has no intent {', '.join(sorted(lacking))}")
    return plan.with_intents([intent for intent in plan.intents if intent.id in names])

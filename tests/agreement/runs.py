"""Runs every shipped scenario once in each of two worlds, and prints the outcomes as JSON.

Live runs mostly wait, so many go on at once, each in a process of its own: forked here, where everything is imported
and there is one thread. Both worlds get the same, shortened scenario. A case whose verdicts differ is run once more
in the second world, after all the others: real time on a busy machine is no part of what is compared.

``python runs.py sim,live FOLDER [TEXT]...``: only the cases whose names have one of the texts.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import traceback
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from faultline.errors import UnsupportedFault
from faultline.faults.base import Fault
from faultline.plan import Plan, make_plan
from faultline.runner import run
from faultline.scenario import find, load_all
from faultline.scenario.model import Scenario
from faultline.targets import TargetRef

SEED = 0
TAIL_MAX_S = 20.0
"""What is not quiet by then is judged as it is."""
FAULTS_GO_ON_S = 4.0
"""How long faults go on after the last intent."""
AT_ONCE = 50


@dataclass
class Case:
    """One scenario against one target. ``refused`` says why a world cannot carry it, ``decisive`` which verdicts the
    scenario is about; ``worlds`` holds the outcome in each of the two, ``again`` what the second said when asked again.
    """

    name: str
    decisive: list[str]
    refused: str = ""
    worlds: dict[str, dict[str, Any]] = field(default_factory=dict)
    again: dict[str, Any] | None = None

    @property
    def differs(self) -> list[str]:
        """The decisive oracles on which the worlds do not agree."""
        one, other = self.worlds.values()
        other = self.again or other
        if one["error"] != other["error"]:
            return ["error"]
        return [name for name in self.decisive if one["verdicts"].get(name) != other["verdicts"].get(name)]


def shortened(fault: Fault, intents_s: float) -> Fault:
    if fault.during_s is None:
        return fault
    begin_s, end_s = fault.during_s
    return replace(fault, during_s=(begin_s, min(end_s, max(begin_s, intents_s) + FAULTS_GO_ON_S)))


def plan_in(world: str, scenario: Scenario, target: str) -> Plan:
    workload = scenario.workload
    intents_s = workload.orders / workload.rate_per_s
    short = replace(
        scenario,
        world=world,
        workload=replace(workload, tail_s=min(workload.tail_s, TAIL_MAX_S)),
        faults=tuple(shortened(fault, intents_s) for fault in scenario.faults),
    )
    return make_plan(short, TargetRef(target, scenario.targets[target], scenario.path))


def outcome(plan: Plan) -> dict[str, Any]:
    done = run(plan, SEED)
    return {
        "error": None if done.error is None else f"{type(done.error).__name__}: {done.error}",
        "verdicts": {verdict.oracle: verdict.verdict for verdict in done.verdicts},
        "why": {verdict.oracle: verdict.why for verdict in done.verdicts},
        "faults": sorted({receipt.fault for receipt in done.receipts}),
        "took_s": round(done.virtual_s, 1),
    }


def in_a_child(plan: Plan, path: Path) -> int:
    """The id of a process that runs ``plan`` and leaves the outcome at ``path``."""
    child = os.fork()
    if child:
        return child
    try:
        path.write_text(json.dumps(outcome(plan)))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def at_once(plans: Iterable[Plan], most: int) -> list[dict[str, Any]]:
    """The outcome of each plan, ``most`` of them running at a time."""
    with tempfile.TemporaryDirectory() as folder:
        waiting = deque(enumerate(plans))
        paths = [Path(folder) / f"{number}.json" for number, _ in waiting]
        running: set[int] = set()
        while waiting or running:
            while waiting and len(running) < most:
                number, plan = waiting.popleft()
                running.add(in_a_child(plan, paths[number]))
            child, _ = os.wait()
            running.discard(child)
        return [
            json.loads(path.read_text()) if path.exists() else {"error": "its process died", "verdicts": {}}
            for path in paths
        ]


def planned(worlds: Sequence[str], folder: str, texts: Sequence[str]) -> tuple[list[Case], dict[str, list[Plan]]]:
    cases: list[Case] = []
    plans: dict[str, list[Plan]] = {world: [] for world in worlds}
    for scenario in load_all(find([folder])):
        for target in scenario.targets:
            name = " ".join([Path(scenario.path).stem, *scenario.params.values(), target])
            if texts and not any(text in name for text in texts):
                continue
            indifferent = scenario.expectation(target).may_fail
            case = Case(name, [oracle.name for oracle in scenario.expect if oracle.name not in indifferent])
            cases.append(case)
            try:
                both = {world: plan_in(world, scenario, target) for world in plans}
            except UnsupportedFault as refused:
                case.refused = str(refused)
                continue
            for world, plan in both.items():
                plans[world].append(plan)
    return cases, plans


def main(worlds: Sequence[str], folder: str, texts: Sequence[str]) -> None:
    cases, plans = planned(worlds, folder, texts)
    carried = [case for case in cases if not case.refused]
    gc.freeze()  # forked processes share what is never collected
    for world in worlds:
        most = (os.cpu_count() or 1) if world == "sim" else AT_ONCE
        for case, found in zip(carried, at_once(plans[world], most), strict=True):
            case.worlds[world] = found
    differing = [(case, plan) for case, plan in zip(carried, plans[worlds[-1]], strict=True) if case.differs]
    again = at_once([plan for _, plan in differing], AT_ONCE)
    for (case, _), found in zip(differing, again, strict=True):
        case.again = found
    print(json.dumps([asdict(case) | {"differs": [] if case.refused else case.differs} for case in cases]))


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2], sys.argv[3:])

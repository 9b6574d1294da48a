"""Which runs a report shows in full, and what has to be read or judged again for it.

A campaign keeps verdicts, not histories; those of explained failures are on disk. Where nothing failed, one run is made
again for its picture, if runs of its world repeat: same seed, same run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from faultline.campaign.model import Campaign, Case, CaseResult, Failure, target_label
from faultline.errors import FaultlineError, UsageError
from faultline.history import History, read_history
from faultline.history.event import Contracted
from faultline.oracles.base import Verdict
from faultline.plan import make_plan
from faultline.reports import document as doc
from faultline.reports.json import failure_json
from faultline.runner import judge, run


@dataclass(frozen=True, slots=True)
class Shown:
    """One run to show. ``verdict`` is the one that fails, None where none does; ``place`` is ``file:line:column``."""

    scenario: str
    place: str
    target: str
    seed: int
    world: str
    history: History
    verdicts: tuple[Verdict, ...]
    verdict: Verdict | None
    failure: doc.Failure | None
    note: str = ""


def of_campaign(campaign: Campaign) -> list[Shown]:
    """The runs of a campaign that are shown: its explained failures, or one that passed."""
    explained = [(result, failure) for result in campaign.results for failure in result.failures]
    # What should not be comes first, and of that the smallest.
    explained.sort(key=lambda pair: (pair[1].stated is not None, pair[1].faults_left))
    found = [shown for result, failure in explained if (shown := _failed(result, failure)) is not None]
    if found:
        return found
    for result in campaign.results:
        if (shown := _again(result)) is not None:
            return [shown]
    return []


def _failed(result: CaseResult, failure: Failure) -> Shown | None:
    if not failure.history_path:
        return None
    try:
        history = read_history(Path(failure.history_path))
    except UsageError:
        return None
    verdicts = judge(history, result.case.scenario.expect) if failure.error is None else ()
    return _shown(result.case, failure.seed, history, verdicts, failure_json(failure))


def _again(result: CaseResult) -> Shown | None:
    """A run that passed, once more."""
    passed = next((record for record in result.runs if record.error is None), None)
    if passed is None:
        return None
    with redirect_stdout(sys.stderr):
        try:
            plan = make_plan(result.case.scenario, result.case.target)
            done = run(plan, passed.seed) if plan.repeatable else None
        except FaultlineError:
            return None
    if done is None or done.error is not None:
        return None
    note = "Nothing failed that should not. This is one of the runs, made again for its picture."
    return _shown(result.case, passed.seed, done.history, done.verdicts, None, note)


def _shown(
    case: Case, seed: int, history: History, verdicts: Sequence[Verdict], failure: doc.Failure | None, note: str = ""
) -> Shown:
    line, column = case.scenario.where("expect")
    oracle = failure.oracle if failure else ""
    return Shown(
        scenario=case.scenario.name,
        place=f"{case.scenario.path}:{line}:{column}",
        target=target_label(case.target),
        seed=seed,
        world=case.scenario.world,
        history=history,
        verdicts=tuple(verdicts),
        verdict=next((each for each in verdicts if each.oracle == oracle and each.verdict == "fail"), None),
        failure=failure,
        note=note,
    )


def of_history(history: History, verdicts: Sequence[Verdict], failure: doc.Failure | None, place: str) -> Shown:
    """A run of which there is a history and nothing else that is needed."""
    about = next(iter(history.of(Contracted)), None)
    oracle = failure.oracle if failure else ""
    return Shown(
        scenario=about.scenario if about else "",
        place=place,
        target=about.target if about else "",
        seed=about.seed if about else 0,
        world=about.world if about else "",
        history=history,
        verdicts=tuple(verdicts),
        verdict=next((each for each in verdicts if each.oracle == oracle and each.verdict == "fail"), None),
        failure=failure,
    )

"""A saved schedule, made smaller: its faults and then the intents that it needs."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from faultline.campaign.model import Case, Failure
from faultline.campaign.replay import case_of, failing_oracle, plan_of
from faultline.campaign.work import explain_schedule
from faultline.errors import UsageError
from faultline.faults import codec
from faultline.faults.deciders import Scheduled
from faultline.runner import run

MARK = ".small"
"""Between the name of a schedule and that of the one it was shrunk to."""


@dataclass(frozen=True, slots=True)
class Shrinking:
    """What came of it. ``failure`` explains what is left and where it was saved; None when nothing failed."""

    case: Case
    failure: Failure | None


def shrink_saved(path: Path, target: str | None = None) -> Shrinking:
    """Shrink the schedule saved at ``path``, against ``target`` when one is given, into a file beside it.

    Of the oracles that fail under it the saved one counts, else the first that should have passed. Raises UsageError
    for a file that is not a saved schedule, whose scenario is not there any more, or whose runs do not repeat.
    """
    saved = codec.load(path)
    case = case_of(path, saved.meta, target)
    plan = plan_of(path, case, saved.meta)
    if not plan.repeatable:
        raise UsageError(
            f"{path}: runs of the {case.scenario.world} world do not repeat, so there is no shrinking them"
        )
    seed = case.seeds[0]
    with redirect_stdout(sys.stderr):
        whole = run(plan, seed, Scheduled(saved.schedule, seed))
    oracle = failing_oracle(case, whole.failed, saved.meta.get("oracle", ""))
    if not oracle and whole.error is None:
        return Shrinking(case, None)
    stem = path.with_name(path.stem.removesuffix(MARK) + MARK)
    return Shrinking(case, explain_schedule(case, saved.schedule, oracle, stem, plan.intents))

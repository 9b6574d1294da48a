"""Who gets how much of a night: time is shared by risk, and turned into seeds by what a run costs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from faultline.campaign.model import Case
from faultline.nightly.memory import Known

FAILED_WEIGHT: Final = 8.0
"""Failed in the last night: is it mended, and what else is wrong there?"""
CHANGED_WEIGHT: Final = 4.0
"""The scenario or the client has changed since, or it was never run."""
EVER_FAILED_WEIGHT: Final = 2.0
RUN_GUESS_S: Final = 0.1
"""What a run is taken to cost before one was made."""
ROUND_SEEDS_MAX: Final = 500


def digest_of(case: Case) -> str:
    """Of the scenario's file and of the client's file with its neighbours: what a change of either changes."""
    found = hashlib.sha256()
    files = [Path(case.scenario.path)]
    target = Path(case.target.spec.rpartition(":")[0] or case.target.spec)
    if case.target.command is None and target.is_file():
        files += sorted(target.parent.rglob("*.py"))
    for file in files:
        try:
            found.update(file.read_bytes())
        except OSError:
            continue
        found.update(b"\0")
    return found.hexdigest()[:16]


def weight(known: Known, digest: str) -> float:
    """The risk of a case, relative to one that never failed and has not changed."""
    if known.failing:
        return FAILED_WEIGHT
    if known.digest != digest:
        return CHANGED_WEIGHT
    return EVER_FAILED_WEIGHT if known.failed else 1.0


def seeds_for(weights: Sequence[float], costs_s: Sequence[float], time_s: float, jobs: int) -> list[int]:
    """How many fresh seeds each case gets of ``time_s`` seconds on ``jobs`` processes; at least one each."""
    whole = sum(weights)
    shares = [time_s * jobs * each / whole for each in weights]
    return [
        max(1, min(ROUND_SEEDS_MAX, int(share / (cost if cost > 0 else RUN_GUESS_S))))
        for share, cost in zip(shares, costs_s, strict=True)
    ]

"""Whole runs per second on one core, as a campaign makes them, and where their time goes (``runs.yaml``)."""

from __future__ import annotations

import gc
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Final

from benchmarks.figure import REAL, Figure
from faultline.oracles import ORACLES
from faultline.plan import Plan, make_plan
from faultline.runner import Run, run
from faultline.scenario.load import load
from faultline.targets import TargetRef
from faultline.worlds.context import INCARNATION

ROOT: Final = Path(__file__).resolve().parent.parent
BATCHES: Final = 8
RUNS_PER_BATCH: Final = 10
RUNS_SAMPLED: Final = 80
ORACLES_MIN: Final = 14
"""How many oracles it judges with: those that ask nothing of a client but to be right."""


def bench_plan() -> Plan:
    """The plan of ``runs.yaml`` against the careful target."""
    (scenario,) = load(ROOT / "benchmarks" / "runs.yaml")
    names = {oracle.name for oracle in scenario.expect}
    assert names <= set(ORACLES)
    assert len(names) >= ORACLES_MIN
    return make_plan(scenario, TargetRef("careful", str(ROOT / scenario.targets["careful"])))


def checked(done: Run) -> Run:
    """A run that is broken or red says nothing about speed."""
    if done.error is not None:
        raise done.error
    assert not done.failed, (done.seed, done.failed)
    return done


def figures() -> Iterator[Figure]:
    """Runs per second of processor time, what a run holds, and the shares of the packages."""
    plan = bench_plan()
    first = [checked(run(plan, seed)) for seed in range(RUNS_PER_BATCH)]
    gc.collect()
    rates: list[float] = []
    for _ in range(BATCHES):
        began_s = REAL.cpu_s()
        for seed in range(RUNS_PER_BATCH):
            run(plan, seed)
        rates.append(RUNS_PER_BATCH / (REAL.cpu_s() - began_s))
    yield Figure("runs.per_second", median(rates), "runs/s", ">= 45, stretch 80")
    yield Figure("runs.faults", median(len(done.receipts) for done in first), "faults/run")
    yield Figure("runs.events", median(len(done.history) for done in first), "events/run")
    yield Figure("runs.virtual", median(done.virtual_s for done in first), "virtual s/run")
    packages, sides = _sampled(plan)
    total = sum(packages.values())
    yield Figure("runs.in_the_client_process", 100 * sides["client"] / total, "%")
    for package, count in packages.most_common():
        if count / total >= 0.005:
            yield Figure(f"runs.share.{package}", 100 * count / total, "%")


def _sampled(plan: Plan) -> tuple[Counter[str], Counter[str]]:
    """How often each package was found running, and how often on whose behalf.

    Sampled, because a profiler's hooks would weigh on what calls most. The client's side is its own code, the
    libraries that it uses, and what the simulated world does for both.
    """
    packages: Counter[str] = Counter()
    sides: Counter[str] = Counter()

    def sample(number: int, frame: FrameType | None) -> None:
        if frame is not None:
            packages[_package(frame.f_code.co_filename)] += 1
            sides["harness" if INCARNATION.get() is None else "client"] += 1

    before = signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    try:
        for seed in range(RUNS_SAMPLED):
            run(plan, seed)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return packages, sides


def _package(file: str) -> str:
    """Whose code a file is: a package, a part of faultline, or of the standard library."""
    if file.startswith(str(ROOT / "faultline") + os.sep):
        part = Path(file).relative_to(ROOT / "faultline")
        if part.name in ("store.py", "journal.py"):
            return "sqlite3_and_its_guard"
        return f"faultline.{part.parts[0]}" if len(part.parts) > 1 else "faultline"
    if file.startswith(str(ROOT / "targets") + os.sep):
        return "the_client"
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    for name in ("asyncio", "json"):
        if name in parts:
            return name
    return "other_stdlib"

"""What a thousand runs leave behind in one process: memory, live objects, file descriptors.

Measured in a process of its own (``python -m benchmarks.memory``), where nothing else has been allocating.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.figure import Figure
from benchmarks.runs import ROOT, bench_plan, checked
from faultline.faults import Crash
from faultline.plan import Plan, make_plan
from faultline.runner import run

RUNS: Final = 1000
WARM_UP: Final = 50
ORDERS: Final = 2


@dataclass(frozen=True, slots=True)
class _Use:
    memory_bytes: int
    objects: int
    descriptors: int


def _use() -> _Use:
    gc.collect()
    statm, fds = Path("/proc/self/statm"), Path("/proc/self/fd")
    pages = int(statm.read_text().split()[1]) if statm.exists() else 0
    memory_bytes = pages * resource.getpagesize() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return _Use(memory_bytes, len(gc.get_objects()), len(list(fds.iterdir())) if fds.exists() else 0)


def _plan() -> Plan:
    """A short run, so that a thousand take seconds, but with a crash: what the dead leave is the likeliest leak."""
    plan = bench_plan()
    workload = replace(plan.scenario.workload, orders=ORDERS, linger_s=1.0)
    faults = (*plan.scenario.faults, Crash(at_s=0.3))
    return make_plan(replace(plan.scenario, workload=workload, faults=faults), plan.target)


def measure() -> dict[str, float]:
    """Growth over :data:`RUNS` runs, after a warm-up that fills every cache."""
    plan = _plan()
    for seed in range(WARM_UP):
        checked(run(plan, seed))
    before = _use()
    for seed in range(RUNS):
        run(plan, seed)
    after = _use()
    return {
        "memory_mb": (after.memory_bytes - before.memory_bytes) / 1e6,
        "objects": after.objects - before.objects,
        "descriptors": after.descriptors - before.descriptors,
    }


def figures() -> Iterator[Figure]:
    """Growth of each."""
    command = [sys.executable, "-m", "benchmarks.memory"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    grown = json.loads(child.stdout)
    yield Figure("memory.growth_over_1000_runs", grown["memory_mb"], "MB", "< 5")
    yield Figure("memory.objects_over_1000_runs", grown["objects"], "objects")
    yield Figure("memory.descriptors_over_1000_runs", grown["descriptors"], "descriptors")


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    json.dump(measure(), sys.stdout)

"""Conducts a campaign: hands out seeds, collects records, has one failure of each kind explained, keeps the order.

Cases are reported in their own order, whatever order they finish in. Ctrl-C ends it early: what is known by then is
the result.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from faultline.campaign.model import Campaign, Case, CaseResult, Failure, RunRecord
from faultline.campaign.work import explain, run_seeds
from faultline.errors import HarnessError
from faultline.search.executors import Crew, executor, processors
from faultline.search.interruption import INTERRUPTION
from faultline.worlds import WORLDS

CHUNK_MAX: Final = 10
"""Seeds that a worker takes at once: enough to be worth the way, few enough to share the work out evenly."""

CHUNK_HERE: Final = 5
"""Seeds at once without workers: what Ctrl-C can lose."""

RUNS_WORTH_WORKERS: Final = 40
"""With fewer runs than this, starting processes takes longer than they save."""


WAITING_RUNS_PER_PROCESSOR: Final = 8
"""A run in real time of twenty seconds needs a third of a second of a processor. Thirty-two of them on two processors
took 119 s with 8 processes, 76 s with 16 and 79 s with 24, which used 12, 18 and 26 s of processor time."""


_TOLD: Final = b"\ninterrupted: the runs in progress end first; once more to stop at once\n"


class Watcher(Protocol):
    """Told how a campaign goes on."""

    def ran(self, case: Case, records: Sequence[RunRecord]) -> None:
        """Some seeds of a case were run."""
        ...

    def explaining(self, case: Case, seed: int) -> None:
        """A failure is being shrunk."""
        ...

    def finished(self, result: CaseResult) -> None:
        """A case is done. Called in the order of the cases."""
        ...


class Unwatched:
    """A watcher that nobody looks through."""

    def ran(self, case: Case, records: Sequence[RunRecord]) -> None:
        """Some seeds of a case were run."""

    def explaining(self, case: Case, seed: int) -> None:
        """A failure is being shrunk."""

    def finished(self, result: CaseResult) -> None:
        """A case is done."""


@dataclass(slots=True)
class _State:
    """A case on its way. ``open`` counts its jobs that have not come back."""

    case: Case
    open: int = 0
    runs: list[RunRecord] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    asked: bool = False

    @property
    def begun(self) -> bool:
        return bool(self.runs or self.lost)

    def result(self) -> CaseResult:
        runs = tuple(sorted(self.runs, key=lambda record: record.seed))
        order = ["", *(oracle.name for oracle in self.case.scenario.expect)]
        # What code claimed of itself is no oracle of the scenario, and comes last.
        places = {name: place for place, name in enumerate(order)}
        failures = tuple(sorted(self.failures, key=lambda failure: places.get(failure.oracle, len(order))))
        return CaseResult(self.case, runs, failures, tuple(self.lost))


def workers_for(cases: Sequence[Case]) -> int:
    """How many processes are worth starting for these cases."""
    runs = sum(len(case.seeds) for case in cases)
    if any(WORLDS[case.scenario.world].waits for case in cases):
        return min(runs, WAITING_RUNS_PER_PROCESSOR * processors())
    return processors() if runs >= RUNS_WORTH_WORKERS else 1


def conduct(
    cases: Sequence[Case],
    watcher: Watcher,
    *,
    folder: Path,
    jobs: int | None = None,
    fail_fast: bool = False,
    explain_all: bool = False,
    keep_receipts: bool = False,
    log_level: int = 0,
) -> Campaign:
    """Run all cases. ``folder`` is where failing schedules and histories are saved.

    ``jobs`` is the number of processes (None: what is worth it). A case's first oracle that should have passed and
    failed is explained; with ``explain_all`` every one, and the failures that a scenario states. ``fail_fast`` stops at
    the first run that should have passed.
    """
    jobs = workers_for(cases) if jobs is None else jobs
    conductor = _Conductor(cases, watcher, folder, jobs, fail_fast, explain_all, keep_receipts, log_level)
    return conductor.conduct()


class _Conductor:
    def __init__(
        self,
        cases: Sequence[Case],
        watcher: Watcher,
        folder: Path,
        jobs: int,
        fail_fast: bool,
        explain_all: bool,
        keep_receipts: bool,
        log_level: int,
    ) -> None:
        self._states = [_State(case) for case in cases]
        self._watcher = watcher
        self._folder = folder
        self._jobs = jobs
        self._fail_fast = fail_fast
        self._explain_all = explain_all
        self._keep_receipts = keep_receipts
        self._crew: Crew[tuple[int, str]] = Crew(jobs, lambda count: executor(count, log_level))
        self._reported = 0

    def conduct(self) -> Campaign:
        began_s = time.perf_counter()
        interrupted = False
        try:
            self._hand_out()
            # With workers this process only waits, and that can be interrupted at any time.
            with INTERRUPTION.deferred() if self._jobs == 1 else nullcontext():
                for (number, _), result in self._crew.results():
                    self._take(number, result)
                    if INTERRUPTION.asked:
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            interrupted = True
            if self._jobs > 1 and sys.stderr.isatty():
                os.write(2, _TOLD)
        finally:
            self._close()
        for (number, _), result in self._crew.finished():
            self._put(self._states[number], result)
        for state in self._states[self._reported :]:
            if state.begun:
                self._watcher.finished(state.result())
        results = tuple(state.result() for state in self._states if state.begun)
        return Campaign(results, len(self._states), interrupted, time.perf_counter() - began_s, self._jobs)

    def _close(self) -> None:
        try:
            self._crew.close()
        except KeyboardInterrupt:  # asked twice
            self._crew.close(now=True)

    def _hand_out(self) -> None:
        for number, state in enumerate(self._states):
            seeds = state.case.seeds
            fair = -(-len(seeds) // (2 * self._jobs))
            size = max(1, min(CHUNK_HERE if self._jobs == 1 else CHUNK_MAX, fair))
            for start in range(0, len(seeds), size):
                chunk = seeds[start : start + size]
                state.open += 1
                self._crew.add((number, "run"), run_seeds, state.case, chunk, self._keep_receipts, self._fail_fast)

    def _take(self, number: int, result: list[RunRecord] | Failure | HarnessError) -> None:
        state = self._states[number]
        state.open -= 1
        self._put(state, result)
        if self._fail_fast and _is_wrong(state):
            self._drop_runs(lambda of: True)
        elif any(record.error is not None and record.error.hangs for record in state.runs):
            self._drop_runs(lambda of: of == number)
        for index, each in enumerate(self._states):
            if not each.open and not each.asked:
                each.asked = True
                self._ask_to_explain(index, each)
        self._report()

    def _drop_runs(self, unwanted: Callable[[int], bool]) -> None:
        """Begin no more runs of these cases; what was asked to be explained still is."""
        for number, _ in self._crew.drop_waiting(lambda key: key[1] == "run" and unwanted(key[0])):
            self._states[number].open -= 1

    def _put(self, state: _State, result: list[RunRecord] | Failure | HarnessError) -> None:
        if isinstance(result, HarnessError):
            state.lost.append(str(result))
        elif isinstance(result, Failure):
            state.failures.append(result)
        else:
            state.runs += result
            self._watcher.ran(state.case, result)

    def _ask_to_explain(self, number: int, state: _State) -> None:
        """A failing run for the oracle, the one with the lowest seed; for runs that broke, the first of them."""
        result = state.result()
        stated = state.case.expectation.fails
        wanted = dict(result.unexpected) if self._explain_all else dict([*result.unexpected.items()][:1])
        if self._explain_all:
            wanted |= {name: seeds for name, seeds in result.failing_seeds.items() if name in stated}
        by_seed = {record.seed: record for record in result.runs}
        chosen = [(name, by_seed[seeds[0]]) for name, seeds in wanted.items()]
        for name, record in [*chosen, *(("", record) for record in result.broken[:1])]:
            state.open += 1
            self._watcher.explaining(state.case, record.seed)
            self._crew.add((number, "explain"), explain, state.case, record, name, self._folder, first=True)

    def _report(self) -> None:
        while self._reported < len(self._states):
            state = self._states[self._reported]
            if state.open:
                return
            self._reported += 1
            if state.begun:
                self._watcher.finished(state.result())


def _is_wrong(state: _State) -> bool:
    result = state.result()
    return bool(result.unexpected or result.broken or result.lost)

"""A search: every single fault of one run, then pairs where they were asked for, and what came of all that.

It begins with the run in which nothing goes wrong, twice. When that fails, judges nothing or does not repeat, a search
would prove nothing and is not begun. What is to be tried is decided by :mod:`faultline.search.enumerate` from what came
before, in an order of its own; workers only do it. So a search that is not cut short by time comes to the same result
with any number of processes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

import msgspec

from faultline.campaign.exploration import INTERRUPTED, Cluster, Exploration, Level, clusters
from faultline.campaign.model import Broken, Case, Failure
from faultline.campaign.work import broken_by, explain_schedule, stem_of
from faultline.errors import HarnessError, UsageError
from faultline.faults.deciders import Recorder, Scheduled
from faultline.faults.points import Moment, Point
from faultline.faults.schedule import Schedule
from faultline.oracles import Evidence
from faultline.plan import Plan, make_plan
from faultline.runner import Run, run
from faultline.search.coverage import trace_of
from faultline.search.enumerate import (
    PLANES,
    Attempt,
    Candidate,
    Representative,
    appeared,
    candidates,
    pairs,
    schedule_of,
)
from faultline.search.executors import Crew, executor, processors
from faultline.search.interruption import INTERRUPTION

BUDGET: Final = "the time budget"

CHUNK: Final = 8
"""Runs that a worker does at once."""

RUNS_WORTH_WORKERS: Final = 80
"""With fewer runs than this, starting processes takes longer than they save."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a search. ``limit``: at most so many runs with faults; ``budget_s``: begin none after so long.

    ``jobs`` is the number of processes, None for what is worth it.
    """

    kinds: tuple[str, ...]
    pairs: bool = False
    limit: int | None = None
    budget_s: float | None = None
    jobs: int | None = None
    log_level: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """What is kept of one run with faults. ``moments`` are its points where they were asked for."""

    number: int
    attempt: Attempt
    evidence: Evidence
    trace: str
    struck: bool
    new: tuple[Point, ...]
    moments: tuple[Moment, ...] = ()
    error: Broken | None = None

    @property
    def future(self) -> tuple[str, frozenset[Point]]:
        """What may yet happen to such a run, as far as can be seen: its trace, and where it can be struck anew."""
        return self.trace, frozenset(self.new)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the oracles that failed."""
        return tuple(verdict.oracle for verdict in self.evidence.verdicts if verdict.verdict == "fail")


class Watcher(Protocol):
    """Told how a search goes on."""

    def planned(self, runs: int) -> None:
        """So many runs more are to be done."""
        ...

    def tried(self, runs: int) -> None:
        """So many were done."""
        ...


def try_all(case: Case, attempts: Sequence[tuple[int, Attempt]], known: frozenset[Point], keep: bool) -> list[Trial]:
    """What a worker does: run ``case`` with the faults of each attempt. ``keep`` its moments, for pairs."""
    with redirect_stdout(sys.stderr):
        plan = make_plan(case.scenario, case.target)
        trials: list[Trial] = []
        for number, attempt in attempts:
            trials.append(_try(plan, case.seeds[0], number, attempt, known, keep))
            error = trials[-1].error
            if INTERRUPTION.asked or (error is not None and error.hangs):
                break
        return trials


def _try(plan: Plan, seed: int, number: int, attempt: Attempt, known: frozenset[Point], keep: bool) -> Trial:
    recorder = Recorder(Scheduled(schedule_of(attempt), seed), PLANES)
    try:
        done = run(plan, seed, recorder)
    except Exception as error:  # a fault of ours; it must not take the other runs with it
        return Trial(number, attempt, Evidence(seed, frozenset()), "", True, (), error=Broken.by(error))
    moments = tuple(recorder.moments.values())
    new = tuple(appeared(moments, known))
    struck = len(done.receipts) >= len(attempt)
    trace = trace_of(done.history)
    kept = moments if keep else ()
    return Trial(number, attempt, _evidence(done), trace, struck, new, kept, broken_by(done))


def _evidence(done: Run) -> Evidence:
    bare = [msgspec.structs.replace(verdict, findings=()) for verdict in done.verdicts]
    return Evidence.of(done.history, bare, seed=done.seed)


def explore(case: Case, terms: Terms, watcher: Watcher, folder: Path) -> Exploration:
    """Search the case under its first seed. ``folder`` is where failing schedules and histories are saved.

    The scenario's own faults do not happen. Raises UsageError for a world whose runs do not repeat.
    """
    case = replace(case, scenario=replace(case.scenario, faults=()))
    plan = make_plan(case.scenario, case.target)
    if not plan.repeatable:
        raise UsageError(f"{case.scenario.path}: runs of the {case.scenario.world} world do not repeat; search in sim")
    return _Search(case, plan, terms, watcher, folder).result()


@dataclass(slots=True)
class _Tried:
    """What came of the attempts of one level. ``leads``: the first run of each future."""

    planned: int = 0
    trials: list[Trial] = field(default_factory=list)
    leads: dict[tuple[str, frozenset[Point]], Trial] = field(default_factory=dict)

    def level(self) -> Level:
        broken = sum(trial.error is not None for trial in self.trials)
        return Level(self.planned, len(self.trials), sum(not trial.struck for trial in self.trials), broken)


class _Search:
    def __init__(self, case: Case, plan: Plan, terms: Terms, watcher: Watcher, folder: Path) -> None:
        self._case = case
        self._plan = plan
        self._seed = case.seeds[0]
        self._terms = terms
        self._watcher = watcher
        self._folder = folder
        self._began_s = time.perf_counter()
        self._left = sys.maxsize if terms.limit is None else terms.limit
        self._lost: list[str] = []
        self._stopped = ""

    # The run without faults

    def result(self) -> Exploration:
        """Everything, from the run without faults to the failures explained."""
        recorder = Recorder(planes=PLANES)
        with redirect_stdout(sys.stderr):
            calm = run(self._plan, self._seed, recorder)
            again = run(self._plan, self._seed, Scheduled(Schedule(), self._seed))
        found = Exploration(self._case, self._terms.kinds, _evidence(calm), len(recorder.moments), broken_by(calm))
        refusal = _refusal(self._case, calm, again)
        singles = candidates(recorder.moments.values(), self._terms.kinds, self._seed)
        if not refusal and not singles:
            refusal = f"none of {', '.join(self._terms.kinds)} fits any of its {len(recorder.moments)} points"
        if refusal:
            return replace(found, refusal=refusal, wall_s=self._took_s())
        return self._searched(found, tuple(recorder.moments), trace_of(calm.history), singles)

    def _took_s(self) -> float:
        return time.perf_counter() - self._began_s

    def _searched(
        self, found: Exploration, calm: tuple[Point, ...], trace: str, singles: Sequence[Candidate]
    ) -> Exploration:
        known = frozenset(calm)
        worth = self._terms.pairs or len(singles) >= RUNS_WORTH_WORKERS
        jobs = self._terms.jobs or (processors() if worth else 1)
        crew: Crew[int] = Crew(jobs, lambda count: executor(count, self._terms.log_level))
        two: _Tried | None = None
        try:
            with INTERRUPTION.deferred() if jobs == 1 else nullcontext():
                one = self._tried(crew, [(single,) for single in singles], known, last=not self._terms.pairs)
                leads = [lead for lead in _followed(one) if lead.future != (trace, frozenset())]
                if self._terms.pairs and not self._stopped:
                    two = self._tried(crew, self._pairs(one, leads, calm), known, last=True)
        finally:
            crew.close(now=self._stopped == INTERRUPTED)
        second = [] if two is None else two.trials
        trials = [*one.trials, *second]
        quiet = [trial for trial in one.trials if not trial.failed and trial.error is None]
        return replace(
            found,
            singles=one.level(),
            pairs=None if two is None else two.level(),
            new_points=len({point for trial in one.trials for point in trial.new}),
            new_points_tried=len({trial.attempt[-1].point for trial in second} - known),
            pruned=len(quiet) - len(leads),
            followed=len(leads),
            evidence=tuple(trial.evidence for trial in trials if trial.error is None),
            clusters=self._explained(trials),
            lost=tuple(self._lost),
            stopped=self._stopped,
            wall_s=self._took_s(),
        )

    def _pairs(self, one: _Tried, leads: Sequence[Trial], calm: Sequence[Point]) -> list[Attempt]:
        alone = {trial.attempt[0] for trial in one.trials if trial.failed or trial.error}
        chosen = [Representative(lead.attempt[0], lead.moments) for lead in leads]
        return [pair for pair in pairs(chosen, calm, self._terms.kinds, self._seed) if pair[1] not in alone]

    # The runs with faults

    def _tried(self, crew: Crew[int], attempts: Sequence[Attempt], known: frozenset[Point], *, last: bool) -> _Tried:
        level = _Tried(len(attempts))
        wanted = list(enumerate(attempts))[: self._left]
        self._left -= len(wanted)
        if len(wanted) < len(attempts):
            self._stopped = f"the limit of {self._terms.limit} runs"
        self._watcher.planned(len(wanted))
        for start in range(0, len(wanted), CHUNK):
            crew.add(start, try_all, self._case, wanted[start : start + CHUNK], known, not last)
        for trials in self._runs(crew):
            for trial in trials:
                lead = level.leads.get(trial.future)
                if lead is None or trial.number < lead.number:
                    level.leads[trial.future] = trial
                level.trials.append(replace(trial, moments=()))
            self._watcher.tried(len(trials))
        level.trials.sort(key=lambda trial: trial.number)
        if last and len(level.trials) == len(attempts) and self._stopped == BUDGET:
            self._stopped = ""  # the time was over with the last of them
        return level

    def _runs(self, crew: Crew[int]) -> Iterator[list[Trial]]:
        try:
            for _, result in crew.results():
                if isinstance(result, HarnessError):
                    self._lost.append(str(result))
                    continue
                yield result
                if why := self._why_stop(result):
                    self._stopped = why
                    crew.drop_waiting(lambda _: True)
        except KeyboardInterrupt:
            self._stopped = INTERRUPTED

    def _why_stop(self, trials: Sequence[Trial]) -> str:
        if INTERRUPTION.asked:
            return INTERRUPTED
        if any(trial.error is not None and trial.error.hangs for trial in trials):
            return "a run that hangs"
        spent = self._terms.budget_s is not None and self._took_s() >= self._terms.budget_s
        return BUDGET if spent else ""

    # The failures

    def _explained(self, trials: Sequence[Trial]) -> tuple[Cluster, ...]:
        found = clusters(self._case, [(trial.attempt, trial.failed, trial.error) for trial in trials])
        if self._stopped == INTERRUPTED:
            return found
        return tuple(replace(cluster, failure=self._failure(cluster)) for cluster in found)

    def _failure(self, cluster: Cluster) -> Failure:
        if cluster.error is not None and cluster.error.hangs:
            return Failure("", self._seed, error=cluster.error)
        stem = self._folder / stem_of(self._case, cluster.oracle, *cluster.where)
        return explain_schedule(self._case, schedule_of(cluster.first), cluster.oracle, stem)


def _followed(tried: _Tried) -> list[Trial]:
    """The first run of each future, where it neither failed nor broke: that needs no second fault."""
    leads = sorted(tried.leads.values(), key=lambda trial: trial.number)
    return [lead for lead in leads if not lead.failed and lead.error is None]


def _refusal(case: Case, calm: Run, again: Run) -> str:
    """Why nothing can be learnt from striking this run, or the empty string."""
    if calm.error is not None:
        return f"without any fault it broke: {Broken.by(calm.error)}"
    if calm.history.digest != again.history.digest:
        return "it does not repeat: two runs without faults under the same seed differ"
    failed = [name for name in calm.failed if name not in case.expectation.may_fail]
    if failed:
        return f"without any fault it fails {', '.join(failed)}"
    doubtful = [verdict for verdict in calm.verdicts if verdict.verdict == "unknown" and verdict.judged]
    if doubtful:
        return f"without any fault {doubtful[0].oracle} cannot tell: {doubtful[0].why}"
    if not any(verdict.verdict == "pass" for verdict in calm.verdicts):
        return "without any fault no oracle has anything to judge"
    return ""

"""What a campaign is made of and what comes out of it: values that can be sent between processes.

A case is one scenario against one target. Its runs differ only in their seed, and it is judged as a whole: an oracle
that must hold has to hold in every run, a failure that the scenario states has to happen in at least one, and a fault
that never fired or an oracle that never judged anything makes the case inconclusive.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from faultline.errors import SimHang
from faultline.faults.deciders import labels
from faultline.history.operations import Timing
from faultline.oracles import Evidence, inconclusive
from faultline.oracles.base import Verdict
from faultline.scenario.model import Expectation, Scenario
from faultline.search.repeat import Difference
from faultline.search.witness import Receipt, Row
from faultline.targets import TargetRef

Status = Literal["pass", "fail", "broken", "inconclusive", "unfinished"]


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario against one target, over ``seeds``."""

    scenario: Scenario
    target: TargetRef
    seeds: tuple[int, ...]

    @property
    def expectation(self) -> Expectation:
        """What the scenario says of this target."""
        return self.scenario.expectation(self.target.name)

    def unexpected(self, failed: Sequence[str]) -> tuple[str, ...]:
        """Those of the failed oracles that should have passed."""
        known = self.expectation
        return tuple(name for name in failed if name not in known.fails and name not in known.may_fail)


COMMAND_SHOWN_MAX: Final = 40
"""A command line may be long, and a label is part of the names of files."""


def target_label(target: TargetRef) -> str:
    """What a person calls the target: the scenario's name for it, or its class or command when it has none."""
    if target.name not in ("default", "given"):
        return target.name
    return target.spec.rpartition(":")[2] if target.command is None else target.spec[:COMMAND_SHOWN_MAX].strip()


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a run has no verdicts: the harness or the target broke. ``kind`` is the name of the error, ``trace`` where
    it was raised."""

    kind: str
    message: str
    trace: str = ""

    @property
    def hangs(self) -> bool:
        """The target kept the processor for itself: every further run would cost as much time again."""
        return self.kind == SimHang.__name__

    @classmethod
    def by(cls, error: BaseException) -> Broken:
        """What is kept of an error."""
        return cls(type(error).__name__, str(error), "".join(traceback.format_exception(error)))

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is kept of one run.

    ``receipts`` are its receipts when they were asked for, ``receipt_count`` how many there were. ``wall_s`` is the
    real time it took, ``timing`` how fast things were in it. ``difference`` is set when the run failed and, run again,
    went another way.
    """

    seed: int
    verdicts: tuple[Verdict, ...]
    fired: frozenset[str]
    receipt_count: int
    history_hash: str
    virtual_s: float
    wall_s: float
    receipts: tuple[Receipt, ...] = ()
    error: Broken | None = None
    difference: Difference | None = None
    timing: Timing = field(default_factory=Timing)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the oracles that failed."""
        return tuple(verdict.oracle for verdict in self.verdicts if verdict.verdict == "fail")


@dataclass(frozen=True, slots=True)
class Failure:
    """One failing run, explained: the smallest set of faults that was found, and where everything was saved.

    ``stated`` is the reason that the scenario gives for it, None for a failure that should not be. ``findings`` are
    the facts as sentences, ``finding_count`` how many there are. ``receipts`` are those of the ``faults_left`` of
    ``faults_before``; ``minimal`` says that none of them can be left out. ``intents_left`` of
    ``intents_before`` are asked for in it, where there are fewer than before. ``error`` takes the place of all that
    when the run broke. ``also`` names the other oracles that failed in the run as it was. Where its world is not
    ``repeatable`` the facts are those of a second run that failed like the first, else of the first.
    """

    oracle: str
    seed: int
    findings: tuple[str, ...] = ()
    finding_count: int = 0
    receipts: tuple[Receipt, ...] = ()
    faults_left: int = 0
    faults_before: int = 0
    replays: int = 0
    minimal: bool = False
    intents_left: tuple[str, ...] = ()
    intents_before: int = 0
    rows: tuple[Row, ...] = ()
    schedule_path: str = ""
    history_path: str = ""
    history_hash: str = ""
    stated: str | None = None
    also: tuple[str, ...] = ()
    error: Broken | None = None
    difference: Difference | None = None
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case. ``failures`` are explained ones: the first of each kind, not one per run."""

    case: Case
    runs: tuple[RunRecord, ...]
    failures: tuple[Failure, ...] = ()
    lost: tuple[str, ...] = ()
    """Errors of workers that did not survive their runs."""

    @property
    def finished(self) -> bool:
        """Every seed was run."""
        return len(self.runs) == len(self.case.seeds)

    @property
    def failing_seeds(self) -> Mapping[str, tuple[int, ...]]:
        """The seeds under which each oracle failed."""
        seeds: dict[str, list[int]] = {}
        for run in self.runs:
            for name in run.failed:
                seeds.setdefault(name, []).append(run.seed)
        return {name: tuple(found) for name, found in seeds.items()}

    @property
    def unexpected(self) -> Mapping[str, tuple[int, ...]]:
        """As :attr:`failing_seeds`, for the oracles that should have passed."""
        failing = self.failing_seeds
        return {name: failing[name] for name in self.case.unexpected(list(failing))}

    @property
    def unmet(self) -> tuple[str, ...]:
        """Failures that the scenario states and that did not happen in any run."""
        if not self.finished:
            return ()
        return tuple(name for name in self.case.expectation.fails if name not in self.failing_seeds)

    @property
    def broken(self) -> tuple[RunRecord, ...]:
        """The runs that came to no verdict."""
        return tuple(run for run in self.runs if run.error is not None)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the runs prove nothing, if so."""
        if not self.finished:
            return ()
        scenario, known = self.case.scenario, self.case.expectation
        claims = (verdict.oracle for run in self.runs for verdict in run.verdicts)
        oracles = dict.fromkeys([*(oracle.name for oracle in scenario.expect), *claims])
        decisive = [name for name in oracles if name not in known.fails and name not in known.may_fail]
        evidence = [Evidence(run.seed, run.fired, run.verdicts) for run in self.runs]
        # A target that fails as stated has shown that the faults bite. One that it cannot meet (a stale read, by a
        # client that never reads) is for the other targets to meet.
        due = [] if known.fails and not self.unmet else labels(scenario.faults)
        return inconclusive(due, decisive, evidence)

    @property
    def status(self) -> Status:
        """The case as a whole; the worst that holds."""
        if self.broken or self.lost:
            return "broken"
        if self.unexpected or self.unmet:
            return "fail"
        if not self.finished:
            return "unfinished"
        return "inconclusive" if self.doubts else "pass"

    @property
    def receipt_count(self) -> int:
        """How many faults fired in all runs."""
        return sum(run.receipt_count for run in self.runs)

    @property
    def wall_s(self) -> float:
        """How long its runs took, one after the other."""
        return sum(run.wall_s for run in self.runs)


@dataclass(frozen=True, slots=True)
class Campaign:
    """What came of ``planned`` cases: a result of each that was begun. ``interrupted``: it was ended from outside."""

    results: tuple[CaseResult, ...]
    planned: int
    interrupted: bool
    wall_s: float
    jobs: int = 1

    def having(self, status: Status) -> tuple[CaseResult, ...]:
        """The results with this status."""
        return tuple(result for result in self.results if result.status == status)

    @property
    def run_count(self) -> int:
        """How many runs there were."""
        return sum(len(result.runs) for result in self.results)

    @property
    def receipt_count(self) -> int:
        """How many faults fired."""
        return sum(result.receipt_count for result in self.results)

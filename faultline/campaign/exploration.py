"""What came of a search: values, and the one claim that they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from faultline.campaign.model import Broken, Case, Failure, Status
from faultline.oracles import Evidence, inconclusive
from faultline.oracles.base import plural
from faultline.search.enumerate import Attempt

INTERRUPTED: Final = "an interruption"
"""Why a search stopped that somebody ended from outside."""


@dataclass(frozen=True, slots=True)
class Level:
    """The runs with so many faults at once: how many there are and how many of them were done.

    ``missed`` are those whose faults did not all strike, ``broken`` those that came to no verdict.
    """

    planned: int = 0
    tried: int = 0
    missed: int = 0
    broken: int = 0

    @property
    def whole(self) -> bool:
        """Every one was done and judged."""
        return self.tried == self.planned and not self.missed and not self.broken


@dataclass(frozen=True, slots=True)
class Cluster:
    """Failing runs that are told as one: the same oracle (empty: the run broke), endpoints and kinds of fault.

    ``first`` is the first of ``count``. ``stated`` is the reason that the scenario gives for such a failure.
    ``failure`` explains the first; None when the search was interrupted.
    """

    oracle: str
    where: tuple[str, ...]
    first: Attempt
    count: int
    stated: str | None = None
    error: Broken | None = None
    failure: Failure | None = None


def clusters(case: Case, tried: Sequence[tuple[Attempt, Sequence[str], Broken | None]]) -> tuple[Cluster, ...]:
    """The failing ones of ``tried`` (faults, oracles that failed, why it broke), put together, in their order.

    A run counts for the first of its oracles that should have passed, else for the first whose failure is stated.
    """
    found: dict[tuple[str, tuple[str, ...]], Cluster] = {}
    stated = case.expectation.fails
    for attempt, failed, error in tried:
        counting = [*case.unexpected(failed), *(name for name in failed if name in stated)]
        if error is None and not counting:
            continue
        oracle = counting[0] if error is None else ""
        where = tuple(each.where for each in attempt)
        known = found.get((oracle, where))
        first, count = (attempt, 0) if known is None else (known.first, known.count)
        error = error if known is None else known.error
        found[oracle, where] = Cluster(oracle, where, first, count + 1, stated.get(oracle), error)
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Exploration:
    """The search of one case under one seed.

    ``points`` is how many places its run without faults (``calm``) has. ``new_points`` appeared only in runs with one
    fault, and ``new_points_tried`` were struck by a second. ``followed`` single faults stand for all in pairs,
    ``pruned`` left a trace that one of them or the run without faults had left already. ``pairs`` is None where none
    were asked for, or time or the limit was over before. ``refusal`` says why nothing was searched, ``stopped`` what
    cut it short.
    """

    case: Case
    kinds: tuple[str, ...]
    calm: Evidence
    points: int
    error: Broken | None = None
    refusal: str = ""
    singles: Level = Level()
    pairs: Level | None = None
    new_points: int = 0
    new_points_tried: int = 0
    pruned: int = 0
    followed: int = 0
    evidence: tuple[Evidence, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    lost: tuple[str, ...] = ()
    stopped: str = ""
    wall_s: float = 0.0

    @property
    def judging(self) -> tuple[str, ...]:
        """The oracles that came to a verdict in some run and count for this target."""
        known = self.case.expectation
        runs = [self.calm, *self.evidence]
        names = {verdict.oracle: None for run in runs for verdict in run.verdicts if verdict.verdict != "unknown"}
        return tuple(name for name in names if name not in known.may_fail)

    @property
    def idle(self) -> tuple[str, ...]:
        """The oracles that the scenario asks and that had nothing to judge: of them nothing is claimed."""
        known = self.case.expectation
        asked = [oracle.name for oracle in self.case.scenario.expect]
        return tuple(name for name in asked if name not in self.judging and name not in known.may_fail)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the runs prove nothing, if so."""
        if self.refusal:
            return (self.refusal,)
        if not self.singles.tried:
            return ("nothing was tried",)
        return inconclusive(
            [], [name for name in self.judging if name not in self.case.expectation.fails], self.evidence
        )

    @property
    def unexpected(self) -> tuple[Cluster, ...]:
        """The failures that should not be."""
        return tuple(cluster for cluster in self.clusters if cluster.stated is None)

    @property
    def status(self) -> Status:
        """The worst that holds."""
        if self.error or self.lost or any(cluster.error for cluster in self.clusters):
            return "broken"
        calm = [verdict.oracle for verdict in self.calm.verdicts if verdict.verdict == "fail"]
        if self.unexpected or self.case.unexpected(calm):
            return "fail"
        if self.stopped == INTERRUPTED:
            return "unfinished"
        return "inconclusive" if self.doubts else "pass"

    @property
    def claim(self) -> str:
        """What may be said after this search, and nothing stronger."""
        if self.refusal:
            return f"Nothing was searched: {self.refusal}."
        scenario = self.case.scenario
        parts = [_of(self.singles, "single fault")]
        if self.pairs is not None:
            parts.append(_of(self.pairs, "pair") + " up to equal traces")
        failing = sum(cluster.count for cluster in self.clusters)
        verdict = f"{plural(failing, 'run')} of these failed" if failing else "none fails"
        where = f"of {plural(len(self.kinds), 'kind')} over {plural(self.points, 'point')}"
        setting = f"workload {scenario.name!r} on venue {scenario.venue.profile} at seed {self.case.seeds[0]}"
        tried = " and ".join(parts)
        return f"{tried[0].upper()}{tried[1:]} {where} of {setting}: {verdict}; judged by {', '.join(self.judging)}."


def _of(level: Level, what: str) -> str:
    judged = level.tried - level.missed - level.broken
    if level.whole:
        return f"all {plural(level.planned, what)}"
    return f"{judged} of {plural(level.planned, what)}"

"""Failures that are known and not yet put right: they do not make a run fail, until their time is over.

In ``pyproject.toml``, or in a file of its own that it names (``known-failures = "known.toml"``)::

    [[tool.faultline.known-failures]]
    oracle = "no_duplicates"
    scenario = "orders survive *"       # a pattern over its name or its path; all of them when left out
    target = "naive"                    # a pattern over its name or its FILE:Class
    reason = "keys are made per try, see ticket 1234"
    expires = 2027-01-31

A known failure has a reason and a last day. After that day it fails again, so that nothing is forgotten. One that no
longer happens, or that fits nothing that ran, is told of: it is to be taken out. This is for a while; what a target is
meant to fail at belongs into the scenario, as ``expect_for``.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import msgspec

from faultline.campaign.model import Campaign, Case, CaseResult, target_label
from faultline.errors import UsageError

KEY: Final = "known-failures"


class KnownFailure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of them. ``expires`` is the last day on which it is let pass."""

    oracle: str
    reason: str
    expires: datetime.date
    scenario: str = "*"
    target: str = "*"

    def fits(self, case: Case) -> bool:
        """Whether it is about this scenario and target."""
        scenario, target = case.scenario, case.target
        return any(fnmatchcase(name, self.scenario) for name in (scenario.name, scenario.path)) and any(
            fnmatchcase(name, self.target) for name in (target_label(target), target.name, target.spec)
        )

    def __str__(self) -> str:
        return f"{self.oracle} of {self.scenario!r}, target {self.target!r} ({self.reason})"


@dataclass(frozen=True, slots=True)
class KnownFailures:
    """The list, as it is on the day ``today``."""

    failures: tuple[KnownFailure, ...]
    today: datetime.date

    def _valid(self, known: KnownFailure) -> bool:
        return self.today <= known.expires

    def applied(self, cases: Sequence[Case]) -> list[Case]:
        """The cases, such that what is known of them does not count."""
        return [self._applied(case) for case in cases]

    def _applied(self, case: Case) -> Case:
        names = {
            known.oracle for known in self.failures if self._valid(known) and known.fits(case)
        } - case.expectation.fails.keys()
        if not names:
            return case
        widened = replace(case.expectation, may_fail=tuple(dict.fromkeys([*case.expectation.may_fail, *sorted(names)])))
        scenario = case.scenario
        expect_for = {**scenario.expect_for, case.target.name: widened}
        return replace(case, scenario=replace(scenario, expect_for=expect_for))

    def told(self, campaign: Campaign) -> list[str]:
        """A line for each: whether it happened, and what is to be done about one that should not be in the list."""
        return [line for known in self.failures for line in self._told(known, campaign)]

    def _told(self, known: KnownFailure, campaign: Campaign) -> list[str]:
        results = [result for result in campaign.results if known.fits(result.case)]
        if not results:
            return [f"known failure fits nothing that ran: {known}"]
        failing = [result for result in results if known.oracle in result.failing_seeds]
        if not self._valid(known):
            again = "and it still fails" if failing else "and it fails no more: take it out of the list"
            return [f"known failure expired on {known.expires}, {again}: {known}"]
        if not failing:
            finished = all(result.finished for result in results)
            return [f"known failure did not happen, take it out of the list: {known}"] if finished else []
        return [f"known failure until {known.expires}: {_where(known, result)}: {known.reason}" for result in failing]


def _where(known: KnownFailure, result: CaseResult) -> str:
    seeds = result.failing_seeds[known.oracle]
    name = f"{result.case.scenario.name} · {target_label(result.case.target)} · {known.oracle}"
    return f"{name} under {len(seeds)} of {len(result.runs)} seeds"


def read(pyproject: Path, today: datetime.date | None = None) -> KnownFailures:
    """The known failures that ``[tool.faultline]`` of this file holds or names; none when there is no such file.

    ``today`` is the present day where it is not given. Raises UsageError for a list that cannot be read.
    """
    table = _toml(pyproject).get("tool", {}).get("faultline", {}) if pyproject.is_file() else {}
    listed = table.get(KEY, table.get(KEY.replace("-", "_"), ()))
    source = pyproject
    if isinstance(listed, str):
        source = pyproject.parent / listed
        if not source.is_file():
            raise UsageError(f"{pyproject}: {KEY} names {listed}, and there is no such file")
        listed = _toml(source).get(KEY, ())
    try:
        failures = msgspec.convert(listed, tuple[KnownFailure, ...])
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{source}: {KEY}: {error}; each has oracle, reason and expires (a date), and may have scenario and target"
        ) from error
    return KnownFailures(failures, today or datetime.date.today())


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error

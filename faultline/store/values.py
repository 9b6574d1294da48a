"""What comes out of the store: frozen values, which know no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from faultline.store.rows import UNMET

VERDICTS: Final[Mapping[int, str]] = {0: "pass", 1: "fail", 3: "broke", 4: "inconclusive", 130: "interrupted"}


class Entry(msgspec.Struct, frozen=True):
    """One campaign: a ``faultline run``, or another command that ran scenarios (``label``).

    ``cases`` of ``planned`` were begun and ``expected`` of them came out as expected; ``runs`` counts seeds,
    ``receipts`` the faults that fired. ``began_at`` in seconds since 1970.
    """

    id: str
    began_at: float
    label: str
    host: str
    revision: str
    branch: str
    faultline: str
    exit_code: int
    meaning: str
    interrupted: bool
    planned: int
    cases: int
    expected: int
    runs: int
    receipts: int
    wall_s: float

    @property
    def verdict(self) -> str:
        """In one word."""
        return VERDICTS.get(self.exit_code, f"exit {self.exit_code}")

    @property
    def began(self) -> datetime:
        """When, in this machine's time zone."""
        return datetime.fromtimestamp(self.began_at).astimezone()

    @property
    def source(self) -> str:
        """Branch and commit in few letters."""
        return "@".join(part for part in (self.branch, self.revision[:9]) if part)


class StoredCase(msgspec.Struct, frozen=True):
    """One scenario against one target in one campaign; ``key`` is the same in all of them."""

    campaign: str
    number: int
    key: str
    path: str
    line: int
    scenario: str
    target: str
    target_name: str
    world: str
    status: str
    oracles: tuple[str, ...]
    runs: int
    receipts: int
    wall_s: float

    @property
    def label(self) -> str:
        """Scenario, target and, where it is not the simulated one, world."""
        named = self.target_name not in ("default", "given")
        target = self.target_name if named else self.target.rpartition(":")[2]
        return " · ".join([self.scenario, target, *([] if self.world == "sim" else [self.world])])


class StoredFailure(msgspec.Struct, frozen=True):
    """What was wrong with a case. ``what``: an oracle, or one of the words of :mod:`faultline.store.rows`.

    ``stated``: the scenario says that it fails. ``differs``: run again under the same seed, it went another way.
    """

    campaign: str
    number: int
    what: str
    stated: bool
    seeds: tuple[str, ...]
    finding: str
    faults_before: int
    faults_left: int
    minimal: bool
    differs: bool
    schedule: str
    history: str

    @property
    def repeat(self) -> str:
        """The command that runs the smallest failing run again; empty when none was saved."""
        return f"faultline replay {_quoted(self.schedule)}" if self.schedule else ""

    @property
    def is_verdict(self) -> bool:
        """An oracle failed, rather than a case."""
        return bool(self.seeds) and not self.what.endswith(UNMET)


class Sample(msgspec.Struct, frozen=True):
    """The figures of one run, under ``seed``, in milliseconds of its world's clock; None where there were none."""

    number: int
    seed: str
    history_hash: str
    virtual_s: float
    wall_s: float
    operation_ms_p50: float | None
    operation_ms_p99: float | None
    recovery_ms: float | None


class Figures(msgspec.Struct, frozen=True):
    """Means over the runs of one case in one campaign; None where no run had the figure."""

    operation_ms_p50: float | None
    operation_ms_p99: float | None
    recovery_ms: float | None


@dataclass(frozen=True, slots=True)
class Whole:
    """A campaign with everything that is in its rows."""

    entry: Entry
    cases: tuple[StoredCase, ...]
    failures: tuple[StoredFailure, ...]
    samples: tuple[Sample, ...]

    def failures_of(self, case: StoredCase) -> tuple[StoredFailure, ...]:
        """Those of one case; what should not be comes first."""
        mine = [failure for failure in self.failures if failure.number == case.number]
        return tuple(sorted(mine, key=lambda failure: failure.stated))

    def samples_of(self, case: StoredCase) -> tuple[Sample, ...]:
        """The runs of one case."""
        return tuple(sample for sample in self.samples if sample.number == case.number)


@dataclass(frozen=True, slots=True)
class Seen:
    """One case in one campaign, as its own history shows it. ``failed``: what should not have."""

    entry: Entry
    case: StoredCase
    failed: tuple[StoredFailure, ...]


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)

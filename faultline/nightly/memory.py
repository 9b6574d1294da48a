"""What is known from earlier nights.

One JSON file, replaced as a whole, so that a night that is killed leaves the file of the night before or its own, never
half of one. Seeds are taken out of it *before* they are run: a night that dies has used them, and nobody runs them a
second time by accident and calls that news.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from faultline.campaign.model import Case, CaseResult, target_label
from faultline.errors import HarnessError

FILE: Final = "memory.json"
FIRST_FRESH: Final = 1_000_000
"""Fresh seeds begin here: those below are the ones that people and pull requests use."""
KNOWN_MAX: Final = 200
"""Failing seeds that are kept for one case; the oldest go first."""


class Known(msgspec.Struct):
    """What is known of one case. ``failed`` are the seeds that ever failed, ``schedules`` the files saved of them.

    ``failing`` are the oracles that failed in the last night (``broke`` for a run that broke), ``digest`` is that of
    the scenario and the client then, ``run_s`` what a run took.
    """

    next_seed: int = FIRST_FRESH
    failed: list[int] = msgspec.field(default_factory=list)
    schedules: list[str] = msgspec.field(default_factory=list)
    failing: list[str] = msgspec.field(default_factory=list)
    digest: str = ""
    runs: int = 0
    clean_runs: int = 0
    """Runs in a row, over nights, without an unexpected failure."""
    run_s: float = 0.0


class _Contents(msgspec.Struct):
    version: int = 1
    cases: dict[str, Known] = msgspec.field(default_factory=dict)
    finished_at_s: float = 0.0
    told: list[str] = msgspec.field(default_factory=list)
    nights: int = 0


def key_of(case: Case) -> str:
    """What a case is remembered by."""
    return f"{case.scenario.path}::{case.scenario.name}::{target_label(case.target)}"


class Memory:
    """The file in ``folder``. Raises HarnessError, with what to do, for a file that cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE
        self._contents = self._read()

    def _read(self) -> _Contents:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return _Contents()
        except OSError as error:
            raise HarnessError(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            contents = msgspec.json.decode(data, type=_Contents)
        except msgspec.DecodeError as error:
            raise HarnessError(
                f"{self._path} is damaged ({error}); move it away to begin anew, or take it from a backup"
            ) from error
        if contents.version > 1:
            raise HarnessError(f"{self._path} was written by a later faultline (version {contents.version})")
        return contents

    def save(self) -> None:
        """Replace the file. Raises HarnessError, and then the old one is still there."""
        beside = self._path.with_suffix(f".{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self._contents), indent=1))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise HarnessError(f"{self._path} cannot be written: {error.strerror}") from error

    def of(self, case: Case) -> Known:
        """What is known of ``case``; new ones begin empty."""
        return self._contents.cases.setdefault(key_of(case), Known())

    def fresh_seeds(self, case: Case, count: int) -> tuple[int, ...]:
        """Seeds that no night has used. They count as used once :meth:`save` has returned."""
        known = self.of(case)
        seeds = tuple(range(known.next_seed, known.next_seed + count))
        known.next_seed += count
        return seeds

    def learn(self, result: CaseResult, runs_now: int, digest: str) -> None:
        """Note what came of a case in this night so far; ``runs_now`` of its runs are new since the last time."""
        known = self.of(result.case)
        bad = sorted({seed for seeds in result.unexpected.values() for seed in seeds} | {r.seed for r in result.broken})
        known.failed = [*(seed for seed in known.failed if seed not in bad), *bad][-KNOWN_MAX:]
        saved = [failure.schedule_path for failure in result.failures if failure.schedule_path and not failure.stated]
        known.schedules = list(dict.fromkeys([*known.schedules, *saved]))[-KNOWN_MAX:]
        known.failing = [*sorted(result.unexpected), *(["broke"] if result.broken or result.lost else [])]
        known.failing += [f"not {name}" for name in result.unmet]
        known.digest = digest
        known.runs += runs_now
        known.clean_runs = 0 if known.failing else known.clean_runs + runs_now
        if result.runs:
            known.run_s = result.wall_s / len(result.runs)

    @property
    def finished_at_s(self) -> float:
        """When the last night ended, seconds since 1970; 0 if none ever did."""
        return self._contents.finished_at_s

    @property
    def told(self) -> Sequence[str]:
        """What somebody was last told is failing."""
        return self._contents.told

    @property
    def nights(self) -> int:
        """How many nights have ended."""
        return self._contents.nights

    def finish(self, at_s: float) -> None:
        """The night is over."""
        self._contents.finished_at_s = at_s
        self._contents.nights += 1

    def was_told(self, failing: Sequence[str]) -> None:
        """Somebody was told that this is failing."""
        self._contents.told = list(failing)

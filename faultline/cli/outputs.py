"""Where a campaign's results go beside the screen: files that were asked for, and GitHub Actions where it is there.

Places are looked at before anything runs, so that a night's work is not lost to a misspelt folder; a file appears whole
or not at all. A report that cannot be written is said on stderr, after the results themselves have been shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from faultline.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from faultline.campaign.model import Campaign

ON_GITHUB: Final = "GITHUB_ACTIONS"
SUMMARY_FILE: Final = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that were asked for. Raises UsageError while made if one of them cannot be written."""

    junit: Path | None = None

    def __post_init__(self) -> None:
        for path in self.files:
            _check(path)

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that were asked for."""
        return tuple(path for path in (self.junit,) if path is not None)

    def write(self, campaign: Campaign, code: int, meaning: str, env: Mapping[str, str] = os.environ) -> None:
        """Write them all. Raises HarnessError, after all have been tried, if one could not be written."""
        failed: list[str] = []

        def attempt(path: Path, write: Callable[[Path], None]) -> None:
            try:
                write(path)
            except OSError as error:
                failed.append(f"{path} could not be written: {error.strerror or error}")

        if self.junit is not None:
            from faultline.reports import junit

            attempt(self.junit, lambda path: _whole(path, junit.text(campaign)))
        if env.get(ON_GITHUB) == "true":
            from faultline.reports import github

            # On stderr, because stdout may hold a JSON document. GitHub reads both.
            for line in github.commands(campaign):
                print(line, file=sys.stderr)
            if summary := env.get(SUMMARY_FILE):
                attempt(Path(summary), lambda path: _appended(path, github.summary(campaign, code, meaning)))
        if failed:
            raise HarnessError("; ".join(failed))


def _check(path: Path) -> None:
    folder = path.parent
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file in it")
    if not folder.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"{path} cannot be written: no permission")


def _whole(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():
        # A pipe or /dev/stdout cannot be replaced.
        path.write_text(text, encoding="utf-8")
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _appended(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)

"""Where a campaign's results go beside the screen: files that were asked for, and GitHub Actions where it is there.

Places are looked at before anything runs, so that a night's work is not lost to a misspelt folder; a file appears whole
or not at all. A report that cannot be written is said on stderr, after the results themselves have been shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
    html: Path | None = None
    trace: Path | None = None
    agent: Path | None = None
    named: tuple[tuple[str, Path], ...] = ()
    """Further ones, each by the name of its report and its file."""

    def __post_init__(self) -> None:
        for path in self.files:
            check(path)

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that were asked for."""
        own = (self.junit, self.html, self.trace, self.agent)
        return (*(path for path in own if path is not None), *(path for _, path in self.named))

    def write(self, campaign: Campaign, code: int, meaning: str, env: Mapping[str, str] = os.environ) -> None:
        """Write them all. Raises HarnessError, after all have been tried, if one could not be written."""
        failed: list[str] = []

        def attempt(path: Path, write: Callable[[], None]) -> None:
            try:
                write()
            except OSError as error:
                failed.append(cannot(path, error))

        for path, text in self._texts(campaign, code, meaning):
            attempt(path, partial(whole, path, text))
        if env.get(ON_GITHUB) == "true":
            from faultline.reports import github

            # On stderr, because stdout may hold a JSON document. GitHub reads both.
            for line in github.commands(campaign):
                print(line, file=sys.stderr)
            if summary := env.get(SUMMARY_FILE):
                attempt(Path(summary), partial(_appended, Path(summary), github.summary(campaign, code, meaning)))
        if failed:
            raise HarnessError("; ".join(failed))

    def _texts(self, campaign: Campaign, code: int, meaning: str) -> Iterator[tuple[Path, str]]:
        """Each file and what goes into it."""
        from faultline.reports.table import REPORTS

        own = {"junit": self.junit, "agent": self.agent, "html": self.html, "trace": self.trace}
        asked = [*((name, path) for name, path in own.items() if path is not None), *self.named]
        for name, path in asked:
            yield path, REPORTS[name](campaign, code, meaning)


def read_reports(reports: Sequence[str]) -> tuple[tuple[str, Path], ...]:
    """``NAME=FILE`` options. Raises UsageError for one that is not, or names no report."""
    from faultline.reports.table import REPORTS
    from faultline.scenario.document import did_you_mean

    read: list[tuple[str, Path]] = []
    for text in reports:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise UsageError(f"--report {text!r}: write NAME=FILE")
        if name not in REPORTS:
            raise UsageError(f"--report {text!r}: there is no report {name!r}{did_you_mean(name, REPORTS)}")
        read.append((name, Path(file)))
    return tuple(read)


def cannot(path: Path, error: OSError) -> str:
    """What is said of a file that could not be written."""
    return f"{path} could not be written: {error.strerror or error}"


def check(path: Path) -> None:
    """Raises UsageError if a file cannot be written there."""
    folder = path.parent
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file in it")
    if not folder.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"{path} cannot be written: no permission")


def written(path: Path, text: str) -> None:
    """As :func:`whole`. Raises HarnessError that names the file."""
    try:
        whole(path, text)
    except OSError as error:
        raise HarnessError(cannot(path, error)) from error


def whole(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises OSError."""
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

"""Scenarios as tests: files that are collected, and tests that are marked with some.

An item is one scenario against one target, over all of its seeds, because that is what can be judged: a fault that
never fired, or a failure that the scenario states and that did not happen, shows only over all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faultline.campaign import conduct, known
from faultline.campaign.conductor import Unwatched
from faultline.campaign.model import Case, CaseResult, target_label
from faultline.cli.selection import Selection, cases
from faultline.errors import FaultlineError
from faultline.pytest_plugin.settings import RAN, SETTINGS, Mark, Settings

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo

FOLDER = ".faultline"


class ScenarioFailed(AssertionError):
    """A scenario is not as expected. The message is what ``faultline run`` shows of it."""


class ScenarioFile(pytest.File):
    """A scenario file: an item for each scenario and target."""

    def collect(self) -> Iterator[pytest.Item]:
        """Read and plan it. Raises CollectError with everything that is wrong."""
        settings = self.config.stash[SETTINGS]
        for case in _picked([str(self.path)], Mark(), settings):
            yield ScenarioItem.from_parent(self, name=name_of(case), case=case)


class ScenarioItem(pytest.Item):
    """One scenario against one target."""

    def __init__(self, *, case: Case, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.case = case
        self.extra_keyword_matches.update(case.scenario.tags)

    def runtest(self) -> None:
        """Run and judge it."""
        result = self.stash[RAN] = conducted(self.case, self.config)
        judge(result)

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: object = None) -> str:
        """The explanation alone."""
        return str(excinfo.value) if excinfo.errisinstance(ScenarioFailed) else str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the scenario's name stands."""
        return self.path, self.case.scenario.where("name")[0] - 1, self.name


def name_of(case: Case) -> str:
    """What its test is called."""
    return f"{case.scenario.name}-{target_label(case.target)}"


def cases_of(mark: Mark, settings: Settings, node: pytest.Item) -> Sequence[Case]:
    """The cases that a mark names. Paths count from the test's own folder, else from the root of the suite."""
    here = node.path.parent
    paths = [str(here / path if (here / path).exists() else settings.root / path) for path in mark.scenarios]
    return _picked(paths, mark, settings)


def _picked(paths: Sequence[str], mark: Mark, settings: Settings) -> Sequence[Case]:
    seeds = settings.seeds if settings.seeds_given else mark.seeds
    count = len(seeds) if isinstance(seeds, tuple) else seeds
    first = settings.seed if settings.seed_given or settings.seed else None
    if isinstance(seeds, tuple):
        first = seeds[0]
    if first is not None and count is None:
        count = settings.seeds
    # Shown and saved as one would type it, where that is possible.
    shown = tuple(os.path.relpath(path) if not os.path.relpath(path).startswith("..") else path for path in paths)
    try:
        selection = Selection(shown, target=mark.target, seed=first, seeds=count, world=mark.world or settings.world)
        return known.read(settings.root / "pyproject.toml").applied(cases(selection))
    except FaultlineError as error:
        raise pytest.Collector.CollectError(str(error)) from error


def conducted(case: Case, config: pytest.Config) -> CaseResult:
    """Run the case in this process. What a failure leaves behind is saved under ``.faultline`` of the suite's root."""
    folder = Path(os.path.relpath(config.rootpath / FOLDER))
    campaign = conduct([case], Unwatched(), folder=folder, jobs=1, keep_receipts=bool(config.stash[SETTINGS].report))
    if campaign.interrupted:
        raise KeyboardInterrupt
    return campaign.results[0]


def judge(result: CaseResult) -> None:
    """Raises ScenarioFailed unless the result is as expected."""
    if result.status != "pass":
        raise ScenarioFailed(explanation(result))


def explanation(result: CaseResult) -> str:
    """Why it is not as expected, and the blocks that ``faultline run`` prints of its failures."""
    from rich.console import Console

    from faultline.reports.console import ConsoleReport
    from faultline.reports.facts import headline

    out = StringIO()
    console = Console(file=out, no_color=True, highlight=False, markup=False, force_terminal=False)
    ConsoleReport(console, [result.case]).failures([result])
    return f"{headline(result)}\n{out.getvalue()}".rstrip()

"""The bar that moves while a campaign runs: on stderr, and only when that is a terminal.

``FORCE_COLOR`` makes rich write cursor movements into pipes, so the decision is taken from the stream itself. The bar
is drawn between runs and never by a thread: a thread would read clocks that are virtual while a run is on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from faultline.campaign.model import Case, RunRecord


class Bar:
    """A context manager. Without a terminal it does nothing."""

    def __init__(self, runs: int, *, quiet: bool = False, colour: bool = True) -> None:
        self._bar: Progress | None = None
        if quiet or not sys.stderr.isatty():
            return
        self._bar = Progress(
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(file=sys.stderr, no_color=not colour),
            transient=True,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=runs)

    def __enter__(self) -> Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def ran(self, case: Case, records: Sequence[RunRecord]) -> None:
        """Move on by so many runs."""
        self.moved(len(records), case.scenario.name)

    def moved(self, runs: int, name: str, *, planned: int = 0) -> None:
        """Move on by so many runs of what is called ``name``, and the end away by ``planned``."""
        if self._bar is not None:
            total = self._bar.tasks[0].total or 0
            self._bar.update(self._task, total=total + planned, advance=runs, description=name, refresh=True)

    def explaining(self, case: Case, seed: int) -> None:
        """Say what takes its time now."""
        if self._bar is not None:
            shown = f"shrinking the faults of seed {seed}: {case.scenario.name}"
            self._bar.update(self._task, description=shown, refresh=True)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Out of the way while something else is written to the same terminal."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

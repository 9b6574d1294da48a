"""The history of a gateway, which may run for months: bounded in memory, whole in its file.

What oracles judge has to be in memory, so a history that has outgrown its bound is judged no longer: a verdict on its
beginning would take what came later for something that never happened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from faultline.history import History
from faultline.history.event import Event

KEPT_MAX: Final = 500_000
"""Events kept in memory; a request with an effect is four."""


class WireHistory(History):
    """Keeps ``kept_max`` events. Those that come after are counted in ``left_out`` and are only in the file, if any."""

    def __init__(self, *, path: Path | None = None, kept_max: int = KEPT_MAX) -> None:
        self._path = path
        self._kept_max = kept_max
        self.left_out = 0
        super().__init__(path=path)

    def append(self, event: Event) -> None:
        """Add an event, or pass it on to the file."""
        if len(self) < self._kept_max:
            super().append(event)
        else:
            self.left_out += 1
            self.pass_on(event)

    @property
    def outgrown(self) -> str:
        """Why it can be judged no longer; empty while it can."""
        if not self.left_out:
            return ""
        where = "are nowhere, as no file was asked for" if self._path is None else f"are only in {self._path}"
        return f"the history has outgrown the {self._kept_max} events that are kept; {self.left_out} more {where}"

"""How long campaigns are kept: for a time, or so many of them. The latest is never removed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from faultline.errors import UsageError
from faultline.units import seconds

if TYPE_CHECKING:
    from faultline.store.results import Results

DEFAULT: Final = "90d"
FOREVER: Final = ("forever", "all")
_DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Keep:
    """What to keep: campaigns begun in the last ``for_s`` seconds, or the last ``count``; None for no bound."""

    for_s: float | None = None
    count: int | None = None


def keep(text: str) -> Keep:
    """Read ``90d``, ``12h``, ``200`` (so many) or ``forever``. Raises UsageError."""
    text = text.strip().lower()
    if text in FOREVER:
        return Keep()
    if text.isascii() and text.isdigit():
        if int(text) == 0:
            raise UsageError("--keep 0: at least the latest run is kept; write 1")
        return Keep(count=int(text))
    return Keep(for_s=span_s(text, "--keep"))


def span_s(text: str, option: str) -> float:
    """A span of time in seconds: ``7d``, ``12h``, also ``2w``. Raises UsageError."""
    try:
        weeks = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*w\s*", text)
        return float(weeks[1]) * 7 * _DAY_S if weeks else seconds(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def prune(results: Results, what: Keep, now: float | None = None) -> list[str]:
    """Remove what is not to be kept. Returns the ids of what was removed, the latest first."""
    entries = results.entries()
    oldest = -1.0 if what.for_s is None else (time.time() if now is None else now) - what.for_s
    count = len(entries) if what.count is None else what.count
    gone = [entry.id for number, entry in enumerate(entries) if number and (number >= count or entry.began_at < oldest)]
    if gone:
        results.remove(gone)
    return gone

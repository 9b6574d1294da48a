"""Does a run repeat? A seed that failed is run again before anybody hears of it.

Equal hashes mean equal histories and equal wires. When they differ, the first event that differs is where to look:
most often code that iterates over a set, reads a real clock or keeps state between runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import msgspec

from faultline.history import History
from faultline.history.event import Event


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two histories part: the position of the event (from 0), and both events as JSON.

    Equal events with different wires have no position: ``index`` is None.
    """

    index: int | None
    first: str
    second: str


def first_difference(first: History, second: History) -> Difference | None:
    """Where two sealed histories of the same seed part; None when they are equal."""
    if first.digest == second.digest:
        return None
    for index, (one, other) in enumerate(zip_longest(first, second)):
        if one != other:
            return Difference(index, _shown(one), _shown(other))
    return Difference(None, "the same events", "the same events, but other bytes or times on the wire")


def _shown(event: Event | None) -> str:
    return "the history ends here" if event is None else msgspec.json.encode(event).decode()

"""``always`` and ``sometimes``: what must hold, said where it must hold, in the client's own code or in a test.

::

    fl.always(self.position >= 0, "a position is never negative")
    fl.sometimes(attempt > 1, "an order was sent more than once")

A claim that does not hold always is a finding, with its time and place. One that must hold sometimes has to have held
at least once over all runs; if it never did, the runs are inconclusive: what was to be tested did not happen.

Outside of a run both do nothing but return their condition, so they can stay in code that is in use. In a run they
cost one look-up each: only the first time that a claim holds, and what does not hold, goes into the history.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Final

from faultline.history import History
from faultline.history.event import Claimed, ClaimRule

VIOLATIONS_MAX: Final = 100
"""How often one claim that does not hold is written down: the first say enough."""


class Claims:
    """Writes claims into ``history``.

    ``now_s`` is the world's clock; ``void`` says whether the code that runs now belongs to a process that is dead, and
    whose word reaches nobody.
    """

    def __init__(self, history: History, now_s: Callable[[], float], void: Callable[[], bool] = lambda: False) -> None:
        self._history = history
        self._now_s = now_s
        self._void = void
        self._written: dict[tuple[ClaimRule, str, bool], int] = {}

    def note(self, rule: ClaimRule, held: bool, what: str, where: str) -> None:
        """Write the claim down, if that says anything new."""
        key = (rule, what, held)
        count = self._written.get(key, 0)
        enough = VIOLATIONS_MAX if rule == "always" and not held else 1
        if count >= enough or self._void():
            return
        self._written[key] = count + 1
        self._history.append(Claimed(self._now_s(), rule, what, held, where))


_recorders: list[Claims] = []


@contextmanager
def recording(claims: Claims) -> Iterator[None]:
    """Within the block, claims go to ``claims``. A module variable and not a context variable: a client that boots
    again after a crash begins in a context from before the run."""
    _recorders.append(claims)
    try:
        yield
    finally:
        _recorders.remove(claims)


def always(condition: object, what: str) -> bool:
    """``what`` must hold whenever the program comes by here. Returns whether it does."""
    return _claim("always", bool(condition), what)


def sometimes(condition: object, what: str) -> bool:
    """``what`` must hold at least once over all runs. Returns whether it does now."""
    return _claim("sometimes", bool(condition), what)


def _claim(rule: ClaimRule, held: bool, what: str) -> bool:
    if _recorders:
        frame = sys._getframe(2)
        # The name of the file alone: a history must not say where on a machine it lies.
        _recorders[-1].note(rule, held, what, f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno}")
    return held

"""Ctrl-C between runs instead of within one.

A run takes milliseconds of real time, and an interruption in the middle of one lands anywhere: in the client, in the
harness, in a teardown. So the first Ctrl-C is noted and obeyed after the run in progress; the second is obeyed at
once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_TOLD: Final = b"\ninterrupted: the run in progress ends first; once more to stop at once\n"


class Interruption:
    """``asked``: somebody pressed Ctrl-C; stop as soon as what is under way is done."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within the block the first Ctrl-C only sets :attr:`asked`."""
        self.asked = False
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if sys.stderr.isatty():
            os.write(2, _TOLD)


INTERRUPTION: Final = Interruption()
"""This process's. Workers ignore Ctrl-C; there it is never asked."""

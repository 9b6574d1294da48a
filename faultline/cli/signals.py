"""SIGTERM does what Ctrl-C does.

A process that just ended would report nothing of what it found, and leave its workers behind, waiting for it for ever.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """Within the block SIGTERM is taken for Ctrl-C. A command that has a handler of its own sets it within."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    # Not by sending SIGINT: what a shell starts in the background ignores that.
    asked = signal.getsignal(signal.SIGINT)
    if not callable(asked):
        raise KeyboardInterrupt
    asked(number, frame)

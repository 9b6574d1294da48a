"""Which simulation, if any, is running, and in which thread.

The replacements for time and entropy, and the guard, ask here on every call. Outside of a simulation, and in any
other thread, they pass straight on to the real thing.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from random import Random

    from faultline.errors import SimEscape


class Running(Protocol):
    """What the dispatchers need of the simulation that is running."""

    @property
    def entropy(self) -> Random:
        """The stream that answers for the system's entropy."""

    @property
    def instance_seed(self) -> int:
        """What the PRNGs are seeded with that exist before the run."""

    def read_wall_s(self) -> float:
        """Seconds since the epoch, as the code under test reads them."""

    def read_monotonic_s(self) -> float:
        """The monotonic clock, as the code under test reads it."""

    def blocking_sleep(self, seconds: float) -> None:
        """``time.sleep`` was called."""

    def escaped(self, what: str, instead: str) -> SimEscape:
        """Note an escape, and give the error to raise."""


class _State:
    """The one mutable cell. A slot, not a module variable: a dispatcher reads it on each call."""

    __slots__ = ("sim", "thread_id")

    def __init__(self) -> None:
        self.sim: Running | None = None
        self.thread_id = 0


STATE: Final = _State()


def running() -> Running | None:
    """The simulation that runs in this thread, or None."""
    sim = STATE.sim
    return sim if sim is not None and get_ident() == STATE.thread_id else None


def activate(sim: Running) -> None:
    """From here on, this thread's time and entropy are those of ``sim``."""
    STATE.thread_id = get_ident()
    STATE.sim = sim


def deactivate() -> None:
    """Back to the real world."""
    STATE.sim = None

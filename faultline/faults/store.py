"""Stores that refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faultline.faults.actions import Action
from faultline.faults.actions import StoreError as RefuseNow
from faultline.faults.base import Fault, one_of
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane

Refusal = Literal["busy", "full", "io"]


@dataclass(frozen=True, kw_only=True)
class StoreError(Fault):
    """A statement of the client's store fails, and nothing of it is written.

    In the real world: another process holds the lock (``busy``, after the store's own busy timeout), the disk is
    full (``full``), the disk is broken (``io``).
    ``error`` is one of these (default ``busy``). By default it strikes every statement that writes; limit it with
    ``nth``, ``first`` or ``probability``.

    Proves that a client does not send what it could not write down, and does not die of a store that is busy once.
    """

    kind = "store_error"
    plane = Plane.TARGET
    phases = frozenset({"before"})
    lacks = frozenset({"header", "topic", "connection"})

    on: str = "store"
    error: Refusal = "busy"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("error", self.error, Refusal)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Refuse it."""
        return (RefuseNow(self.error),)

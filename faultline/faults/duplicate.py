"""Requests that arrive more often than they were sent."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.faults.actions import Action, Duplicate
from faultline.faults.base import at_least
from faultline.faults.chance import Chance
from faultline.faults.families import RequestFault
from faultline.faults.points import Moment
from faultline.units import Seconds


@dataclass(frozen=True, kw_only=True)
class DuplicateRequest(RequestFault):
    """The same request reaches the venue more than once, though the client sent it once.

    In the real world: a proxy or a load balancer that retries what it thinks was lost, an HTTP library that sends
    again on a fresh connection. The client sees the answer to the first arrival only.
    ``copies`` (default 1) is how many arrive besides the first; ``gap`` (a duration, default 0s) lies between them.
    By default it strikes every ``POST``.

    Proves that requests carry a key by which the venue can tell a repetition from a second wish, and that a client
    notices an effect that it did not ask for.
    """

    kind = "duplicate_request"
    phases = frozenset({"before"})

    copies: int = 1
    gap_s: Seconds = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("copies", self.copies, 1)
        at_least("gap", self.gap_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Duplicate it."""
        return (Duplicate(self.copies, self.gap_s),)

"""Requests and responses that arrive, but too late."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

from faultline.faults.actions import Action, Delay
from faultline.faults.base import at_least
from faultline.faults.chance import Chance
from faultline.faults.families import RequestFault
from faultline.faults.points import Moment
from faultline.units import Seconds


@dataclass(frozen=True, kw_only=True)
class Late(RequestFault, ABC):
    """What was about to happen happens ``by`` later."""

    by_s: Seconds = 15.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("by", self.by_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Delay it."""
        return (Delay(self.by_s),)


@dataclass(frozen=True, kw_only=True)
class LateRequest(Late):
    """The request reaches the venue late, most often after the client has given up on it.

    In the real world: a request that sat in a queue or a gateway's retry buffer while its sender timed out. It takes
    effect when nobody expects it any more.
    ``by`` (a duration, default 15s) is how much later it arrives; choose more than the client's timeout.
    By default it strikes every ``POST``.

    Proves that a client does not conclude "it was not carried out" from "the venue does not know it yet".
    """

    kind = "late_request"
    phases = frozenset({"before"})


@dataclass(frozen=True, kw_only=True)
class LateResponse(Late):
    """The venue acts at once, but its response comes late, most often after the client has given up on it.

    In the real world: an overloaded venue, a slow path back. Short of the client's timeout it tests patience, past it
    the response meets a closed connection.
    ``by`` (a duration, default 15s) is how much later it arrives.
    By default it strikes every ``POST``.

    Proves that a client treats its own timeout as "unknown" and looks before it sends again.
    """

    kind = "late_response"
    phases = frozenset({"after"})

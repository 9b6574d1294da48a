"""Requests and responses that get lost on the way.

They are two faults because only the venue can tell them apart: for the client both are a request without an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faultline.faults.actions import Action, Cut
from faultline.faults.base import at_least, one_of
from faultline.faults.chance import Chance
from faultline.faults.families import RequestFault
from faultline.faults.points import Moment
from faultline.units import Bytes

Ending = Literal["fin", "rst", "silence"]
"""How the connection ends: an orderly close, a reset, or nothing at all until the client gives up."""

_ENDINGS: tuple[Ending, ...] = ("fin", "rst", "silence")


@dataclass(frozen=True, kw_only=True)
class _Lost(RequestFault):
    how: Ending | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.how is not None:
            one_of("how", self.how, Ending)

    def _ending(self, chance: Chance) -> Ending:
        return chance.chosen(_ENDINGS) if self.how is None else self.how


@dataclass(frozen=True, kw_only=True)
class LostRequest(_Lost):
    """The request never reaches the venue: nothing happens there, and the client gets no answer.

    In the real world: a connection that breaks while the request is in flight, a gateway that drops it.
    ``how`` is what the client sees of it: ``fin`` (the connection is closed), ``rst`` (it is reset) or ``silence``
    (nothing, until the client's own timeout); not given, one of the three is drawn for each request.
    By default it strikes every ``POST``.

    Proves that a client finds out that its request was not carried out, and tries again: none may be missing.
    """

    kind = "lost_request"
    phases = frozenset({"before"})

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Cut before the venue sees it."""
        return (Cut(how=self._ending(chance)),)


@dataclass(frozen=True, kw_only=True)
class LostResponse(_Lost):
    """The venue carries the request out, but the response never arrives.

    In the real world: a timeout of a load balancer, a connection reset while the venue was answering, a client whose
    own timeout is shorter than the venue's worst second.
    ``how`` is what the client sees of it: ``fin`` (the connection is closed), ``rst`` (it is reset) or ``silence``
    (nothing, until the client's own timeout); not given, one of the three is drawn for each response.
    ``sent`` (a size, default 0B) is how much of the response still arrives, its head included.
    By default it strikes every ``POST``.

    Proves that a client does not take a missing answer for a failure: sending again must not act twice, and what
    was carried out must not be forgotten.
    """

    kind = "lost_response"
    phases = frozenset({"after"})

    sent_bytes: Bytes = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("sent", self.sent_bytes, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Cut what is being answered."""
        return (Cut(after_bytes=self.sent_bytes, how=self._ending(chance)),)

"""Error statuses instead of the venue's own answer."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, Literal

from faultline.faults.actions import Action, Reply
from faultline.faults.base import at_least, one_of
from faultline.faults.chance import Chance
from faultline.faults.families import RequestFault, Side
from faultline.faults.points import Moment, Plane
from faultline.units import Seconds

RetryAfterForm = Literal["seconds", "http_date", "garbage", "none"]
"""How ``Retry-After`` is written: both forms of RFC 9110, one that no parser can read, or not at all."""

_CODES: Final = {418: "banned", 429: "rate_limited"}


@dataclass(frozen=True, kw_only=True)
class StatusStorm(RequestFault):
    """Requests are answered with an error status instead of the venue's own answer.

    In the real world: a rate limit (429), a ban (418), an overloaded or restarting venue (502, 503, 504). A 5xx says
    nothing about whether the request was carried out.
    ``status`` (default 503) is 400 to 599. ``phase`` is ``before`` (default: the venue never sees the request) or
    ``after`` (it was carried out all the same; only for 408 and 5xx, because the others promise that it was not).
    ``retry_after`` (a duration, rounded up to whole seconds; default none) sets the ``Retry-After`` header, and
    ``retry_after_form`` how it is written: ``seconds`` (default), ``http_date``, ``garbage`` (cannot be read) or
    ``none`` (no header).
    By default it strikes every request; limit it with ``during``, ``first`` or ``probability``.

    Proves that a client backs off instead of hammering, reads ``Retry-After`` in every form that is allowed and
    survives the rest, and does not report an order as rejected because of a 5xx.
    """

    kind = "status_storm"
    phases = frozenset({"before", "after"})

    on: str = "*"
    status: int = 503
    phase: Side = "before"
    retry_after_s: Seconds | None = None
    retry_after_form: RetryAfterForm = "seconds"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("phase", self.phase, Side)
        one_of("retry_after_form", self.retry_after_form, RetryAfterForm)
        if not 400 <= self.status <= 599:
            raise ValueError(f"status is {self.status}; an error status lies between 400 and 599")
        if self.phase == "after" and self.status < 500 and self.status != 408:
            raise ValueError(f"a {self.status} promises that nothing was done; after the effect only 408 and 5xx fit")
        if self.retry_after_s is not None:
            at_least("retry_after", self.retry_after_s, 0)
        elif self.retry_after_form == "http_date":
            raise ValueError("an http_date needs retry_after, how far in the future it lies")

    def about(self, plane: Plane, endpoint: str, phase: str) -> bool:
        """As for every fault, on its own side of the effect."""
        return phase == self.phase and super().about(plane, endpoint, phase)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Reply with the status, a JSON error and perhaps ``Retry-After``."""
        headers = [("Content-Type", "application/json")]
        retry_after = self._retry_after(moment.wall_s)
        if retry_after is not None:
            headers.append(("Retry-After", retry_after))
        return (Reply(self.status, tuple(headers), self._body()),)

    def _retry_after(self, wall_s: float) -> str | None:
        if self.retry_after_form == "garbage":
            return "soon"
        if self.retry_after_form == "none" or self.retry_after_s is None:
            return None
        if self.retry_after_form == "seconds":
            return str(math.ceil(self.retry_after_s))
        return formatdate(math.ceil(wall_s + self.retry_after_s), usegmt=True)

    def _body(self) -> bytes:
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Error"
        code = _CODES.get(self.status, phrase.lower().replace(" ", "_"))
        return json.dumps({"error": code, "message": phrase}).encode()

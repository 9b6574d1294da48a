"""Times in which a venue answers nothing: banned for what the client did, or closed for maintenance."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from faultline.faults.actions import Action, Reply
from faultline.faults.base import Shape
from faultline.faults.chance import Chance
from faultline.faults.families import RequestFault
from faultline.faults.points import Moment


@dataclass(frozen=True, kw_only=True)
class _Closed(RequestFault, ABC):
    """Every request of an interval is answered instead of being seen; ``Retry-After`` says when it ends."""

    phases = frozenset({"before"})
    shape: ClassVar[Shape] = "condition"
    until_end = True

    on: str = "*"

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Reply, with the time that is left."""
        headers = [("Content-Type", "application/json")]
        if moment.until_s is not None and math.isfinite(moment.until_s):
            headers.append(("Retry-After", str(max(1, math.ceil(moment.until_s - moment.t_s)))))
        status, body = self.said
        return (Reply(status, tuple(headers), json.dumps(body).encode()),)

    @property
    @abstractmethod
    def said(self) -> tuple[int, dict[str, object]]:
        """Status and body."""


@dataclass(frozen=True, kw_only=True)
class Ban(_Closed):
    """The client is banned for a while: every request is answered 418, and ``Retry-After`` says for how long.

    In the real world: what comes after too many 429s, or out of the blue when a neighbour shares the address.
    By default it holds for every request for the whole load; limit it with ``during`` or ``at`` and ``for``.
    ``probability`` is drawn for each request.

    Proves that a client stays away until the time is over, instead of making the ban longer.
    """

    kind = "ban"

    @property
    def said(self) -> tuple[int, dict[str, object]]:
        """A 418."""
        return 418, {"error": "banned", "code": -1003, "msg": "banned", "message": "too many requests: banned"}


@dataclass(frozen=True, kw_only=True)
class Maintenance(_Closed):
    """The venue is closed: every request is answered 503, and ``Retry-After`` says until when.

    In the real world: a release, a migration, a matching engine that is being upgraded. Unlike other 503s it says
    that nothing was carried out. The profiles of real venues can also announce it on their streams and close them:
    that is their setting ``maintenance_at``.
    By default it holds for every request for the whole load; limit it with ``during`` or ``at`` and ``for``.

    Proves that a client waits for the venue and then puts its orders in order, instead of giving up or hammering.
    """

    kind = "maintenance"

    @property
    def said(self) -> tuple[int, dict[str, object]]:
        """A 503."""
        return 503, {"error": "maintenance", "code": 503, "msg": "maintenance", "message": "closed for maintenance"}

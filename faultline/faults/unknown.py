"""Answers that say: nobody knows whether it was carried out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from faultline.faults.actions import Action, Reply
from faultline.faults.base import one_of
from faultline.faults.chance import Chance
from faultline.faults.families import RequestFault, Side
from faultline.faults.points import Moment, Plane

Words = Literal[
    "plain",
    "binance -1006",
    "binance -1007",
    "mexc 504",
    "okx 50004",
    "okx 51054",
    "okx 51149",
    "gate SERVER_ERROR",
]
"""Whose words: a venue's name and its code, or a bare 504."""


class _Said(NamedTuple):
    status: int
    body: Mapping[str, object]


_SAID: Final[Mapping[str, _Said]] = {
    "plain": _Said(504, {"error": "gateway_timeout", "message": "execution status unknown"}),
    "binance -1006": _Said(
        500,
        {"code": -1006, "msg": "An unexpected response was received from the message bus. Execution status unknown."},
    ),
    "binance -1007": _Said(
        504,
        {
            "code": -1007,
            "msg": "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        },
    ),
    "mexc 504": _Said(504, {"code": 504, "msg": "Gateway timeout, execution status unknown"}),
    "okx 50004": _Said(400, {"code": "50004", "msg": "API endpoint request timeout", "data": []}),
    "okx 51054": _Said(500, {"code": "51054", "msg": "Request timed out. Please try again.", "data": []}),
    "okx 51149": _Said(500, {"code": "51149", "msg": "Order timed out. Please try again later.", "data": []}),
    "gate SERVER_ERROR": _Said(500, {"label": "SERVER_ERROR", "message": "Internal server error"}),
}


@dataclass(frozen=True, kw_only=True)
class UnknownStatus(RequestFault):
    """A request is answered with "execution status unknown", whether or not it was carried out.

    In the real world: a gateway that gave up on its engine. The venues say in as many words that this is neither a
    success nor a failure, and one of them says it with status 400.
    ``phase`` is ``after`` (default: it was carried out) or ``before`` (it was not; the venue never sees it). ``says``
    is whose words it is said in: ``plain`` (default, a 504), ``binance -1006``, ``binance -1007``, ``mexc 504``,
    ``okx 50004``, ``okx 51054``, ``okx 51149`` or ``gate SERVER_ERROR``; a venue is refused another venue's words.
    By default it strikes every ``POST``; limit it with ``first`` or ``probability``.

    Proves that a client neither reports such an order as rejected nor sends it again without having looked.
    """

    kind = "unknown_status"
    phases = frozenset({"before", "after"})

    phase: Side = "after"
    says: Words = "plain"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("phase", self.phase, Side)
        one_of("says", self.says, Words)

    def about(self, plane: Plane, endpoint: str, phase: str) -> bool:
        """As for every fault, on its own side of the effect."""
        return phase == self.phase and super().about(plane, endpoint, phase)

    def misfit(self, venue: str) -> str:
        """A venue says things in its own words."""
        speaker = self.says.partition(" ")[0]
        if speaker in ("plain", venue):
            return ""
        return f"says is {self.says!r}, and the {venue} venue does not speak like that"

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Reply so."""
        said = _SAID[self.says]
        return (Reply(said.status, (("Content-Type", "application/json"),), json.dumps(said.body).encode()),)

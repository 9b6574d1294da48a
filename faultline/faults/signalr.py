"""What goes wrong on SignalR hubs alone.

The rest has its kind already:

* negotiation refused: ``status_storm: {on: POST /hubs/*/negotiate, status: 401}``;
* an id that the server no longer knows: ``status_storm: {on: GET /hubs/*, status: 404}``;
* a connection that ends without a word: ``disconnect``; a subscription that brings nothing: ``silent_stream``.
"""

from __future__ import annotations

import json
from abc import ABC
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from faultline.faults.actions import Action, Drop, Goodbye
from faultline.faults.base import one_of
from faultline.faults.chance import Chance
from faultline.faults.families import MessageFault
from faultline.faults.points import Moment, Plane

Reconnect = Literal["allowed", "refused", "unsaid"]

_CLOSE: Final = 7
_SEPARATOR: Final = "\x1e"
_NORMAL: Final = 1000


@dataclass(frozen=True, kw_only=True)
class _HubFault(MessageFault, ABC):
    def can_strike(self, endpoints: Mapping[Plane, Iterable[str]]) -> bool:
        """As for every fault, at a venue that has hubs: they are what one negotiates with."""
        has_hubs = any(endpoint.endswith("/negotiate") for endpoint in endpoints[Plane.MESSAGE])
        return has_hubs and super().can_strike(endpoints)


@dataclass(frozen=True, kw_only=True)
class LostCompletion(_HubFault):
    """A hub carries out what its client called, and the completion never arrives; the connection lives on.

    In the real world: a server that fails between the call and its answer, a slow consumer whose queue is dropped.
    ``topic`` is a pattern over the methods of the hub: ``Subscribe*`` loses the word of a subscription that is in
    force. By default it strikes every call on every hub that wants an answer; limit it with ``topic``, ``nth`` or
    ``probability``.

    Proves that a client does not wait for ever for an answer, and that calling again (a second subscription) does no
    harm.
    """

    kind = "lost_completion"
    phases = frozenset({"ack"})

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Drop it."""
        return (Drop(),)


@dataclass(frozen=True, kw_only=True)
class HubClose(_HubFault):
    """A hub says goodbye with a Close message, then closes the connection.

    In the real world: a deploy, a server that sheds load, a session that was ended elsewhere.
    ``reconnect`` is what the message says about coming back: ``allowed`` (default), ``refused``, or ``unsaid`` (the
    field is missing, which means no). ``reason`` (default none) is the error that it tells.
    With ``at`` or ``every`` it ends every connection of ``on`` at that time; otherwise the connection on which a
    matching message is about to be sent, and that message is not delivered. Given neither a time nor a number it
    strikes once. By default ``on`` is ``stream *``.

    Proves that a client reads the Close message: that it comes back where it may, with a new connection and new
    subscriptions, and that somebody hears of it where it may not.
    """

    kind = "hub_close"
    clocked = True
    once = True

    reconnect: Reconnect = "allowed"
    reason: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("reconnect", self.reconnect, Reconnect)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Say so, then close."""
        said: dict[str, object] = {"type": _CLOSE}
        if self.reason:
            said["error"] = self.reason
        if self.reconnect != "unsaid":
            said["allowReconnect"] = self.reconnect == "allowed"
        text = json.dumps(said, separators=(",", ":")) + _SEPARATOR
        return (Goodbye(how="close", code=_NORMAL, text=text),)

"""Stream connections that end."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.faults.actions import Action, Cut, How
from faultline.faults.base import one_of
from faultline.faults.chance import Chance
from faultline.faults.families import MessageFault
from faultline.faults.points import Moment


@dataclass(frozen=True, kw_only=True)
class Disconnect(MessageFault):
    """A stream connection ends, with a proper close or without a word.

    In the real world: the 24-hour limit of a venue's connections, a deploy on its side, a proxy that cuts idle
    connections, a mobile link.
    ``how`` is ``close`` (default: a WebSocket close frame with ``code``, default 1001 "going away"), ``fin`` (the TCP
    connection is closed), ``rst`` (it is reset) or ``silence`` (the peer is gone and nobody says so).
    With ``at`` or ``every`` it ends every connection of ``on`` at that time; otherwise the connection on which a
    matching message is about to be sent, and that message is not delivered. Given neither a time nor a number it
    strikes once. By default ``on`` is ``stream *``.

    Proves that a client reconnects, subscribes again on the new connection, and fetches what it missed meanwhile.
    """

    kind = "disconnect"
    clocked = True
    once = True

    how: How = "close"
    code: int = 1001

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("how", self.how, How)
        if not 1000 <= self.code <= 4999:
            raise ValueError(f"code is {self.code}; a WebSocket close code lies between 1000 and 4999")

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Cut the connection."""
        return (Cut(how=self.how, code=self.code if self.how == "close" else 1006),)

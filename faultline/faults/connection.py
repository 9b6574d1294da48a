"""Connections that end in the middle of something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faultline.faults.actions import How
from faultline.faults.base import one_of
from faultline.faults.families import LinkStrike
from faultline.units import Bytes


@dataclass(frozen=True, kw_only=True)
class ResetPeer(LinkStrike):
    """A connection is reset.

    In the real world: a process that was killed, a proxy that restarts, a firewall that rejects instead of dropping.
    What either side had not read yet is gone.
    ``offset`` (a size, default 0B) is how many bytes get through in ``direction`` (``up``, or ``down`` by default)
    before: 0B down is a reset instead of the first response. With ``at`` or ``every`` all open connections of ``on``
    (``rest``, ``stream`` or ``*``, the default) are reset at that time. Given neither a time nor a number it strikes
    once.

    Proves that a reset while an answer is due is "unknown" for the client, not "failed".
    """

    kind = "reset_peer"

    @property
    def ending(self) -> How:
        """A reset."""
        return "rst"


@dataclass(frozen=True, kw_only=True)
class HalfOpen(LinkStrike):
    """A connection dies and neither side is told: both believe that it is open.

    In the real world: the other machine lost its power, a NAT table forgot the connection. Whoever only reads waits
    for ever.
    ``offset`` (a size, default 0B) is how many bytes get through in ``direction`` (``up``, or ``down`` by default)
    before. With ``at`` or ``every`` all open connections of ``on`` (``rest``, ``stream`` or ``*``, the default) die at
    that time. Given neither a time nor a number it strikes once.

    Proves that a client has heartbeats of its own: silence on a stream is not the same as "nothing happened".
    """

    kind = "half_open"

    @property
    def ending(self) -> How:
        """Nothing at all."""
        return "silence"


@dataclass(frozen=True, kw_only=True)
class Truncate(LinkStrike):
    """A connection ends in the middle of what is being sent.

    In the real world: a proxy with a limit on time or size, a process that exits while it answers.
    ``offset`` (a size, default 100B: about half a response's head) is how many bytes of the connection get through in
    ``direction`` (``up``, or ``down`` by default), ``how`` whether it ends by ``fin`` (default) or ``rst``. With
    ``at`` or ``every`` all open connections of ``on`` (``rest``, ``stream`` or ``*``, the default) end at that time.
    Given neither a time nor a number it strikes once.

    Proves that a client does not take half an answer for a whole one.
    """

    kind = "truncate"

    offset_bytes: Bytes = 100
    how: Literal["fin", "rst"] = "fin"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("how", self.how, Literal["fin", "rst"])

    @property
    def ending(self) -> How:
        """As ``how`` says."""
        return self.how

"""Connections that end by age or by size, and ends that come late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faultline.faults.actions import Action, Cut, Delay
from faultline.faults.base import at_least, one_of
from faultline.faults.chance import Chance
from faultline.faults.families import DirectedCondition, LinkCondition
from faultline.faults.points import Moment
from faultline.units import Bytes, Seconds


@dataclass(frozen=True, kw_only=True)
class CutAfter(LinkCondition):
    """Every connection ends when it has a certain age, busy or idle.

    In the real world: a load balancer or a NAT table with a limit on the life of a connection, a deploy that drains.
    ``age`` (a duration, default 30s) counts from when the connection was made; ``how`` it ends is ``fin`` (default),
    ``rst``, or ``silence`` (nobody is told). ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that a client survives the loss of a connection that works well, in the middle of whatever it does.
    """

    kind = "cut_after"
    phases = frozenset({"connect"})

    age_s: Seconds = 30.0
    how: Literal["fin", "rst", "silence"] = "fin"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("age", self.age_s, 0)
        one_of("how", self.how, Literal["fin", "rst", "silence"])

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Cut it when its time has come."""
        return (Cut(how=self.how, after_s=self.age_s),)


@dataclass(frozen=True, kw_only=True)
class LimitData(DirectedCondition):
    """A connection ends as soon as so many bytes have passed.

    In the real world: a proxy with a limit on size, a metered link.
    ``limit`` (a size, default 100B) is how many bytes of each connection and direction get through, ``how`` whether it
    ends by ``fin`` (default) or ``rst``. ``direction`` is ``up``, ``down`` or ``both`` (default). ``on`` is ``rest``,
    ``stream`` or ``*`` (default).

    Proves that a client does not take half an answer for a whole one, time after time.
    """

    kind = "limit_data"

    limit_bytes: Bytes = 100
    how: Literal["fin", "rst"] = "fin"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("limit", self.limit_bytes, 0)
        one_of("how", self.how, Literal["fin", "rst"])

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Let through what is left of the limit, then cut."""
        begin = moment.point.nth
        if not moment.size_bytes or begin + moment.size_bytes < self.limit_bytes:
            return ()
        return (Cut(after_bytes=max(0, self.limit_bytes - begin), how=self.how),)


@dataclass(frozen=True, kw_only=True)
class SlowClose(DirectedCondition):
    """A connection closes late: the bytes come at once, their end does not.

    In the real world: a server that forgets to close, a proxy that drains, a peer that is slow to shut down.
    ``delay`` (a duration, default 1s) is how much later the end of the stream arrives. ``direction`` is ``up``,
    ``down`` or ``both`` (default). ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that a client does not wait for the end of a connection when it already has the whole answer.
    """

    kind = "slow_close"
    closings = True

    delay_s: Seconds = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("delay", self.delay_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Delay the end, and nothing else."""
        return () if moment.size_bytes else (Delay(self.delay_s),)

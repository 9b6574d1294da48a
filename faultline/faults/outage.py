"""Networks that are gone for a while: nothing passes, nobody answers, no name is found."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.faults.actions import Action, Cut, Hold
from faultline.faults.chance import Chance
from faultline.faults.families import DirectedCondition, LinkCondition
from faultline.faults.points import Moment


@dataclass(frozen=True, kw_only=True)
class Timeout(DirectedCondition):
    """A black hole: connections stay open and nothing gets through until it is over.

    In the real world: a stateful firewall that forgot a connection, a stalled proxy, a link that loses everything for
    a while. Nobody is told. What was sent meanwhile follows when it is over, as TCP sends it again; without an end,
    never. New connections can be opened.
    ``direction`` is ``up``, ``down`` or ``both`` (default): one way alone looks like a venue that hears and does not
    answer. ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that every wait of a client has a timeout of its own, and that it expects answers to come after it gave up.
    """

    kind = "timeout"
    until_end = True

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Hold it until the end."""
        return (Hold(moment.until_s),)


@dataclass(frozen=True, kw_only=True)
class Partition(LinkCondition):
    """The client and the hosts cannot reach each other at all: no byte passes and no connection opens.

    In the real world: a switch fails, a route is withdrawn, a cable is pulled. Nobody is told. When it heals, what was
    sent meanwhile follows on connections that both sides still hold open; without an end it never heals.
    ``on`` is ``rest``, ``stream`` or ``*`` (default): a client can lose one of the two and keep the other.

    Proves that a client notices, does not believe its old picture of the world, and catches up after it heals.
    """

    kind = "partition"
    phases = frozenset({"connect", "up", "down"})
    until_end = True

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Hold it until the partition heals."""
        return (Hold(moment.until_s),)


@dataclass(frozen=True, kw_only=True)
class Refuse(LinkCondition):
    """New connections are refused; those that are open live on.

    In the real world: the process behind the address is down or restarting, or its queue of connections is full.
    ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that a client backs off between attempts to connect, and knows that a refused request was not carried out.
    """

    kind = "refuse"
    phases = frozenset({"connect"})

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Refuse it."""
        return (Cut(how="rst"),)


@dataclass(frozen=True, kw_only=True)
class DnsFailure(LinkCondition):
    """Names of hosts cannot be resolved.

    In the real world: a resolver that is down or overloaded, an expired record. Connections that are open live on.
    ``on`` is ``rest``, ``stream`` or ``*`` (default). ``probability`` is drawn for each look-up.

    Proves that a client retries what looks like a wrong address, and knows that nothing was sent.
    """

    kind = "dns_failure"
    phases = frozenset({"resolve"})
    lacks = LinkCondition.lacks | {"connection"}

    def lot(self, moment: Moment) -> object:
        """Each look-up by itself: there is no connection yet."""
        return moment.point

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Fail the look-up."""
        return (Cut(how="rst"),)

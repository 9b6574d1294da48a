"""What a venue may decide by itself: partial fills, refusals, spent tokens, old answers."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.faults.actions import Action, Delay, ExpireTokens, FillPart, Stale
from faultline.faults.actions import Reject as RejectNow
from faultline.faults.base import Fault, at_least
from faultline.faults.chance import Chance
from faultline.faults.families import VenueFault, only_requests
from faultline.faults.points import Moment, Plane
from faultline.units import Seconds


@dataclass(frozen=True, kw_only=True)
class PartialFill(VenueFault):
    """An order is filled in several parts instead of at once.

    In the real world: the most ordinary thing at a venue, and the one that test environments rarely do.
    ``parts`` (default 2) is how many fills there are, ``gap`` (a duration, default 500ms) the time between them.
    By default it strikes every order that fills.

    Proves that a client adds fills up instead of taking the first for all, and cancels or replaces only the rest.
    """

    kind = "partial_fill"

    on: str = "match"
    parts: int = 2
    gap_s: Seconds = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("parts", self.parts, 2)
        at_least("gap", self.gap_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Fill in parts."""
        return (FillPart(self.parts, self.gap_s),)


@dataclass(frozen=True, kw_only=True)
class Reject(VenueFault):
    """The venue refuses an order for a business reason.

    In the real world: not enough balance, a closed market, a price outside the allowed band.
    ``reason`` (default ``insufficient_funds``) is what the venue says. By default it strikes every order.

    Proves that a client reports a refusal as a refusal, and does not send again what can only be refused again.
    """

    kind = "reject"

    on: str = "accept"
    reason: str = "insufficient_funds"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.reason:
            raise ValueError("reason is empty; say why the order is refused, such as insufficient_funds")

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Reject it."""
        return (RejectNow(self.reason),)


@dataclass(frozen=True, kw_only=True)
class SlowFill(VenueFault):
    """An order rests for longer before it is filled.

    In the real world: a thin market, a matching engine under load. The order is open meanwhile, and can be cancelled.
    ``by`` (a duration, default 5s) is how much longer. By default it strikes every order that fills.

    Proves that a client does not give an order up, or place it again, because its fill takes its time.
    """

    kind = "slow_fill"

    on: str = "match"
    by_s: Seconds = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("by", self.by_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Delay the fill."""
        return (Delay(self.by_s),)


@dataclass(frozen=True, kw_only=True)
class StaleRead(VenueFault):
    """Queries are answered from the venue's state of some time ago.

    In the real world: venues place orders in memory and answer queries from a database that trails it, so a query
    right after an accepted order may not find it. Several document exactly that.
    ``lag`` (a duration, default 2s) is how old the answer is. By default it strikes every read.

    Proves that a client does not take "not found" for "was never accepted" and send again.
    """

    kind = "stale_read"

    on: str = "read"
    lag_s: Seconds = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("lag", self.lag_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Answer from the past."""
        return (Stale(self.lag_s),)


@dataclass(frozen=True, kw_only=True)
class TokenExpiry(Fault):
    """Every access token issued so far stops being valid, before its time.

    In the real world: a venue that restarts its session service, a key that was rotated, a clock that disagrees.
    ``refresh_too`` (default false) also spends the refresh tokens, so that the client must log in again.
    With ``at`` or ``every`` it happens at that time; otherwise just before a matching request is handled: by default
    one that carries an ``Authorization`` header. Given neither a time nor a number it strikes once.

    Proves that a client gets a new token once, not once for each request in flight, and sends again what was refused
    with a 401, which is certain not to have been carried out.
    """

    kind = "token_expiry"
    plane = Plane.VENUE
    planes = frozenset({Plane.MESSAGE})
    phases = frozenset({"before"})
    clocked = True
    once = True
    whole = "tokens"
    lacks = frozenset({"topic"})

    header: str | None = "authorization: *"
    refresh_too: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        only_requests(self)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Expire the tokens."""
        return (ExpireTokens(self.refresh_too),)

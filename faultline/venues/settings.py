"""What a scenario may set about trading venues and about the generic one, and the contract that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from faultline.history import ClientPolicy, Contract, RateBucket
from faultline.history.contract import IdempotencyScope
from faultline.units import Fraction, Seconds

SETTLE_SLACK_S: Final = 5.0
"""What faults of the venue (delayed fills, fills in parts) may add to the time that an order takes to settle."""


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """One rate limit: at most ``limit`` units of weight per ``window``, over the endpoints that ``weights`` names.

    The first pattern that fits says what a request costs.
    """

    name: str
    limit: int
    window_s: Seconds
    kind: Literal["sliding", "fixed"] = "sliding"
    weights: Mapping[str, int] = field(default_factory=lambda: {"*": 1})

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window_s <= 0:
            raise ValueError(f"rate limit {self.name}: limit and window must be more than zero")
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError(f"rate limit {self.name}: a weight is zero or more")

    def bucket(self) -> RateBucket:
        """The same as the contract has it."""
        return RateBucket(
            name=self.name,
            limit=self.limit,
            window_s=self.window_s,
            weights=tuple(self.weights.items()),
            kind=self.kind,
        )


@dataclass(frozen=True, kw_only=True)
class TradingSettings:
    """What every trading venue lets a scenario set; docs/generic-venue.md has the meaning of each key."""

    fill_delay_s: Seconds = 0.3
    cancel_delay_s: Seconds = 0.0
    order_life_s: Seconds | None = None
    read_lag_s: Seconds = 0.0
    fee: Fraction = 0.0002
    resting: Fraction = 0.0

    @property
    def settle_s(self) -> float:
        """The longest time between an accepted order and its last effect."""
        return max(self.fill_delay_s, self.order_life_s or 0.0) + self.cancel_delay_s + SETTLE_SLACK_S


@dataclass(frozen=True, kw_only=True)
class GenericSettings(TradingSettings):
    """How the generic venue behaves; docs/generic-venue.md has the meaning of each key. Raises ValueError."""

    idempotency: IdempotencyScope = "unique_while_pending"
    sequences: bool = True
    snapshot_on_subscribe: bool = False
    token_ttl_s: Seconds = 900.0
    rate_limit: tuple[RateLimit, ...] = ()
    ban_after: int | None = None
    ban_s: Seconds = 120.0
    heartbeat_s: Seconds = 1.0

    def __post_init__(self) -> None:
        if self.heartbeat_s <= 0 or self.token_ttl_s <= 0:
            raise ValueError("heartbeat and token_ttl must be more than zero")
        if self.ban_after is not None and self.ban_after < 1:
            raise ValueError("ban_after must be 1 or more")

    def contract(self, policy: ClientPolicy) -> Contract:
        """The rules of a run against a venue with these settings."""
        return Contract(
            venue="generic",
            idempotency=self.idempotency,
            buckets=tuple(limit.bucket() for limit in self.rate_limit),
            sequenced=self.sequences,
            snapshot_on_subscribe=self.snapshot_on_subscribe,
            read_lag_s=self.read_lag_s,
            settle_s=self.settle_s,
            token_ttl_s=self.token_ttl_s,
            policy=policy,
        )

"""What a scenario may set about the payments API, and the contract that follows."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.history import ClientPolicy, Contract
from faultline.units import Fraction, Seconds
from faultline.venues.settings import SETTLE_SLACK_S, RateLimit


@dataclass(frozen=True, kw_only=True)
class PaymentsSettings:
    """How the payments API (as Stripe) behaves; docs/venues.md has the meaning of each key. Raises ValueError."""

    key_life_s: Seconds = 86_400.0
    execution_s: Seconds = 0.0
    errors: Fraction = 0.0
    read_lag_s: Seconds = 0.0
    rate_limit: tuple[RateLimit, ...] = ()

    def __post_init__(self) -> None:
        if self.key_life_s <= 0:
            raise ValueError("key_life must be more than zero")
        if self.execution_s < 0 or self.read_lag_s < 0:
            raise ValueError("execution and read_lag are zero or more")
        if not 0 <= self.errors <= 1:
            raise ValueError("errors lies between 0% and 100%")

    def contract(self, policy: ClientPolicy) -> Contract:
        """The rules of a run against this API. A charge is an order that is filled at once."""
        return Contract(
            venue="payments",
            idempotency="first_result",
            buckets=tuple(limit.bucket() for limit in self.rate_limit),
            sequenced=False,
            read_lag_s=self.read_lag_s,
            settle_s=SETTLE_SLACK_S,
            policy=policy,
        )

"""What a scenario may set about a ProjectX gateway, its limits, and the contract that follows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from faultline.history import ClientPolicy, Contract
from faultline.units import Seconds
from faultline.venues.settings import RateLimit, TradingSettings
from faultline.venues.signalr import HubTimes

BARS: Final = "POST /api/History/retrieveBars"
LIMITS: Final = (
    RateLimit(name="bars", limit=50, window_s=30.0, weights={BARS: 1}),
    RateLimit(name="requests", limit=200, window_s=60.0, weights={BARS: 0, "* /api/*": 1}),
)
"""As documented. Opening a hub costs nothing."""
_SYMBOL: Final = re.compile(r"[A-Z0-9]{1,8}")


@dataclass(frozen=True, kw_only=True)
class ProjectXSettings(TradingSettings, HubTimes):
    """How a ProjectX gateway (TopstepX) behaves; docs/venues.md has the meaning of each key. Raises ValueError."""

    symbols: tuple[str, ...] = ("NQ", "ES")
    account: int = 1
    balance: int = 50_000
    token_ttl_s: Seconds = 86_400.0
    rate_limit: tuple[RateLimit, ...] = LIMITS
    duplicate_code: int = 2
    quote_every_s: Seconds = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.symbols or not all(_SYMBOL.fullmatch(symbol) for symbol in self.symbols):
            raise ValueError("symbols are 1 to 8 upper-case letters and digits each, such as NQ; at least one")
        if self.account < 1:
            raise ValueError("account is a number from 1")
        if self.token_ttl_s <= 0 or self.quote_every_s <= 0:
            raise ValueError("token_ttl and quote_every must be more than zero")
        if not 1 <= self.duplicate_code <= 10:
            raise ValueError("duplicate_code is an errorCode of Order/place, 1 to 10")

    def contract(self, policy: ClientPolicy) -> Contract:
        """The rules of a run against this gateway."""
        return Contract(
            venue="projectx",
            idempotency="unique_forever",
            buckets=tuple(limit.bucket() for limit in self.rate_limit),
            sequenced=False,
            read_lag_s=self.read_lag_s,
            settle_s=self.settle_s,
            token_ttl_s=self.token_ttl_s,
            policy=policy,
        )

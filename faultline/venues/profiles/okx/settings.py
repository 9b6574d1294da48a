"""What a scenario may set about OKX v5, its limits, and its endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from faultline.history.contract import IdempotencyScope, RateBucket
from faultline.venues.profiles.spot import SpotSettings

PASSPHRASE: Final = "faultline-passphrase"
"""What goes with the key and the secret at this venue."""

PUBLIC: Final = ("GET /api/v5/public/time", "GET /api/v5/public/instruments", "GET /api/v5/market/books")
ENDPOINTS: Final = (
    *PUBLIC,
    "POST /api/v5/trade/order",
    "POST /api/v5/trade/batch-orders",
    "POST /api/v5/trade/cancel-order",
    "POST /api/v5/trade/amend-order",
    "GET /api/v5/trade/order",
    "GET /api/v5/trade/orders-pending",
    "GET /api/v5/trade/orders-history",
    "GET /api/v5/trade/fills",
    "GET /api/v5/trade/fills-history",
    "GET /api/v5/account/balance",
)
_LIMITS: Final = {
    "POST /api/v5/trade/order": 60,
    "POST /api/v5/trade/batch-orders": 300,
    "POST /api/v5/trade/cancel-order": 60,
    "POST /api/v5/trade/amend-order": 60,
    "GET /api/v5/trade/order": 60,
    "GET /api/v5/trade/fills": 60,
    "GET /api/v5/market/books": 40,
    "GET /api/v5/account/balance": 10,
}
"""Requests per two seconds, each endpoint by itself."""


@dataclass(frozen=True, kw_only=True)
class OkxSettings(SpotSettings):
    """How the OKX profile behaves; docs/venues.md has the meaning of each key. Raises ValueError.

    ``too_many_status``: the venue documents both 429 and 200 for a request over the limit, with code 50011.
    """

    name: ClassVar[str] = "okx"
    joint: ClassVar[str] = "-"

    notional_min: int = 0
    too_many_status: Literal[429, 200] = 429

    def scope(self) -> IdempotencyScope:
        """A ``clOrdId`` is unique among pending orders only."""
        return "unique_while_pending"

    def buckets(self) -> tuple[RateBucket, ...]:
        """One limit for each endpoint."""
        return tuple(
            RateBucket(endpoint.rpartition("/")[2], limit, 2.0, ((endpoint, 1),)) for endpoint, limit in _LIMITS.items()
        )

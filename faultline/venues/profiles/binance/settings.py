"""What a scenario may set about Binance spot, its limits, and its endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from faultline.history.contract import IdempotencyScope, RateBucket
from faultline.units import Seconds
from faultline.venues.profiles.spot import DAY_S, SpotSettings
from faultline.venues.ratelimit import Headers, Usage

WEIGHTS: Final = {
    "GET /api/v3/ping": 1,
    "GET /api/v3/time": 1,
    "GET /api/v3/exchangeInfo": 20,
    "GET /api/v3/depth": 5,
    "GET /api/v3/depth?limit=500": 25,
    "GET /api/v3/depth?limit=1000": 50,
    "GET /api/v3/depth?limit=5000": 250,
    "POST /api/v3/order": 1,
    "DELETE /api/v3/order": 1,
    "DELETE /api/v3/openOrders": 1,
    "GET /api/v3/order": 4,
    "GET /api/v3/openOrders?symbol": 6,
    "GET /api/v3/openOrders": 80,
    "GET /api/v3/allOrders": 20,
    "GET /api/v3/account": 20,
    "GET /api/v3/myTrades": 20,
    "GET /api/v3/myTrades?orderId": 5,
}
"""What each request weighs. Parameters that change it are part of an endpoint's name."""
_ORDERS: Final = (("POST /api/v3/order", 1),)
BAN_MAX_S: Final = 3 * DAY_S


@dataclass(frozen=True, kw_only=True)
class BinanceSettings(SpotSettings):
    """How the Binance profile behaves; docs/venues.md has the meaning of each key. Raises ValueError.

    ``read_lag`` is not zero: the venue documents that queries are answered from a database which trails its engine.
    """

    name: ClassVar[str] = "binance"

    read_lag_s: Seconds = 0.05
    weight_limit: int = 6_000
    order_limit: int = 50
    order_limit_daily: int = 160_000
    ban_after: int | None = 10
    ban_s: Seconds = 120.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.weight_limit, self.order_limit, self.order_limit_daily) < 1:
            raise ValueError("weight_limit, order_limit and order_limit_daily must be 1 or more")
        if self.ban_after is not None and self.ban_after < 1:
            raise ValueError("ban_after must be 1 or more")

    def scope(self) -> IdempotencyScope:
        """A client order id is unique among open orders only: after a fill the same id makes a second order."""
        return "unique_while_pending"

    def weight_bucket(self) -> RateBucket:
        """Request weight, per minute and address. What is not served weighs as little as anything."""
        return RateBucket("request_weight", self.weight_limit, 60.0, (*WEIGHTS.items(), ("*", 1)), "fixed")

    def order_buckets(self) -> tuple[RateBucket, RateBucket]:
        """New orders, per ten seconds and per day."""
        return (
            RateBucket("orders_10s", self.order_limit, 10.0, _ORDERS, "fixed"),
            RateBucket("orders_1d", self.order_limit_daily, DAY_S, _ORDERS, "fixed"),
        )

    def buckets(self) -> tuple[RateBucket, ...]:
        """All limits."""
        return (self.weight_bucket(), *self.order_buckets())


def used_weight(usages: Sequence[Usage]) -> Headers:
    """What an answer tells of the weight used."""
    return tuple(("X-MBX-USED-WEIGHT-1M", str(usage.spent)) for usage in usages)


def order_count(usages: Sequence[Usage]) -> Headers:
    """What an answer to a new order tells of the orders counted."""
    window = {"orders_10s": "10S", "orders_1d": "1D"}
    return tuple((f"X-MBX-ORDER-COUNT-{window[usage.bucket.name]}", str(usage.spent)) for usage in usages)

"""What a scenario may set about Gate v4, its limits, and its endpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from faultline.history.contract import IdempotencyScope, RateBucket
from faultline.venues.profiles.spot import SpotSettings
from faultline.venues.ratelimit import Headers, Usage

PUBLIC: Final = (
    "GET /api/v4/spot/time",
    "GET /api/v4/spot/currency_pairs",
    "GET /api/v4/spot/order_book",
    "GET /api/v4/margin/currency_pairs",
)
ENDPOINTS: Final = (
    *PUBLIC,
    "POST /api/v4/spot/orders",
    "GET /api/v4/spot/orders",
    "DELETE /api/v4/spot/orders",
    "GET /api/v4/spot/orders/{id}",
    "DELETE /api/v4/spot/orders/{id}",
    "PATCH /api/v4/spot/orders/{id}",
    "GET /api/v4/spot/open_orders",
    "GET /api/v4/spot/accounts",
    "GET /api/v4/spot/my_trades",
)
_PLACES: Final = (("POST /api/v4/spot/orders", 1), ("PATCH /api/v4/spot/orders/{id}", 1))
_CANCELS: Final = (("DELETE /api/v4/spot/orders/{id}", 1), ("DELETE /api/v4/spot/orders", 1))
_LIMITED_ELSEWHERE: Final = frozenset(endpoint for endpoint, _ in (*_PLACES, *_CANCELS))


@dataclass(frozen=True, kw_only=True)
class GateSettings(SpotSettings):
    """How the Gate profile behaves; docs/venues.md has the meaning of each key. Raises ValueError.

    ``full_every``: every so many updates of a ``spot.obu`` book the whole book is sent again.
    """

    name: ClassVar[str] = "gate"
    joint: ClassVar[str] = "_"

    notional_min: int = 3
    order_limit: int = 10
    cancel_limit: int = 200
    request_limit: int = 200
    full_every: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.order_limit, self.cancel_limit, self.request_limit, self.full_every) < 1:
            raise ValueError("order_limit, cancel_limit, request_limit and full_every must be 1 or more")

    def scope(self) -> IdempotencyScope:
        """Nothing is said of a ``text`` that was used before, so a second order is what it gets."""
        return "none"

    def buckets(self) -> tuple[RateBucket, ...]:
        """New and amended orders together per second, cancels per second, the rest by endpoint."""
        each = [
            RateBucket(endpoint, self.request_limit, 10.0, ((endpoint, 1),))
            for endpoint in ENDPOINTS
            if endpoint not in _LIMITED_ELSEWHERE
        ]
        return (
            RateBucket("orders", self.order_limit, 1.0, _PLACES),
            RateBucket("cancels", self.cancel_limit, 1.0, _CANCELS),
            *each,
        )


def limit_headers(wall_s: Callable[[], float]) -> Callable[[Sequence[Usage]], Headers]:
    """What an answer tells of its limit: the reset is a time when the limit is used up, else about now."""

    def describe(usages: Sequence[Usage]) -> Headers:
        (usage,) = usages
        left = max(0, usage.bucket.limit - usage.spent)
        reset_s = wall_s() + (0 if left else usage.reset_s)
        return (
            ("X-Gate-RateLimit-Requests-Remain", str(left)),
            ("X-Gate-RateLimit-Limit", str(usage.bucket.limit)),
            ("X-Gate-RateLimit-Reset-Timestamp", str(int(reset_s))),
        )

    return describe

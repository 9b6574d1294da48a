"""The client of :mod:`targets.order_flow` at real venues: the same components behind another adapter each.

What differs is in the settings: the limits that the venue documents, and for how long a request may still take effect
after it was given up. Of each limit half is used: a limiter begins anew with its process, and one that was restarted
does not know what its predecessor sent within the same window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Final

from targets.order_flow import CONFIG, OrderFlow
from targets.resilience.config import RateLimits
from targets.resilience.rate_limiter import BucketRule, RateLimiterConfig
from targets.resilience.state_reconciler import StateReconcilerConfig
from targets.resilience.system import MakeAdapter, SystemConfig
from targets.resilience.token_manager import TokenManagerConfig
from targets.resilience.venues.binance import binance_adapter
from targets.resilience.venues.gate import gate_adapter
from targets.resilience.venues.mexc import mexc_adapter
from targets.resilience.venues.okx import okx_adapter
from targets.resilience.venues.projectx import projectx_adapter

_VENUE: Final = CONFIG.venue
WAITING_MAX: Final = 10_000


def _bucket(requests: int, window_s: float) -> RateLimiterConfig:
    return RateLimiterConfig(requests, window_s, WAITING_MAX, pause_jitter=0.25)


class ProjectXFlow(OrderFlow):
    """At ProjectX, which allows 50 history calls per 30 s and 200 others per 60 s, logins and queries included."""

    adapter: ClassVar[MakeAdapter] = staticmethod(projectx_adapter)
    contracts: ClassVar[Mapping[str, str]] = {symbol: f"CON.F.US.{symbol}.Z26" for symbol in ("NQ", "ES")}
    config: ClassVar[SystemConfig] = replace(
        CONFIG,
        venue=replace(_VENUE, account_id="1"),
        token_manager=TokenManagerConfig(),
        rate_limits=RateLimits(
            buckets={"history": _bucket(25, 30.0), "others": _bucket(100, 60.0)},
            rules=(BucketRule("History/*", ("history",)),),
            default=("others",),
        ),
        # Two queries each: a quarter of that.
        state_reconciler=StateReconcilerConfig(sweep_interval=5_000),
    )


class BinanceFlow(OrderFlow):
    """At Binance spot: 50 new orders per 10 s, and a weight of 6,000 per minute, by what each request weighs."""

    adapter: ClassVar[MakeAdapter] = staticmethod(binance_adapter)
    config: ClassVar[SystemConfig] = replace(
        CONFIG,
        venue=replace(_VENUE, query_lag_seconds=1.0),
        rate_limits=RateLimits(
            buckets={"orders": _bucket(25, 10.0), "weight": _bucket(3_000, 60.0)},
            rules=(
                BucketRule("Order/place", ("orders", "weight")),
                BucketRule("Order/cancel", ("weight",)),
                BucketRule("time", ("weight",)),
                BucketRule("Order/search", ("weight",), 4),
                BucketRule("Order/searchOpen", ("weight",), 6),
                BucketRule("*", ("weight",), 20),
            ),
            default=("weight",),
        ),
    )


class OkxFlow(OrderFlow):
    """At OKX: 60 per 2 s for each kind of request. The server drops what says nothing for 30 s."""

    adapter: ClassVar[MakeAdapter] = staticmethod(okx_adapter)
    config: ClassVar[SystemConfig] = replace(
        CONFIG,
        venue=replace(_VENUE, passphrase="faultline-passphrase"),
        rate_limits=RateLimits(buckets={"all": _bucket(30, 2.0)}, default=("all",)),
    )


class GateFlow(OrderFlow):
    """At Gate: 10 new and changed orders per second, everything else 200 per 10 s and endpoint."""

    adapter: ClassVar[MakeAdapter] = staticmethod(gate_adapter)
    config: ClassVar[SystemConfig] = replace(
        CONFIG,
        rate_limits=RateLimits(
            buckets={"orders": _bucket(5, 1.0), "others": _bucket(100, 10.0)},
            rules=(BucketRule("Order/place", ("orders",)), BucketRule("Order/replace", ("orders",))),
            default=("others",),
        ),
    )


class MexcFlow(OrderFlow):
    """At MEXC spot: 500 per 10 s and endpoint. Nothing is told by a stream, so the account is asked every second."""

    adapter: ClassVar[MakeAdapter] = staticmethod(mexc_adapter)
    config: ClassVar[SystemConfig] = replace(
        CONFIG,
        rate_limits=RateLimits(
            buckets={"orders": _bucket(10, 1.0), "all": _bucket(250, 10.0)},
            rules=(BucketRule("Order/place", ("orders", "all")),),
            default=("all",),
        ),
        state_reconciler=StateReconcilerConfig(sweep_interval=1_000),
    )

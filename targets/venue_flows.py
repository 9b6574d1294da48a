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

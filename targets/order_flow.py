"""A client that places, cancels and replaces orders at a venue over REST and follows them on its stream.

Written to be certain: each intent is executed at most once, and what became of it is found out, whatever gets lost
on the way. All of that is in the components of :mod:`targets.resilience`; this is their composition for faultline's
generic venue (:func:`targets.resilience.system.venue_system`), with times that suit a venue that answers in
milliseconds, behind the methods that a target has.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import ClassVar, Final

from targets.resilience.alerts import Alert, AlertConfig, CallbackChannel
from targets.resilience.circuit_breaker import CircuitBreakerConfig
from targets.resilience.config import RateLimits, StateConfig, VenueConfig
from targets.resilience.connection_state import SignalRConfig
from targets.resilience.error_handler import ErrorHandlerConfig
from targets.resilience.errors import StateUnavailableError
from targets.resilience.order_manager import OrderRequest
from targets.resilience.order_requests import OrderManagerConfig
from targets.resilience.rate_limiter import BucketRule, RateLimiterConfig
from targets.resilience.risk.config import RiskConfig
from targets.resilience.risk.engine import is_close
from targets.resilience.risk.rules import AuthLossGuard, MaxContracts, MaxOpenOrders, MaxOrderSize
from targets.resilience.settlement import Failure
from targets.resilience.system import MakeAdapter, SystemConfig, generic_adapter, venue_system
from targets.resilience.token_manager import TokenManagerConfig
from targets.resilience.venue import OrderSide, OrderType

CONFIG: Final = SystemConfig(
    venue=VenueConfig(request_timeout=2_000, connect_timeout=1_000),
    token_manager=TokenManagerConfig(refresh_buffer_seconds=5),
    rate_limits=RateLimits(
        buckets={
            "orders": RateLimiterConfig(10, 1.0, 10_000, reserve_seconds=0.05, pause_jitter=0.25),
            "everybody": RateLimiterConfig(60, 2.0, 10_000, pause_jitter=0.25),
        },
        rules=(BucketRule("Order/place", ("orders", "everybody")),),
        default=("everybody",),
    ),
    circuit_breaker=CircuitBreakerConfig(timeout=1_000),
    error_handler=ErrorHandlerConfig(attempt_seconds=5.0),
    signalr=SignalRConfig(
        max_reconnect_attempts=None,
        reconnect_delays=(125, 250, 500, 1_000, 2_000, 4_000),
        ping_interval=2_500,
        ping_timeout=2_500,
        connect_timeout=3_000,
        invoke_timeout=3_000,
        jitter=1.0,
    ),
    order_manager=OrderManagerConfig(verification_timeout=60_000, retry_unsent=True),
    alerts=None,
)
"""For the generic venue. A target may not give an intent up, so nothing here does."""


POSITION_MAX: Final = Decimal(20)
"""What a guarded client may come to own, long or short, if all that may be live is filled."""
FLATTEN_WAIT_S: Final = 60.0


class OrderFlow:
    """The client. Methods are idempotent per ``intent_id``, also across restarts on the same store."""

    workload = "orders"
    config: ClassVar[SystemConfig] = CONFIG
    adapter: ClassVar[MakeAdapter] = staticmethod(generic_adapter)
    contracts: ClassVar[Mapping[str, str]] = {}
    """The venue's contracts by symbol, where they have other names."""

    def __init__(self, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str) -> None:
        venue = replace(
            self.config.venue,
            rest_url=rest_url,
            stream_url=stream_url,
            client_id=client_id,
            client_secret=client_secret,
        )
        config = replace(self.config, venue=venue, state=StateConfig(store_path))
        self._told: list[Alert] = []
        self._system = venue_system(config, self.adapter, {"snapshot": CallbackChannel(self._hear)})
        self._orders = self._system.order_manager
        self._state = self._system.state_manager

    async def start(self) -> None:
        """Log in, subscribe and catch up. Returns after ten seconds at the latest and goes on in the background.

        Raises StateUnavailableError when the store cannot be opened: without it, nothing may be sent.
        """
        await self._system.start()

    async def stop(self) -> None:
        """End all work, close all connections and the store. Callers that still wait are told ``unknown``."""
        await self._system.stop()

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        """Place an order: ``accepted``, ``rejected`` (certainly not placed) or ``unknown`` (still worked on)."""
        request = OrderRequest(
            account_id="",
            contract_id=self.contracts.get(symbol, symbol),
            size=Decimal(quantity),
            type=OrderType(order_type),
            side=OrderSide(side),
            limit_price=Decimal(price) if price else None,
            id=intent_id,
        )
        with suppress(*Failure):
            await self._orders.place_order(request)
        record = self._state.orders.get(intent_id)
        # What could not even be stored was never sent.
        if record is None or (record.settled and not record.accepted):
            return "rejected"
        return "accepted" if record.settled else "unknown"

    async def cancel(self, intent_id: str, *, of: str) -> str:
        """Cancel the order of intent ``of``: ``accepted`` (it is ended), ``rejected`` (filled first) or ``unknown``."""
        with suppress(*Failure):
            await self._orders.cancel_order(of, id=intent_id)
        return self._amended(intent_id)

    async def replace(self, intent_id: str, *, of: str, quantity: str, price: str) -> str:
        """Give the order of intent ``of`` a new quantity and price: ``accepted``, ``rejected`` or ``unknown``."""
        with suppress(*Failure):
            await self._orders.replace_order(
                of, size=Decimal(quantity), limit_price=Decimal(price) if price else None, id=intent_id
            )
        return self._amended(intent_id)

    def _amended(self, intent_id: str) -> str:
        stored = self._state.amendments.get(intent_id)
        return "rejected" if stored is None else stored.outcome or "unknown"

    async def _hear(self, alert: Alert) -> None:
        self._told.append(alert)

    def snapshot(self) -> dict[str, object]:
        """What the client believes now. ``stale`` is its own admission that it may be behind."""
        symbols = {contract: symbol for symbol, contract in self.contracts.items()}
        return {
            "orders": {
                record.request_id: {
                    "order_id": _own_id(record.order_id),
                    "status": record.status.value,
                    "filled": str(record.filled),
                }
                for record in self._state.orders.values()
                if not is_close(record.request_id)
            },
            "positions": {symbols.get(held, held): str(size) for held, size in self._state.positions.items()},
            "fills": [_own_id(fill) for fill in self._state.fills],
            "stale": self._system.state_reconciler.stale,
        }


class GuardedFlow(OrderFlow):
    """The same client with a risk engine in front of every order, and somebody who is told when something is wrong."""

    config: ClassVar[SystemConfig] = replace(
        CONFIG,
        alerts=AlertConfig(stream_after_s=5.0, token_after_s=5.0, unknown_after_s=15.0, ban_over_s=4.0),
        risk=RiskConfig(
            rules=(MaxOrderSize(Decimal(10)), MaxContracts(POSITION_MAX), MaxOpenOrders(50), AuthLossGuard())
        ),
    )

    async def kill(self, intent_id: str) -> str:
        """Open nothing from now on, and close everything: ``accepted``, or ``unknown`` while it is not durable."""
        assert self._system.guard is not None
        try:
            await self._system.guard.kill("asked for", label=intent_id)
        except StateUnavailableError:
            return "unknown"
        return "accepted"

    async def flatten(self, intent_id: str) -> str:
        """Close everything: ``accepted`` (nothing is held or live) or ``unknown`` (still at it)."""
        assert self._system.guard is not None
        done = await self._system.guard.flatten(label=intent_id, wait_s=FLATTEN_WAIT_S)
        return "accepted" if done else "unknown"

    def snapshot(self) -> dict[str, object]:
        """As ever, and the alerts that went out."""
        alerts = [{"key": told.key, "level": told.level, "resolved": told.resolved} for told in self._told]
        return {**super().snapshot(), "alerts": alerts}


def _own_id(written: str) -> str:
    """The venue's own id, without the contract that an adapter puts before it."""
    return written.rpartition(":")[2]

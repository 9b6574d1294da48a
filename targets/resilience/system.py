"""The components put together: one account at one venue.

::

    tokens ──────────┐                      ┌─> settlement ─┐
    rate limiter ──┐ │   error handler ─────┤               ├─> state manager
    breaker ───────┴─┴─> (venue, HTTP) <────┴─ reconciler ──┘        ^
                                                   ^                 │
    tokens ─────────────> connection manager ──────┘   order manager ┘

All requests of an account pass one error handler, and with it one limiter and one breaker; the stream has its own
reconnects. The state manager is what survives; everything else begins anew with each process. With a ``risk``
configuration a guard stands between the order manager and the state, and is asked before anything is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from targets.resilience.adapter import Access, Adapter, Stream, Subscription
from targets.resilience.alerts import AlertConfig, AlertManager, Channel
from targets.resilience.circuit_breaker import CircuitBreaker, CircuitBreakerConfig
from targets.resilience.config import ConfigurationManager, RateLimits, StateConfig, VenueConfig
from targets.resilience.connection_manager import ConnectionState, SignalRConfig, SignalRConnectionManager
from targets.resilience.error_handler import ErrorHandler, ErrorHandlerConfig, Readiness
from targets.resilience.errors import ResilienceError, StateUnavailableError
from targets.resilience.guard import Guard
from targets.resilience.http_client import HttpClient
from targets.resilience.order_channels import OrderChannels, channels
from targets.resilience.order_manager import OrderManager
from targets.resilience.order_requests import OrderManagerConfig
from targets.resilience.plain_dialect import generic_venue
from targets.resilience.polled_stream import PolledStream
from targets.resilience.rate_limiter import Limiter, RateLimiterConfig
from targets.resilience.records import OrderRecord
from targets.resilience.risk.config import RiskConfig
from targets.resilience.state_manager import StateManager
from targets.resilience.state_reconciler import StateReconciler, StateReconcilerConfig
from targets.resilience.token_manager import TokenManager, TokenManagerConfig
from targets.resilience.venue import OrderStatus, Venue
from targets.resilience.venues.generic import GenericLogin, GenericVenue
from targets.resilience.venues.generic_stream import TOPICS, GenericReading
from targets.resilience.watch import Signs, Watch

log = logging.getLogger(__name__)

T = TypeVar("T")
STORE_RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """The settings of all components. ``risk`` None: nothing guards the account. ``alerts`` None: nobody is told."""

    venue: VenueConfig = field(default_factory=VenueConfig)
    state: StateConfig = field(default_factory=StateConfig)
    token_manager: TokenManagerConfig = field(default_factory=TokenManagerConfig)
    rate_limiter: RateLimiterConfig = field(default_factory=RateLimiterConfig)
    rate_limits: RateLimits = field(default_factory=RateLimits)
    circuit_breaker: CircuitBreakerConfig = field(default_factory=CircuitBreakerConfig)
    error_handler: ErrorHandlerConfig = field(default_factory=ErrorHandlerConfig)
    signalr: SignalRConfig = field(default_factory=SignalRConfig)
    state_reconciler: StateReconcilerConfig = field(default_factory=StateReconcilerConfig)
    order_manager: OrderManagerConfig = field(default_factory=OrderManagerConfig)
    alerts: AlertConfig | None = field(default_factory=AlertConfig)
    risk: RiskConfig | None = None

    @classmethod
    def of(cls, configuration: ConfigurationManager) -> SystemConfig:
        """The settings in a file that is loaded."""
        return cls(
            configuration.get_venue_config(),
            configuration.get_state_config(),
            configuration.get_token_manager_config(),
            configuration.get_rate_limiter_config(),
            configuration.get_rate_limits(),
            configuration.get_circuit_breaker_config(),
            configuration.get_error_handler_config(),
            configuration.get_signalr_config(),
            configuration.get_state_reconciler_config(),
            configuration.get_order_manager_config(),
            configuration.get_alert_config(),
            configuration.get_risk_config() if configuration.has("risk") else None,
        )


@dataclass(frozen=True, slots=True)
class Health:
    """How the system is. ``problems`` are what somebody should know, one line each."""

    problems: tuple[str, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


class IntegratedSystem:
    """All components of one account, started and stopped together."""

    def __init__(
        self,
        *,
        token_manager: Access,
        signalr_manager: Stream,
        state_reconciler: StateReconciler,
        order_manager: OrderManager,
        error_handler: ErrorHandler,
        state_manager: StateManager,
        http: HttpClient,
        subscriptions: tuple[Subscription, ...] = (),
        guard: Guard | None = None,
        alerts: AlertManager | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.guard = guard
        self.alerts = alerts
        self._watch = watch
        self._subscriptions = subscriptions
        self.token_manager = token_manager
        self.signalr_manager = signalr_manager
        self.state_reconciler = state_reconciler
        self.order_manager = order_manager
        self.error_handler = error_handler
        self.state_manager = state_manager
        self._http = http
        self._running = False

    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._running

    async def start(self, *, wait_s: float = 10.0) -> None:
        """Open the state, take up what was unsettled, connect and catch up.

        Returns after ``wait_s`` at the latest: without the venue it goes on by itself, and says that it is stale.
        Raises StateUnavailableError when the state cannot be opened within that time: nothing may be sent then.
        """
        await self._open_state(wait_s)
        self._running = True
        if self.alerts is not None:
            await self.alerts.start()
        if self._watch is not None:
            self._watch.start()
        if self.guard is not None:
            await self.guard.start()
        await self.token_manager.initialize()
        await self.order_manager.start()
        if self.guard is not None:
            self.guard.go()
        self.state_reconciler.start()
        for subscription in self._subscriptions:
            await self.signalr_manager.subscribe(*subscription)
        with suppress(TimeoutError, ResilienceError):
            async with asyncio.timeout(wait_s):
                await self.signalr_manager.connect()

    async def _open_state(self, wait_s: float) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StateUnavailableError),
            stop=stop_after_delay(wait_s),
            wait=wait_fixed(STORE_RETRY_S),
            reraise=True,
        ):
            with attempt:
                await self.state_manager.initialize()

    async def stop(self) -> None:
        """End all work, close all connections and the state. Callers that still wait are told that nobody knows."""
        if not self._running:
            return
        self._running = False
        if self.guard is not None:
            await self.guard.stop()
        if self._watch is not None:
            await self._watch.stop()
        await self.order_manager.stop()
        await self.state_reconciler.stop()
        await self.signalr_manager.disconnect()
        await self.token_manager.close()
        await self._http.close()
        self.state_manager.close()
        if self.alerts is not None:
            await self.alerts.stop()

    async def health_check(self) -> Health:
        """What is wrong, by what the components know; asks nobody."""
        signs = {
            "not running": not self._running,
            "there is no valid token": self.token_manager.is_expired(),
            "the circuit breaker is open": self.error_handler.circuit_breaker.is_open(),
            f"the stream is {self.signalr_manager.state}": self.signalr_manager.state != ConnectionState.CONNECTED,
            "the state may be behind the venue": self.state_reconciler.stale,
            "some orders may or may not exist": any(
                record.status == OrderStatus.UNKNOWN for record in self.state_manager.orders.values()
            ),
            "the kill switch is on": self.guard is not None and bool(self.guard.engine.killed),
        }
        return Health(tuple(problem for problem, there in signs.items() if there))


class _WithToken:
    """An error handler whose calls need a token: it is renewed before the limiter is asked, not after."""

    def __init__(self, handler: ErrorHandler, tokens: Readiness) -> None:
        self._handler = handler
        self._tokens = tokens

    async def execute(self, call: Callable[[], Awaitable[T]], **settings: Any) -> T:
        return await self._handler.execute(call, needs=self._tokens, **settings)


class MakeAdapter(Protocol):
    """Makes the adapter of one venue."""

    def __call__(
        self, config: VenueConfig, http: HttpClient, limiter: Limiter, tokens: TokenManagerConfig, /
    ) -> Adapter:
        """The adapter. Sends nothing yet."""
        ...


def generic_adapter(config: VenueConfig, http: HttpClient, limiter: Limiter, tokens: TokenManagerConfig) -> Adapter:
    """For the generic venue of faultline."""
    access = TokenManager(tokens, GenericLogin(http, limiter, config.client_id, config.client_secret))
    venue = GenericVenue(http, access, config.rules)
    return Adapter(access, venue, GenericReading(), generic_venue(), "/stream", (TOPICS,))


def generic_system(config: SystemConfig) -> IntegratedSystem:
    """The system for an account at the generic venue. Sends nothing yet."""
    return venue_system(config, generic_adapter)


def venue_system(
    config: SystemConfig, make: MakeAdapter, channels_of_alerts: Mapping[str, Channel] | None = None
) -> IntegratedSystem:
    """The system for an account at the venue that ``make`` adapts. Sends nothing yet.

    Alerts go to ``channels_of_alerts`` beside those of the configuration.
    """
    http = HttpClient(
        config.venue.rest_url,
        request_timeout=config.venue.request_timeout,
        connect_timeout=config.venue.connect_timeout,
    )
    limiter = config.rate_limits.limiter(config.rate_limiter)
    adapter = make(config.venue, http, limiter, config.token_manager)
    access, venue = adapter.access, adapter.venue
    handler = ErrorHandler(config.error_handler, limiter, CircuitBreaker(config.circuit_breaker))
    state = StateManager(config.state.path)
    alerts = None
    if config.alerts is not None:
        alerts = AlertManager(config.alerts, {**config.alerts.channels(), **(channels_of_alerts or {})})
    asking = _WithToken(handler, access)
    guard = _guard(config, state, venue, asking, alerts)
    admit = _anything if guard is None else guard.admit
    orders = OrderManager(config.order_manager, handler, venue, state, access, admit)
    stream = _stream(config, adapter)
    store = OrderChannels(state, orders.hear)
    reconciler = StateReconciler(config.state_reconciler, stream, store, asking)
    for channel in channels(venue, state, adapter.reading):
        reconciler.follow(channel)
    if guard is not None:
        guard.trade_with(orders, lambda: reconciler.stale)
    watch = None
    if alerts is not None and config.alerts is not None:
        watch = Watch(alerts, Signs(config.alerts, access, stream, reconciler, limiter, state))
    return IntegratedSystem(
        token_manager=access,
        signalr_manager=stream,
        subscriptions=adapter.subscriptions,
        state_reconciler=reconciler,
        order_manager=orders,
        error_handler=handler,
        state_manager=state,
        http=http,
        guard=guard,
        alerts=alerts,
        watch=watch,
    )


def _anything(record: OrderRecord) -> None:
    """Without a guard, whatever is asked for is sent."""


def _guard(
    config: SystemConfig, state: StateManager, venue: Venue, asking: _WithToken, alerts: AlertManager | None
) -> Guard | None:
    if config.risk is None:
        return None
    sweep_s = config.state_reconciler.sweep_interval / 1000
    account_id = config.venue.account_id
    return Guard(config.risk, state, venue, asking, alerts, sweep_s=sweep_s, account_id=account_id)


def _stream(config: SystemConfig, adapter: Adapter) -> Stream:
    if adapter.dialect is None:
        return PolledStream()
    address = config.signalr.url or config.venue.stream_url.rstrip("/") + adapter.stream_path
    return SignalRConnectionManager(replace(config.signalr, url=address), adapter.access, dialect=adapter.dialect)

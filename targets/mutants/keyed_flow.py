"""Clients that show one rule each, made of the same components as :class:`targets.order_flow.OrderFlow`.

``OrderFlow`` is defended in depth: what one component lets through, the next one catches. A mutant of one component is
seen where nothing stands behind it, so here are clients that rely on less:

* :class:`KeyedFlow` relies on the error handler and on a venue that answers a repeated key with the first result
  (``idempotency: first_result``): orders are sent again blindly, and whoever asked is told of a failure by an error;
* :class:`BreakerFlow` is the same with a circuit breaker that opens;
* :class:`WithdrawingFlow` answers a cancel at once where the order was not sent yet, and relies on not sending it then;
* :class:`StreamFlow` is ``OrderFlow`` without its regular sweep: it hears of things by the stream, and fetches only
  what the stream is known to have left out.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, Final

from targets.order_flow import CONFIG, OrderFlow
from targets.resilience.circuit_breaker import CircuitBreaker, CircuitBreakerConfig
from targets.resilience.error_handler import ErrorHandler, ErrorHandlerConfig
from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient, Reply
from targets.resilience.rate_limiter import RateLimiter, RateLimiterConfig
from targets.resilience.state_reconciler import StateReconcilerConfig
from targets.resilience.token_manager import TokenManager, TokenManagerConfig
from targets.resilience.venue import OrderSide, OrderType, Placement, WithdrawnError
from targets.resilience.venues.generic import GenericLogin, GenericVenue

HANDLER: Final = ErrorHandlerConfig(
    backoff_base=250, attempt_seconds=3.0, deadline_seconds=9.0, unauthorized_retries=1, jitter=0.25
)
NEVER_OPENS: Final = CircuitBreakerConfig(failure_threshold=1_000_000)
_SPACE: Final = uuid.UUID("5b1d1c1e-2f0c-4d58-9a7e-4b8f0f4f9a10")


class _Bare:
    """A venue, a login and nothing else: no store, no stream, no view of its own."""

    def __init__(self, http: HttpClient, tokens: TokenManager) -> None:
        self._http = http
        self._tokens = tokens
        self._venue = GenericVenue(http, tokens)

    async def start(self) -> None:
        """Nothing to recover: the keys follow from the intents."""
        await self._tokens.initialize()

    async def stop(self) -> None:
        """Close what is open."""
        await self._tokens.close()
        await self._http.close()

    def snapshot(self) -> dict[str, object]:
        """It keeps no view of its own."""
        return {}


class KeyedFlow(_Bare):
    """Places orders through the error handler, and tells nothing of what it believes."""

    breaker: ClassVar[CircuitBreakerConfig] = NEVER_OPENS

    def __init__(self, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str) -> None:
        http = HttpClient(rest_url, request_timeout=3_000, connect_timeout=2_500)
        limiter = CONFIG.rate_limits.limiter(CONFIG.rate_limiter)
        login = GenericLogin(http, limiter, client_id, client_secret)
        super().__init__(http, TokenManager(TokenManagerConfig(refresh_buffer_seconds=5), login))
        self._handler = ErrorHandler(HANDLER, limiter, CircuitBreaker(self.breaker))

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        """``accepted``, or ``rejected`` when the venue declined it. Raises what else kept it from being placed."""
        limit_price = Decimal(price) if price else None
        key = uuid.uuid5(_SPACE, intent_id).hex
        terms = symbol, OrderSide(side), OrderType(order_type), Decimal(quantity), limit_price
        placement = Placement(key, "", *terms)
        try:
            await self._handler.execute(
                lambda: self._venue.place(placement, unless=lambda: False),
                endpoint="Order/place",
                needs=self._tokens,
            )
        except APIError as error:
            if error.status_code == 422:
                return "rejected"
            raise
        return "accepted"


class BreakerFlow(KeyedFlow):
    """With the breaker's usual settings."""

    breaker: ClassVar[CircuitBreakerConfig] = CircuitBreakerConfig()


class _Noting(HttpClient):
    """Notes the key of each order at the moment in which it is sent."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url, request_timeout=3_000, connect_timeout=2_500)
        self.sent: set[object] = set()

    async def send(self, *request: Any, **more: Any) -> Reply:
        if (body := more.get("body")) is not None:
            self.sent.add(body.get("client_order_id"))
        return await super().send(*request, **more)


class WithdrawingFlow(_Bare):
    """Places orders one request each, and cancels what was not sent yet by not sending it."""

    def __init__(self, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str) -> None:
        http = _Noting(rest_url)
        login = GenericLogin(http, RateLimiter(RateLimiterConfig()), client_id, client_secret)
        super().__init__(http, TokenManager(TokenManagerConfig(refresh_buffer_seconds=0.5), login))
        self._sent = http.sent
        self._withdrawn: set[str] = set()

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        """``accepted``, or ``rejected`` when it was withdrawn. Raises what else kept it from being placed."""
        terms = symbol, OrderSide(side), OrderType(order_type), Decimal(quantity), Decimal(price) if price else None
        try:
            await self._venue.place(Placement(intent_id, "", *terms), unless=lambda: intent_id in self._withdrawn)
        except WithdrawnError:
            return "rejected"
        return "accepted"

    async def cancel(self, intent_id: str, *, of: str) -> str:
        """``accepted`` where the order was not sent and so will not be; else it is too late."""
        if of in self._sent:
            return "rejected"
        self._withdrawn.add(of)
        return "accepted"


class StreamFlow(OrderFlow):
    """Fetches nothing just because time has passed."""

    config = replace(CONFIG, state_reconciler=StateReconcilerConfig(sweep_interval=86_400_000))

"""The one layer that tries again.

Each attempt waits for the rate limiter, asks the circuit breaker, and makes one request. What follows depends on two
questions that have nothing to do with each other:

* **Is it worth another try?** After 429, 500, 502, 503, 504 and when the connection failed, yes. After any other
  refusal (400, 401, 403, 404, 409, 422) never.
* **May it be sent again?** An operation that is not ``safe_to_repeat`` may, only if the failure certainly had no
  effect: the venue refused it unread, or no connection came about. Otherwise it is handed back with the error as it
  is, ``effect_of(error)`` is unknown, and the caller has to find out what became of it.

The delays are 1, 2, 4 and 8 s and never shorter than a ``Retry-After``. They go through ``asyncio.sleep``. At most
``max_attempts`` requests are sent, and all of it, waiting included, ends by the deadline: a retry that would begin
after it is not waited for.

What a call has to keep to:

* It makes one request and retries nothing. Layers of retries multiply, so ``execute`` is never called within it.
* It builds its request anew each time it is called: a body that was read once is empty the second time.
* An answer that says no in its body (HTTP 200 and ``success: false``) is an error too: it raises APIError for it.
* It is called the moment the limiter lets it pass. A last look whether anybody still wants it belongs into its first
  line; raising NotSentError there ends the operation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from tenacity import AsyncRetrying, RetryError, retry_if_exception, stop_after_attempt, stop_before_delay

from targets.resilience.circuit_breaker import CircuitBreaker, Permit
from targets.resilience.errors import (
    APIError,
    DeadlineExceededError,
    Effect,
    MaxRetriesExceededError,
    NotSentError,
    ServiceUnavailableError,
    effect_of,
)
from targets.resilience.ranges import in_range
from targets.resilience.rate_limiter import Limiter
from targets.resilience.retry_policy import (
    CONNECTION_ERRORS,
    NEVER_RETRIED,
    RETRY_STATUSES,
    Backoff,
    is_outage,
    is_transient,
    retry_after_of,
    sleep,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
_TOO_MANY: Final = (418, 429)


class Readiness(Protocol):
    """Something a call needs and that may take long to get, such as a token."""

    def is_ready(self) -> bool:
        """Whether it is there."""
        ...

    async def get_ready(self) -> None:
        """Get it."""
        ...


@dataclass(frozen=True, slots=True)
class ErrorHandlerConfig:
    """Delays in milliseconds: ``backoff_base`` times ``backoff_multiplier`` to the number of failures before, at most
    ``backoff_max``; ``jitter`` adds up to that share of it at random.

    ``attempt_seconds`` limits one request, ``deadline_seconds`` the whole operation. ``unauthorized_retries``: how
    often a 401 is answered with another attempt, at once; worth 1 where the calls reject the token they used. Raises
    ValueError for what is out of range, and for a status that is never retried.
    """

    max_attempts: int = 5
    backoff_base: float = 1000
    backoff_multiplier: float = 2
    backoff_max: float = 60_000
    jitter: float = 0.0
    retry_statuses: tuple[int, ...] = RETRY_STATUSES
    attempt_seconds: float = 10.0
    deadline_seconds: float = 120.0
    unauthorized_retries: int = 0

    def __post_init__(self) -> None:
        in_range("max_attempts", self.max_attempts, 1)
        in_range("backoff_base", self.backoff_base, 0)
        in_range("backoff_multiplier", self.backoff_multiplier, 1)
        in_range("backoff_max", self.backoff_max, 0)
        in_range("jitter", self.jitter, 0, 1)
        in_range("attempt_seconds", self.attempt_seconds, 0.001)
        in_range("deadline_seconds", self.deadline_seconds, 0.001)
        in_range("unauthorized_retries", self.unauthorized_retries, 0)
        for status in self.retry_statuses:
            if status in NEVER_RETRIED:
                raise ValueError(f"retry_statuses: {status} is never retried")
            in_range("retry_statuses", status, 400, 599)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the caller of ``execute`` said about the operation."""

    safe_to_repeat: bool
    endpoint: str
    weight: int
    exempt: bool
    attempts_max: int
    deadline_s: float
    needs: Readiness | None


class ErrorHandler:
    """Runs calls to a venue. One for all clients of an account: they share its limiter and its breaker.

    ``connection_errors`` are the exceptions that mean that there was no connection or no answer.
    """

    def __init__(
        self,
        config: ErrorHandlerConfig,
        rate_limiter: Limiter,
        circuit_breaker: CircuitBreaker,
        *,
        connection_errors: tuple[type[Exception], ...] = CONNECTION_ERRORS,
    ) -> None:
        self.config = config
        self.rate_limiter = rate_limiter
        self.circuit_breaker = circuit_breaker
        self.connection_errors = connection_errors

    async def execute(
        self,
        call: Callable[[], Awaitable[T]],
        *,
        safe_to_repeat: bool = True,
        endpoint: str = "",
        weight: int = 1,
        exempt: bool = False,
        attempts_max: int | None = None,
        deadline_seconds: float | None = None,
        needs: Readiness | None = None,
    ) -> T:
        """The result of ``call``, after as many attempts as that takes and the configuration allows.

        ``endpoint`` and ``weight`` are for the rate limiter. ``exempt``: sent even while the breaker is open.
        ``attempts_max`` and ``deadline_seconds`` replace those of the configuration. ``needs`` is made ready before
        the limiter is asked, because nothing may take long between its permission and the request.

        Raises MaxRetriesExceededError, with the last error as its cause; DeadlineExceededError;
        ServiceUnavailableError and QueueFullError, when it was not sent; and what ``call`` raised, if that is not
        worth or not safe to repeat, or if only one attempt is allowed. The ``effect`` of an error speaks for all
        attempts.
        """
        terms = _Terms(
            safe_to_repeat,
            endpoint,
            weight,
            exempt,
            self.config.max_attempts if attempts_max is None else attempts_max,
            self.config.deadline_seconds if deadline_seconds is None else deadline_seconds,
            needs,
        )
        return await _Operation(self, call, terms).run()


class _Operation(Generic[T]):
    """One ``execute``: its attempts, and what they may have done so far."""

    def __init__(self, handler: ErrorHandler, call: Callable[[], Awaitable[T]], terms: _Terms) -> None:
        config = handler.config
        self._handler = handler
        self._call = call
        self._terms = terms
        self._backoff = Backoff(
            config.backoff_base / 1000, config.backoff_multiplier, config.backoff_max / 1000, config.jitter
        )
        self._effect: Effect = "none"
        self._last: Exception | None = None
        self._failures = 0
        self._unauthorized_left = config.unauthorized_retries
        self._again = False
        self._delay_s = 0.0

    async def run(self) -> T:
        terms = self._terms
        try:
            async with asyncio.timeout(terms.deadline_s) as deadline:
                # A single attempt has nothing to repeat, and its errors are the caller's.
                return await (self._attempt() if terms.attempts_max == 1 else self._retrying()(self._attempt))
        except RetryError as given_up:
            raise self._given_up(given_up.last_attempt.attempt_number) from self._last
        except TimeoutError:
            if deadline.expired():
                raise self._too_late("not done") from self._last
            raise

    def _retrying(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception(lambda error: self._again),
            stop=stop_after_attempt(self._terms.attempts_max) | stop_before_delay(self._terms.deadline_s),
            wait=lambda state: self._delay_s,
            sleep=sleep,
        )

    async def _attempt(self) -> T:
        self._again = False
        try:
            permit = await self._leave_to_send()
        except (APIError, NotSentError) as error:
            self._speak_for_all(error)
            raise
        try:
            async with asyncio.timeout(self._handler.config.attempt_seconds):
                result = await self._call()
        except BaseException as error:
            self._learn(error, permit)
            raise
        self._handler.circuit_breaker.record_success(permit)
        self._handler.rate_limiter.served()
        return result

    async def _leave_to_send(self) -> Permit:
        breaker, terms = self._handler.circuit_breaker, self._terms
        # Once before the wait, so that nobody queues in vain, and once after it, because it may have opened.
        if not terms.exempt and breaker.is_open():
            raise ServiceUnavailableError("the circuit breaker is open", retry_after_s=breaker.retry_after_s)
        breaker.release(breaker.acquire(exempt=terms.exempt))
        while True:
            if terms.needs is not None:
                await terms.needs.get_ready()
            await self._handler.rate_limiter.throttle(terms.endpoint, weight=terms.weight)
            # The wait may have outlived the token.
            if terms.needs is None or terms.needs.is_ready():
                return breaker.acquire(exempt=terms.exempt)

    def _learn(self, error: BaseException, permit: Permit) -> None:
        """What a failed attempt means for the breaker, for the limiter, and for the next attempt."""
        handler = self._handler
        if is_outage(error, handler.connection_errors):
            handler.circuit_breaker.record_failure(permit)
        else:
            handler.circuit_breaker.release(permit)
        if isinstance(error, APIError) and error.status_code is not None:
            if error.status_code in _TOO_MANY or (error.status_code == 503 and error.retry_after_s is not None):
                handler.rate_limiter.refused(error.status_code, error.retry_after_s)
            else:
                handler.rate_limiter.served()
        harmless = effect_of(error) == "none"
        if isinstance(error, Exception):
            self._last = error
        self._speak_for_all(error)
        self._again = (harmless or self._terms.safe_to_repeat) and self._worth_it(error)

    def _worth_it(self, error: BaseException) -> bool:
        if isinstance(error, APIError) and error.status_code == 401 and self._unauthorized_left:
            self._unauthorized_left -= 1
            self._delay_s = 0.0
            return True
        if not is_transient(error, self._handler.config.retry_statuses, self._handler.connection_errors):
            return False
        self._failures += 1
        self._delay_s = self._backoff.delay_s(self._failures, retry_after_of(error))
        log.info("%s failed: %s", self._terms.endpoint or "a call", type(error).__name__)
        return True

    def _speak_for_all(self, error: BaseException) -> None:
        if effect_of(error) == "unknown":
            self._effect = "unknown"
        if isinstance(error, APIError | NotSentError):
            error.effect = self._effect

    def _given_up(self, attempts: int) -> APIError:
        last = self._last
        if attempts < self._terms.attempts_max:
            return self._too_late(f"the venue is to be left alone for {self._delay_s:g} s")
        status, code = (last.status_code, last.code) if isinstance(last, APIError) else (None, "")
        return MaxRetriesExceededError(
            f"{attempts} attempts failed, the last with {type(last).__name__}: {last}",
            status,
            code=code,
            retry_after_s=retry_after_of(last),
            effect=self._effect,
        )

    def _too_late(self, why: str) -> DeadlineExceededError:
        status = self._last.status_code if isinstance(self._last, APIError) else None
        return DeadlineExceededError(
            f"{why}, and the deadline is {self._terms.deadline_s:g} s", status, effect=self._effect
        )

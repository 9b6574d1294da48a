"""What is tried again, when, how often, and what is handed back because trying again might do harm."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import pytest

from faultline.session import Session
from targets.resilience.circuit_breaker import CircuitBreaker, CircuitBreakerConfig, CircuitState
from targets.resilience.error_handler import ErrorHandler, ErrorHandlerConfig
from targets.resilience.errors import (
    APIError,
    AuthenticationError,
    DeadlineExceededError,
    MaxRetriesExceededError,
    NotSentError,
    QueueFullError,
    ServiceUnavailableError,
    effect_of,
)
from targets.resilience.rate_limiter import BucketRule, RateLimiter, RateLimiterConfig, RateLimiters

UNAVAILABLE = 503
TRANSIENT_STATUSES = [429, 500, 502, 503, 504]
NO_CONNECTION = [
    ConnectionRefusedError("refused"),
    socket.gaierror(-2, "unknown name"),
    APIError("no route", effect="none"),
]
NO_ANSWER = [ConnectionResetError("reset"), TimeoutError(), APIError("no answer")]


def refusal(status: int, **more: Any) -> APIError:
    return APIError(f"status {status}", status_code=status, **more)


def handler(**settings: Any) -> ErrorHandler:
    """With a limiter and a breaker that stay out of the way."""
    breaker = CircuitBreaker(CircuitBreakerConfig(failure_threshold=1000))
    return ErrorHandler(ErrorHandlerConfig(**settings), RateLimiter(RateLimiterConfig(1000, 1.0)), breaker)


class Calls:
    """A call that ends as told, one outcome after the other and the last for ever; notes when it was made."""

    def __init__(self, faultline: Session, *outcomes: object) -> None:
        self._faultline = faultline
        self._outcomes: Sequence[object] = outcomes
        self.times: list[float] = []

    async def __call__(self) -> object:
        self.times.append(round(self._faultline.now_s(), 3))
        outcome = self._outcomes[min(len(self.times), len(self._outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return await outcome() if callable(outcome) else outcome


async def hangs() -> None:
    await asyncio.Event().wait()


# What is worth another try


@pytest.mark.parametrize("failure", [*map(refusal, TRANSIENT_STATUSES), *NO_CONNECTION, *NO_ANSWER], ids=repr)
async def test_what_may_pass_is_tried_again(faultline: Session, failure: Exception) -> None:
    call = Calls(faultline, failure, failure, "success")
    assert await handler().execute(call) == "success"
    assert call.times == [0, 1, 3]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 402, 410, 451, 501, 505])
async def test_a_refusal_in_earnest_is_never_tried_again(faultline: Session, status: int) -> None:
    call = Calls(faultline, refusal(status))
    with pytest.raises(APIError, match=f"status {status}") as raised:
        await handler().execute(call)
    assert type(raised.value) is APIError
    assert len(call.times) == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), NotSentError("no longer wanted"), OSError(28, "disk full")])
async def test_what_is_not_about_the_venue_passes_through_untouched(faultline: Session, error: Exception) -> None:
    call = Calls(faultline, error)
    limited = handler()
    with pytest.raises(type(error)) as raised:
        await limited.execute(call)
    assert raised.value is error
    assert len(call.times) == 1


async def test_the_errors_of_an_http_library_can_be_added(faultline: Session) -> None:
    class LibraryError(Exception):
        pass

    made = handler()
    added = ErrorHandler(
        made.config, made.rate_limiter, made.circuit_breaker, connection_errors=(LibraryError, TimeoutError)
    )
    assert await added.execute(Calls(faultline, LibraryError(), "success")) == "success"


async def test_which_statuses_are_tried_again_can_be_set(faultline: Session) -> None:
    assert await handler(retry_statuses=(418,)).execute(Calls(faultline, refusal(418), "success")) == "success"
    with pytest.raises(APIError, match="status 503"):
        await handler(retry_statuses=(418,)).execute(Calls(faultline, refusal(UNAVAILABLE), "success"))


# How often, and when


async def test_five_attempts_and_not_one_more(faultline: Session) -> None:
    last = refusal(UNAVAILABLE, code="maintenance", retry_after_s=3.0)
    call = Calls(faultline, refusal(500), refusal(500), refusal(500), refusal(500), last)
    with pytest.raises(
        MaxRetriesExceededError, match="5 attempts failed, the last with APIError: status 503"
    ) as raised:
        await handler().execute(call)
    error = raised.value
    assert error.__cause__ is last
    assert (error.status_code, error.code, error.retry_after_s, error.effect) == (503, "maintenance", 3.0, "unknown")
    assert call.times == [0, 1, 3, 7, 15]


async def test_the_delays_can_be_seen_by_whoever_replaces_asyncio_sleep() -> None:
    delays_ms = []
    original_sleep = asyncio.sleep

    async def sleep(delay: float) -> None:
        delays_ms.append(delay * 1000)
        await original_sleep(0)

    async def failing() -> None:
        raise refusal(UNAVAILABLE)

    with patch("asyncio.sleep", side_effect=sleep), pytest.raises(MaxRetriesExceededError):
        await handler(max_attempts=5, backoff_base=1000, backoff_multiplier=2).execute(failing)
    assert delays_ms == [1000, 2000, 4000, 8000]


async def test_delays_follow_the_configuration(faultline: Session) -> None:
    call = Calls(faultline, refusal(500))
    with pytest.raises(MaxRetriesExceededError):
        await handler(max_attempts=6, backoff_base=100, backoff_multiplier=3, backoff_max=2000).execute(call)
    assert call.times == [0, 0.1, 0.4, 1.3, 3.3, 5.3]


async def test_jitter_keeps_clients_apart_and_never_comes_early(faultline: Session) -> None:
    calls = [Calls(faultline, refusal(500), "success") for _ in range(20)]
    await asyncio.gather(*(handler(jitter=0.5).execute(call) for call in calls))
    delays_s = [call.times[1] for call in calls]
    assert len(set(delays_s)) > 15
    assert 1 <= min(delays_s) < max(delays_s) <= 1.5


@pytest.mark.parametrize(("asked_s", "waited_s"), [(7.5, 7.5), (0.2, 1.0), (0.0, 1.0)])
async def test_a_retry_is_never_sooner_than_the_venue_asked_for(
    faultline: Session, asked_s: float, waited_s: float
) -> None:
    call = Calls(faultline, refusal(UNAVAILABLE, retry_after_s=asked_s), "success")
    await handler().execute(call)
    assert call.times == [0, waited_s]


async def test_a_pause_that_ends_after_the_deadline_is_not_waited_for(faultline: Session) -> None:
    call = Calls(faultline, refusal(429, retry_after_s=3600.0))
    with pytest.raises(DeadlineExceededError, match="left alone for 3600 s, and the deadline is 120 s") as raised:
        await handler().execute(call)
    assert faultline.now_s() < 0.1
    assert (raised.value.status_code, raised.value.effect) == (429, "none")
    assert isinstance(raised.value.__cause__, APIError)


async def test_all_of_it_ends_by_the_deadline(faultline: Session) -> None:
    call = Calls(faultline, refusal(500), refusal(500), refusal(500), hangs)
    with pytest.raises(DeadlineExceededError, match="not done, and the deadline is 10 s") as raised:
        await handler(deadline_seconds=10).execute(call)
    assert faultline.now_s() == pytest.approx(10, abs=0.01)
    assert isinstance(raised.value.__cause__, APIError)
    assert raised.value.effect == "unknown"


async def test_a_deadline_in_the_queue_of_the_limiter_had_no_effect(faultline: Session) -> None:
    limited = handler()
    limited.rate_limiter.refused(429, 60.0)
    call = Calls(faultline, "success")
    with pytest.raises(DeadlineExceededError) as raised:
        await limited.execute(call, deadline_seconds=5)
    assert (call.times, raised.value.effect) == ([], "none")


async def test_a_request_without_an_answer_is_given_up_and_tried_again(faultline: Session) -> None:
    call = Calls(faultline, hangs, "success")
    assert await handler(attempt_seconds=2).execute(call) == "success"
    assert call.times == [0, 3]


async def test_where_one_attempt_is_allowed_its_own_error_is_raised(faultline: Session) -> None:
    failure = refusal(UNAVAILABLE)
    with pytest.raises(APIError) as raised:
        await handler().execute(Calls(faultline, failure), attempts_max=1)
    assert raised.value is failure
    assert faultline.now_s() < 0.1


# What may be sent again


@pytest.mark.parametrize("failure", [refusal(500), refusal(503), refusal(504), refusal(408), *NO_ANSWER])
async def test_an_unknown_effect_is_handed_back_where_repeating_is_not_safe(
    faultline: Session, failure: Exception
) -> None:
    call = Calls(faultline, failure, "success")
    with pytest.raises(type(failure)) as raised:
        await handler().execute(call, safe_to_repeat=False)
    assert raised.value is failure
    assert effect_of(raised.value) == "unknown"
    assert len(call.times) == 1


@pytest.mark.parametrize("failure", [refusal(429), refusal(503, effect="none"), *NO_CONNECTION], ids=repr)
async def test_what_certainly_had_no_effect_is_sent_again_even_so(faultline: Session, failure: Exception) -> None:
    call = Calls(faultline, failure, "success")
    assert await handler().execute(call, safe_to_repeat=False) == "success"


async def test_a_request_given_up_for_lack_of_an_answer_is_not_repeated_where_that_is_not_safe(
    faultline: Session,
) -> None:
    call = Calls(faultline, hangs)
    with pytest.raises(TimeoutError) as raised:
        await handler(attempt_seconds=2).execute(call, safe_to_repeat=False)
    assert effect_of(raised.value) == "unknown"
    assert call.times == [0]


async def test_the_effect_of_an_error_speaks_for_all_attempts(faultline: Session) -> None:
    with pytest.raises(APIError, match="status 422") as refused:
        await handler().execute(Calls(faultline, refusal(500), refusal(422)))
    assert refused.value.effect == "unknown"
    with pytest.raises(NotSentError) as withdrawn:
        await handler().execute(Calls(faultline, refusal(500), NotSentError("no longer wanted")))
    assert withdrawn.value.effect == "unknown"
    with pytest.raises(MaxRetriesExceededError) as throttled:
        await handler().execute(Calls(faultline, refusal(429)))
    assert throttled.value.effect == "none"


# 401


async def test_a_401_is_final_unless_calls_get_themselves_a_new_token(faultline: Session) -> None:
    with pytest.raises(APIError, match="status 401"):
        await handler().execute(Calls(faultline, refusal(401), "success"))


async def test_one_401_is_answered_with_one_more_attempt_at_once(faultline: Session) -> None:
    call = Calls(faultline, refusal(401), refusal(503), "success")
    assert await handler(unauthorized_retries=1).execute(call) == "success"
    assert call.times == [0, 0, 1]
    again = Calls(faultline, refusal(401))
    with pytest.raises(APIError, match="status 401"):
        await handler(unauthorized_retries=1).execute(again, safe_to_repeat=False)
    assert len(again.times) == 2


async def test_what_the_token_manager_has_tried_in_vain_is_not_tried_on_top(faultline: Session) -> None:
    limited = handler()
    limited.circuit_breaker = Mock(wraps=limited.circuit_breaker)
    call = Calls(faultline, AuthenticationError("no token", 503))
    with pytest.raises(AuthenticationError):
        await limited.execute(call)
    assert len(call.times) == 1
    limited.circuit_breaker.record_failure.assert_not_called()


class Token:
    """Takes a second to get, and is good for ten."""

    def __init__(self, faultline: Session) -> None:
        self._faultline = faultline
        self._good_until = 0.0
        self.got = 0

    def is_ready(self) -> bool:
        return self._faultline.now_s() < self._good_until

    async def get_ready(self) -> None:
        if not self.is_ready():
            await asyncio.sleep(1)
            self.got += 1
            self._good_until = self._faultline.now_s() + 10


async def test_what_a_call_needs_is_there_before_the_limiter_is_asked_and_still_when_it_sends(
    faultline: Session,
) -> None:
    token = Token(faultline)
    limited = handler()
    asked: list[float] = []
    throttle = limited.rate_limiter.throttle

    async def asked_for(endpoint: str = "", *, weight: int = 1) -> None:
        asked.append(round(faultline.now_s()))
        if len(asked) == 2:
            await asyncio.sleep(15)  # the wait outlives the token
        await throttle(endpoint, weight=weight)

    limited.rate_limiter = Mock(throttle=asked_for)
    assert await limited.execute(Calls(faultline, "first"), needs=token) == "first"
    assert asked == [1]
    call = Calls(faultline, "second")
    await limited.execute(call, needs=token)
    assert (asked, token.got, call.times) == ([1, 1, 17], 2, [17])


async def test_no_token_means_not_sent(faultline: Session) -> None:
    token = Mock(get_ready=AsyncMock(side_effect=AuthenticationError("none", 401)))
    call = Calls(faultline, "success")
    with pytest.raises(AuthenticationError) as raised:
        await handler().execute(call, needs=token)
    assert (call.times, raised.value.effect) == ([], "none")


# The circuit breaker


def guarded(**settings: Any) -> ErrorHandler:
    return ErrorHandler(
        ErrorHandlerConfig(**settings),
        RateLimiter(RateLimiterConfig(1000, 1.0)),
        CircuitBreaker(CircuitBreakerConfig()),
    )


async def test_nothing_is_sent_while_the_breaker_is_open(faultline: Session) -> None:
    limited = guarded()
    call = Calls(faultline, refusal(500))
    with pytest.raises(MaxRetriesExceededError):
        await limited.execute(call)
    assert limited.circuit_breaker.is_open()
    with pytest.raises(ServiceUnavailableError) as refused:
        await limited.execute(call)
    assert len(call.times) == 5
    assert refused.value.retry_after_s == pytest.approx(60, abs=0.1)
    await asyncio.sleep(60)
    assert await limited.execute(Calls(faultline, "success")) == "success"
    assert limited.circuit_breaker.state == CircuitState.CLOSED


async def test_a_breaker_that_says_it_is_open_is_believed() -> None:
    limited = ErrorHandler(ErrorHandlerConfig(), AsyncMock(), Mock(is_open=Mock(return_value=True)))
    call = AsyncMock()
    with pytest.raises(ServiceUnavailableError):
        await limited.execute(call)
    call.assert_not_called()
    limited.rate_limiter.throttle.assert_not_called()  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
async def test_a_venue_that_declines_is_not_down(faultline: Session, status: int) -> None:
    limited = guarded()
    for _ in range(3):
        with pytest.raises(APIError):
            await limited.execute(Calls(faultline, refusal(status)))
    assert limited.circuit_breaker.state == CircuitState.CLOSED


@pytest.mark.parametrize("failure", [refusal(500), refusal(501), refusal(408), TimeoutError(), ConnectionResetError()])
async def test_a_venue_that_fails_or_is_silent_is_down(faultline: Session, failure: Exception) -> None:
    limited = guarded()
    for _ in range(5):
        with pytest.raises(type(failure)):
            await limited.execute(Calls(faultline, failure), attempts_max=1)
    assert limited.circuit_breaker.state == CircuitState.OPEN


async def test_a_breaker_that_others_open_ends_the_retries(faultline: Session) -> None:
    limited = guarded()
    call = Calls(faultline, refusal(500))
    retrying = asyncio.create_task(limited.execute(call))
    await asyncio.sleep(0.5)
    limited.circuit_breaker.state = CircuitState.OPEN
    with pytest.raises(ServiceUnavailableError) as raised:
        await retrying
    assert (call.times, raised.value.effect) == ([0], "unknown")


async def test_a_breaker_that_opens_while_a_call_waits_for_the_limiter_stops_it(faultline: Session) -> None:
    limited = guarded()
    limited.rate_limiter.refused(429, 5.0)
    call = Calls(faultline, "success")
    waiting = asyncio.create_task(limited.execute(call))
    await asyncio.sleep(1)
    limited.circuit_breaker.state = CircuitState.OPEN
    with pytest.raises(ServiceUnavailableError):
        await waiting
    assert call.times == []


async def test_what_is_exempt_gets_through_an_open_breaker(faultline: Session) -> None:
    limited = guarded()
    limited.circuit_breaker.state = CircuitState.OPEN
    assert await limited.execute(Calls(faultline, "cancelled"), exempt=True) == "cancelled"
    assert limited.circuit_breaker.state == CircuitState.OPEN


@pytest.mark.parametrize("ending", ["cancelled", "declined"])
async def test_probes_without_a_verdict_give_their_places_back(faultline: Session, ending: str) -> None:
    limited = guarded()
    limited.circuit_breaker.state = CircuitState.HALF_OPEN
    call = Calls(faultline, hangs if ending == "cancelled" else refusal(400))
    probes = [asyncio.create_task(limited.execute(call)) for _ in range(3)]
    await asyncio.sleep(0.1)
    for probe in probes:
        probe.cancel()
    await asyncio.wait(probes)
    assert limited.circuit_breaker.state == CircuitState.HALF_OPEN
    assert await limited.execute(Calls(faultline, "success")) == "success"


async def test_half_open_only_its_probes_are_sent(faultline: Session) -> None:
    limited = guarded()
    limited.circuit_breaker.state = CircuitState.HALF_OPEN
    call = Calls(faultline, lambda: asyncio.sleep(1, "success"))
    results = await asyncio.gather(*(limited.execute(call) for _ in range(20)), return_exceptions=True)
    assert len(call.times) == 3
    assert sum(isinstance(result, ServiceUnavailableError) for result in results) == 17
    assert isinstance(limited.rate_limiter, RateLimiter)
    assert limited.rate_limiter.free == 997  # nobody else has spent what others might need


# The rate limiter


async def test_every_attempt_asks_the_limiter(faultline: Session) -> None:
    limited = handler()
    limited.rate_limiter = AsyncMock(wraps=limited.rate_limiter, refused=Mock(), served=Mock())
    await limited.execute(Calls(faultline, refusal(500), refusal(429), "success"), endpoint="GET /orders", weight=4)
    assert limited.rate_limiter.throttle.await_count == 3
    limited.rate_limiter.throttle.assert_awaited_with("GET /orders", weight=4)
    limited.rate_limiter.refused.assert_called_once_with(429, None)


async def test_retries_stay_below_the_limit(faultline: Session) -> None:
    limits = RateLimiters({"all": RateLimiterConfig(2, 10.0, reserve_seconds=0)}, [BucketRule("*", ("all",))], ["all"])
    limited = ErrorHandler(ErrorHandlerConfig(), limits, CircuitBreaker(CircuitBreakerConfig()))
    call = Calls(faultline, refusal(500), refusal(500), refusal(500), "success")
    await limited.execute(call)
    assert call.times == [0, 1, 10, 14]


@pytest.mark.parametrize("failure", [refusal(429, retry_after_s=5.0), refusal(503, retry_after_s=5.0)], ids=repr)
async def test_what_the_venue_asks_of_one_call_holds_for_all(faultline: Session, failure: Exception) -> None:
    limited = handler()
    refused = asyncio.create_task(limited.execute(Calls(faultline, failure, "success")))
    await asyncio.sleep(0.1)
    other = Calls(faultline, "success")
    await limited.execute(other)
    await refused
    assert other.times == [5]


async def test_a_full_queue_is_handed_on(faultline: Session) -> None:
    limits = RateLimiter(RateLimiterConfig(1, 10.0, queue_size=0))
    limited = ErrorHandler(ErrorHandlerConfig(), limits, CircuitBreaker(CircuitBreakerConfig()))
    await limited.execute(Calls(faultline, "success"))
    with pytest.raises(QueueFullError) as raised:
        await limited.execute(Calls(faultline, "success"))
    assert raised.value.effect == "none"


# Cancelling, calling, settings


async def test_a_caller_that_is_cancelled_stops_everything(faultline: Session) -> None:
    call = Calls(faultline, refusal(500))
    running = asyncio.create_task(handler().execute(call))
    await asyncio.sleep(2)
    running.cancel()
    await asyncio.wait({running})
    await asyncio.sleep(60)
    assert running.cancelled()
    assert call.times == [0, 1]


async def test_each_attempt_is_a_call_of_its_own_with_a_body_of_its_own(faultline: Session) -> None:
    bodies: list[bytes] = []

    async def upload() -> None:
        body = iter([b"quantity=1"])
        bodies.append(b"".join(body))
        if len(bodies) < 3:
            raise refusal(UNAVAILABLE)

    await handler().execute(upload)
    assert bodies == [b"quantity=1"] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_attempts": 0}, "max_attempts: 0 is out of range; it is 1 or more"),
        ({"jitter": 1.5}, "jitter: 1.5 is out of range; it is between 0 and 1"),
        ({"deadline_seconds": 0}, "deadline_seconds: 0"),
        ({"retry_statuses": (503, 401)}, "retry_statuses: 401 is never retried"),
        ({"retry_statuses": (200,)}, "retry_statuses: 200 is out of range"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        ErrorHandlerConfig(**settings)


async def test_ten_operations_at_once_do_not_mix_up_their_attempts(faultline: Session) -> None:
    limited = handler()

    def failing(times: int) -> Callable[[], Awaitable[object]]:
        return Calls(faultline, *[refusal(500)] * times, times)

    results = await asyncio.gather(*(limited.execute(failing(number % 5)) for number in range(10)))
    assert results == [number % 5 for number in range(10)]

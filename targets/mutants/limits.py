"""The rate limiter and the circuit breaker without their rules."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from faultline.mutants import Driven, Mutant, Patch
from faultline.oracles import NoDuplicates, RateLimitRespected
from targets.mutants import drives
from targets.mutants.retry import KEYED, status_of
from targets.resilience import error_handler, rate_limiter
from targets.resilience.circuit_breaker import CircuitBreaker, CircuitState
from targets.resilience.error_handler import _Operation
from targets.resilience.rate_limiter import RateLimiter

LIMITED: Final = "10 orders per second"
SHARED: Final = "60 requests in 2 s"


def counts_in_fixed_windows(patch: Patch) -> None:
    """Counts requests in fixed windows."""

    def forget(self: RateLimiter) -> None:
        window = time.monotonic() // self._window_s
        while self._granted and self._granted[0][0] // self._window_s < window:
            self._used -= self._granted.popleft()[1]

    def wait_s(self: RateLimiter, weight: int) -> float:
        self._forget()
        now = time.monotonic()
        full = self._used + weight > self.config.requests
        ends_s = (now // self._window_s + 1) * self._window_s
        return max(ends_s if full else 0.0, self._silent_until) - now

    patch.set(RateLimiter, "_forget", forget)
    patch.set(RateLimiter, "wait_s", wait_s)


def lets_one_too_many_through(patch: Patch) -> None:
    """Lets one request too many into each window."""
    patch.wrap(RateLimiter, "wait_s", lambda wait_s: lambda self, weight: wait_s(self, weight - 1))


class WallClock:
    """Stands for the module ``time`` in a client that takes the wall clock for the monotonic one."""

    @staticmethod
    def monotonic() -> float:
        """Seconds since 1970."""
        return time.time()


def goes_by_the_wall_clock(patch: Patch) -> None:
    """Measures windows by the wall clock."""
    patch.set(rate_limiter, "time", WallClock)


def retries_past_the_limiter(patch: Patch) -> None:
    """Sends retries without asking the limiter."""

    def make(leave: Any) -> Any:
        async def leaves(self: _Operation[Any]) -> Any:
            return self._handler.circuit_breaker.acquire() if self._failures else await leave(self)

        return leaves

    patch.wrap(_Operation, "_leave_to_send", make)


def admits_everybody_half_open(patch: Patch) -> None:
    """Lets every caller through when half-open."""

    def make(init: Any) -> Any:
        return lambda self, config, **more: init(self, replace(config, half_open_requests=1_000_000), **more)

    patch.wrap(CircuitBreaker, "__init__", make)


def stays_half_open_when_a_probe_fails(patch: Patch) -> None:
    """Does not open again when a probe fails."""

    def make(record: Any) -> Any:
        def records(self: CircuitBreaker, permit: Any = None) -> None:
            if self.state == CircuitState.HALF_OPEN and permit is not None:
                self.release(permit)
            else:
                record(self, permit)

        return records

    patch.wrap(CircuitBreaker, "record_failure", make)


def counts_on_after_a_success(patch: Patch) -> None:
    """Counts failures on although a call has succeeded."""

    def make(record: Any) -> Any:
        def records(self: CircuitBreaker, permit: Any = None) -> None:
            failures = self._failures
            record(self, permit)
            self._failures = failures

        return records

    patch.wrap(CircuitBreaker, "record_success", make)


def counts_what_was_declined(patch: Patch) -> None:
    """Counts an order that was declined as a failure of the venue."""

    def make(known: Any) -> Any:
        return lambda error, *more: status_of(error) == 422 or known(error, *more)

    patch.wrap(error_handler, "is_outage", make)


def never_opens(patch: Patch) -> None:
    """Never opens."""
    patch.set(CircuitBreaker, "record_failure", lambda self, permit=None: None)


def knows_no_limit(patch: Patch) -> None:
    """Knows no limit."""
    patch.set(RateLimiter, "wait_s", lambda self, weight: 0.0)


def limits_each_client_alone(patch: Patch) -> None:
    """Gives each client of an account a limiter of its own."""
    patch.set(drives.Venue, "limiter", lambda self: RateLimiter(self._limit))


MUTANTS: Final = (
    Mutant(
        "L01", "Limiter", counts_in_fixed_windows,
        "witnesses/L01.yaml", ("rate_limit_respected",), faults="none but a burst", venues=LIMITED, wasabi="WHEN",
        seen=("plausible/analytics#6497", "block/buzz#3477"),
    ),
    Mutant(
        "L02", "Limiter", lets_one_too_many_through,
        "witnesses/L02.yaml", ("rate_limit_respected",), faults="none but a burst", venues=LIMITED, wasabi="WHEN",
        seen=("Estudely/riftor#121",),
    ),
    Mutant(
        "L05", "Limiter", retries_past_the_limiter,
        "witnesses/L05.yaml", ("rate_limit_respected",), faults="a 503 in a burst", venues=f"{KEYED}, {LIMITED}",
        wasabi="WHEN",
    ),
    Mutant(
        "L04", "Limiter", goes_by_the_wall_clock,
        "witnesses/L04.yaml", ("rate_limit_respected",), faults="a step of the wall clock", venues=LIMITED,
        wasabi="WHEN",
    ),
    Mutant(
        "L07", "Limiter", limits_each_client_alone,
        Driven(drives.two_clients_of_one_account, (RateLimitRespected(), NoDuplicates())),
        ("rate_limit_respected",), faults="none but two clients", venues=LIMITED, wasabi="WHEN", fault_free=True,
    ),
    Mutant(
        "X02", "Limiter", knows_no_limit,
        "witnesses/X02.yaml", ("rate_limit_respected",), faults="none but a burst", venues=LIMITED, wasabi="WHEN",
    ),
    Mutant(
        "B01", "Breaker", admits_everybody_half_open,
        "witnesses/B01.yaml", ("breaker_legal",), faults="an outage under many callers", wasabi="WHEN",
        seen=("Skyscanner/pyfailsafe#31", "heznpc/AirMCP#249", "jaseci-labs/jac#8064"),
    ),
    Mutant(
        "B03", "Breaker", stays_half_open_when_a_probe_fails,
        "witnesses/B03.yaml", ("breaker_legal",), faults="an outage that outlasts a probe", wasabi="WHEN",
    ),
    Mutant(
        "B04", "Breaker", counts_on_after_a_success,
        "witnesses/B04.yaml", ("no_lost_intent",), faults="spaced failures", venues=KEYED, wasabi="HOW",
    ),
    Mutant(
        "B05", "Breaker", counts_what_was_declined,
        "witnesses/B05.yaml", ("no_lost_intent",), faults="five rejects", venues=KEYED, wasabi="HOW",
    ),
    Mutant(
        "X03", "Breaker", never_opens,
        "witnesses/X03.yaml", ("breaker_legal",), faults="an outage", wasabi="WHEN",
    ),
)  # fmt: skip

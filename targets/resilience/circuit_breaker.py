"""A circuit breaker: a venue that is down is left alone, and a few calls find out when it is back.

========= ============================================ =========
from      when                                         to
========= ============================================ =========
closed    the ``failure_threshold``-th failure in a row open
open      ``timeout`` milliseconds have passed         half-open
half-open one probe succeeds                           closed
half-open one probe fails                              open
========= ============================================ =========

In any other case nothing moves. A success while closed starts the count again.

* **Half-open lets ``half_open_requests`` probes be in flight at a time**, and nobody else. A probe that ends without
  a verdict (it was cancelled, or the venue declined it) gives its place back.
* **A result counts only if its call began after the breaker last opened.** A call that was sent into the outage and
  fails, or succeeds, minutes later says nothing about the venue now.
* **The exempt lane** is for what must get through, such as cancels and closing a position: it is admitted in every
  state and takes no probe's place. Begun while the breaker is not closed, it has no say in what becomes of it.

Which errors are failures is the caller's to decide. A venue that declines a request (4xx) is not down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from targets.resilience.errors import ServiceUnavailableError
from targets.resilience.ranges import in_range


class CircuitState(StrEnum):
    """What the breaker lets through: everything, nothing, or a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


LEGAL: Final = frozenset(
    {
        (CircuitState.CLOSED, CircuitState.OPEN),
        (CircuitState.OPEN, CircuitState.HALF_OPEN),
        (CircuitState.HALF_OPEN, CircuitState.CLOSED),
        (CircuitState.HALF_OPEN, CircuitState.OPEN),
    }
)
"""Every transition that happens by itself."""


@dataclass(frozen=True, slots=True)
class CircuitBreakerConfig:
    """``failure_threshold`` failures in a row open it for ``timeout`` milliseconds; then ``half_open_requests`` probes
    may be in flight at a time. Raises ValueError for what is out of range.
    """

    failure_threshold: int = 5
    timeout: int = 60_000
    half_open_requests: int = 3

    def __post_init__(self) -> None:
        in_range("failure_threshold", self.failure_threshold, 1)
        in_range("timeout", self.timeout, 1)
        in_range("half_open_requests", self.half_open_requests, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """Leave to send one call. Give it back once: with a result, or released."""

    opening: int
    """How often the breaker had opened when the call began."""
    probe: bool = False
    has_say: bool = True


class CircuitBreaker:
    """Ask :meth:`acquire` before each call and report how it went. For one event loop; never waits.

    ``on_transition`` is told the state before and after, for alerts; it must not raise.
    """

    def __init__(
        self,
        config: CircuitBreakerConfig,
        *,
        on_transition: Callable[[CircuitState, CircuitState], None] | None = None,
    ) -> None:
        self._config = config
        self._on_transition = on_transition
        self._state = CircuitState.CLOSED
        self._failures = 0
        self._openings = 0
        self._opened_at = 0.0
        self._probes: set[Permit] = set()

    @property
    def state(self) -> CircuitState:
        """The state now. Open becomes half-open by the mere passing of time."""
        if self._state == CircuitState.OPEN and self.retry_after_s <= 0:
            self._become(CircuitState.HALF_OPEN)
        return self._state

    @state.setter
    def state(self, state: CircuitState) -> None:
        """Put it into a state by hand, as an operator does. Calls in flight lose their say when that opens it."""
        self._become(state)

    @property
    def retry_after_s(self) -> float:
        """For how long it stays open; 0 or less when it is not, or not any more."""
        if self._state != CircuitState.OPEN:
            return 0.0
        return self._opened_at + self._config.timeout / 1000 - time.monotonic()

    def is_open(self) -> bool:
        """Whether nothing gets through. Half-open is not open: a probe may be sent."""
        return self.state == CircuitState.OPEN

    def acquire(self, *, exempt: bool = False) -> Permit:
        """Leave for one call that is sent at once. Raises ServiceUnavailableError when there is none."""
        state = self.state
        if exempt:
            return Permit(self._openings, has_say=state == CircuitState.CLOSED)
        if state == CircuitState.OPEN:
            left_s = self.retry_after_s
            raise ServiceUnavailableError(f"the circuit is open for another {left_s:.1f} s", retry_after_s=left_s)
        if state == CircuitState.CLOSED:
            return Permit(self._openings)
        if len(self._probes) >= self._config.half_open_requests:
            raise ServiceUnavailableError(f"the circuit is half-open and its {len(self._probes)} probes are out")
        probe = Permit(self._openings, probe=True)
        self._probes.add(probe)
        return probe

    def record_success(self, permit: Permit | None = None) -> None:
        """The venue answered in earnest. Without a permit the result counts as one of now."""
        if not self._counts(permit):
            return
        self._failures = 0
        if self.state == CircuitState.HALF_OPEN:
            self._become(CircuitState.CLOSED)

    def record_failure(self, permit: Permit | None = None) -> None:
        """The venue failed. Without a permit the result counts as one of now."""
        if not self._counts(permit):
            return
        state = self.state
        if state == CircuitState.CLOSED:
            self._failures += 1
        if state == CircuitState.HALF_OPEN or self._failures >= self._config.failure_threshold:
            self._become(CircuitState.OPEN)

    def release(self, permit: Permit) -> None:
        """The call ended without a verdict. Harmless after a result."""
        self._probes.discard(permit)

    def _counts(self, permit: Permit | None) -> bool:
        if permit is None:
            return self.state != CircuitState.OPEN
        self._probes.discard(permit)
        return permit.has_say and permit.opening == self._openings

    def _become(self, state: CircuitState) -> None:
        before, self._state = self._state, state
        if state == before:
            return
        self._failures = 0
        self._probes.clear()
        if state == CircuitState.OPEN:
            self._openings += 1
            self._opened_at = time.monotonic()
        if self._on_transition is not None:
            self._on_transition(before, state)

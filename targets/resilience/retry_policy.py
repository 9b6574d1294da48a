"""Which failures are worth another try, which say that the venue is down, and how long to wait before trying again."""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import dataclass
from typing import Final

from targets.resilience.errors import APIError, AuthenticationError

CONNECTION_ERRORS: Final[tuple[type[Exception], ...]] = (ConnectionError, TimeoutError, socket.gaierror)
"""No connection, or none any more, or no answer in time. An HTTP library's own errors of that kind are to be added."""
RETRY_STATUSES: Final = (429, 500, 502, 503, 504)
NEVER_RETRIED: Final = frozenset({400, 401, 403, 404, 409, 422})
"""The venue read the request and said no: the same request again gets the same answer, or does harm."""
_REQUEST_TIMEOUT: Final = 408
_EXPONENT_MAX: Final = 60


def is_transient(
    error: BaseException,
    statuses: tuple[int, ...] = RETRY_STATUSES,
    connection_errors: tuple[type[Exception], ...] = CONNECTION_ERRORS,
) -> bool:
    """Whether the same request may well succeed later. Whether it may be sent again is another question."""
    if isinstance(error, AuthenticationError):
        return False  # the token manager has retried already, and layers of retries multiply
    if isinstance(error, APIError):
        return error.status_code is None or error.status_code in statuses
    return isinstance(error, connection_errors)


def is_outage(error: BaseException, connection_errors: tuple[type[Exception], ...] = CONNECTION_ERRORS) -> bool:
    """Whether ``error`` says that the venue is down: a 5xx, or no answer. A refusal (4xx) says the contrary."""
    if isinstance(error, AuthenticationError):
        return False  # not an answer to the call that needed the token
    if isinstance(error, APIError):
        status = error.status_code
        return status is None or status >= 500 or status == _REQUEST_TIMEOUT
    return isinstance(error, connection_errors)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow by ``multiplier`` from ``base_s`` to ``max_s``. ``jitter`` adds up to that share at random."""

    base_s: float
    multiplier: float
    max_s: float
    jitter: float = 0.0

    def delay_s(self, failures: int, retry_after_s: float | None = None) -> float:
        """Seconds to wait after the ``failures``-th failure in a row, and never less than the venue asked for."""
        delay_s = min(self.max_s, self.base_s * self.multiplier ** min(failures - 1, _EXPONENT_MAX))
        extra_s = delay_s * self.jitter * random.random() if self.jitter else 0.0
        return max(delay_s, retry_after_s or 0.0) + extra_s


def retry_after_of(error: BaseException | None) -> float | None:
    """How long the venue asked to be left alone when it failed with ``error``."""
    return error.retry_after_s if isinstance(error, APIError) else None


async def sleep(delay_s: float) -> None:
    """Wait. ``asyncio.sleep`` is looked up at each call, so that whoever replaces it sees the delays."""
    await asyncio.sleep(delay_s)

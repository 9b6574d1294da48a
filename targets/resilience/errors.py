"""What can go wrong between a client and its venue, sorted by the one question that matters afterwards.

May the request have been carried out? ``effect`` says ``none`` only where that is certain: the venue refused the
request unread, or read it and declined it, or no connection came about. Everything else is ``unknown``, and whoever
sends such a request again must first make sure that it cannot take effect twice.
"""

from __future__ import annotations

import socket
from typing import Final, Literal

Effect = Literal["none", "unknown"]

_UNREAD: Final = frozenset({408, 499})
"""4xx statuses that say nothing about the effect: the time-out may have struck while the request was carried out."""


class ResilienceError(Exception):
    """Root of every error that the components raise on purpose."""


class APIError(ResilienceError):
    """The venue answered with an error, or did not answer.

    ``status_code`` is None where there was no answer. ``code`` is the venue's own name or number of the error.
    ``retry_after_s`` is how long the venue asked to be left alone, None where it did not. ``effect`` is derived from
    the status unless it is given: a venue may say more than its status does.
    """

    def __init__(
        self,
        message: str = "",
        status_code: int | None = None,
        *,
        code: str = "",
        retry_after_s: float | None = None,
        effect: Effect | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.retry_after_s = retry_after_s
        self.effect: Effect = effect or _effect_of(status_code)


class MaxRetriesExceededError(APIError):
    """Every allowed attempt failed. ``effect`` is unknown if it was for any of them; the last error is the cause."""


class DeadlineExceededError(APIError):
    """The total time of an operation, retries included, is over."""


class NotSentError(ResilienceError):
    """Not sent, for a reason on this side of the wire; trying again at once would meet the same reason.

    ``effect`` is unknown only where an earlier attempt of the same operation may have been carried out.
    ``retry_after_s`` is when it is worth asking again, None where nobody can say.
    """

    def __init__(self, message: str = "", *, retry_after_s: float | None = None, effect: Effect = "none") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.effect: Effect = effect


class ServiceUnavailableError(NotSentError):
    """Not sent: the circuit breaker is open."""


class QueueFullError(NotSentError):
    """Not sent: too many calls already wait for the rate limiter."""


class AuthenticationError(APIError):
    """The venue gives no token, neither by refresh nor by login. What needed the token was not sent."""

    def __init__(
        self, message: str = "", status_code: int | None = None, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, status_code, retry_after_s=retry_after_s, effect="none")


class MaxReconnectAttemptsError(ResilienceError):
    """The stream could not be connected again in the allowed number of attempts. Loud, because nobody listens now."""


class StateUnavailableError(ResilienceError):
    """A change could not be committed, and so did not happen: the disk is full, or the database stayed locked."""


class ConfigurationError(ResilienceError):
    """A configuration file holds something that cannot be; the message names the place and the range."""


def effect_of(error: BaseException) -> Effect:
    """What the operation that ended with ``error`` may have done. Unknown for every error that says nothing itself."""
    if isinstance(error, APIError | NotSentError):
        return error.effect
    # Nobody listened there, or nobody knew where that is: no request left.
    return "none" if isinstance(error, ConnectionRefusedError | socket.gaierror) else "unknown"


def _effect_of(status_code: int | None) -> Effect:
    declined = status_code is not None and 400 <= status_code < 500 and status_code not in _UNREAD
    return "none" if declined else "unknown"

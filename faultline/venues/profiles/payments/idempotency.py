"""Idempotency keys as Stripe's v1 has them: the answer of the first execution is the answer to all that follow.

Whatever it was, also a 500. Nothing is kept of a request that did not begin to be executed. A key that is old enough is
forgotten, and then the same request is executed again. Source: docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from faultline.venues.base import Response

KEY_MAX: Final = 255
REPLAYED: Final = ("Idempotent-Replayed", "true")


class _First(NamedTuple):
    at_s: float
    asked: str
    response: Response


class Misused(Exception):
    """The key was used for something else."""


class InUse(Exception):
    """The first request with this key is still being executed."""


class Keys:
    """Keys with their first answers. ``execution_s`` is how long a request is being executed, ``life_s`` how long its
    answer is kept."""

    def __init__(self, *, execution_s: float, life_s: float) -> None:
        self._execution_s = execution_s
        self._life_s = life_s
        self._first: dict[str, _First] = {}

    def replay(self, now_s: float, key: str, asked: str) -> Response | None:
        """The answer to give instead of executing; None: execute. ``asked`` is endpoint and parameters.

        Raises Misused and InUse.
        """
        first = self._first.get(key)
        if first is None or now_s - first.at_s >= self._life_s:
            return None
        if first.asked != asked:
            raise Misused(key)
        if now_s - first.at_s < self._execution_s:
            raise InUse(key)
        return Response(first.response.status, first.response.body, (*first.response.headers, REPLAYED))

    def keep(self, now_s: float, key: str, asked: str, response: Response) -> None:
        """This is the answer to the key from now on."""
        self._first[key] = _First(now_s, asked, response)

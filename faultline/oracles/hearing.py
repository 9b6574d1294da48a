"""When a client must have heard an answer.

A history knows when an answer left the venue, not when it arrived: it may travel long, or find that the client gave
up. Charging a client for what it did before it heard is the commonest false alarm of all, so there are two proofs:

* a later request on the same connection. HTTP/1.1 sends none before the whole answer was read, and a client that
  gives up closes the connection;
* failing that, :data:`TRAVEL_MAX_S` have passed since the answer left, and it left so soon after the request was
  sent that no client would have given up.

What a process heard dies with it: the next one cannot know.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from faultline.history import History
from faultline.history.event import Answered, Boot, Received
from faultline.oracles.base import NEVER_T

TRAVEL_MAX_S = 1.0
"""An answer that left promptly has arrived after this long."""

PROMPT_S = 0.25
"""An answer that left this soon after its request was sent met a client that still waited."""


def sent_t(request: Received) -> float:
    """When the client sent it; when it arrived, where the world does not know."""
    return request.t if request.sent_t is None else request.sent_t


class Hearing:
    """When the client must have heard each answer, and until when that knowledge lasted."""

    def __init__(self, history: History) -> None:
        self.requests: dict[int, Received] = {}
        self._on_connection: dict[int, list[float]] = {}
        for request in history.of(Received):
            self.requests[request.request] = request
            if request.connection and not request.injected:
                self._on_connection.setdefault(request.connection, []).append(sent_t(request))
        for times in self._on_connection.values():
            times.sort()
        self._boots = [boot.t for boot in history.of(Boot)]

    def heard_t(self, answer: Answered) -> float:
        """The earliest time at which the client certainly had this answer; :data:`NEVER_T` when nothing proves it."""
        request = self.requests.get(answer.request)
        if request is None or request.injected or answer.fate not in ("sent", "replaced"):
            return NEVER_T
        times = self._on_connection.get(request.connection, [])
        later = bisect_left(times, answer.t)
        proof_t = times[later] if later < len(times) else NEVER_T
        if answer.t - sent_t(request) <= PROMPT_S:
            proof_t = min(proof_t, answer.t + TRAVEL_MAX_S)
        return proof_t if proof_t < self.known_until_t(answer.t) else NEVER_T

    def known_until_t(self, t: float) -> float:
        """When the process that lived at ``t`` was followed by another, which knows nothing of what it had heard."""
        later = bisect_right(self._boots, t)
        return self._boots[later] if later < len(self._boots) else NEVER_T

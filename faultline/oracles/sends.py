"""Requests as the client sent them, grouped into the calls that they repeat.

A call is one endpoint for one entity by one process: a retry belongs to it, a copy that faultline made does not, and a
process that was started anew begins a call of its own, because it may not know of the earlier one. Requests without an
entity (a poll, a login) repeat nothing that could be told apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from faultline.history import History
from faultline.history.event import Answered, Boot, Effect, Received
from faultline.oracles.hearing import sent_t


class Call(NamedTuple):
    """What is repeated when something is sent again."""

    endpoint: str
    entity: str
    incarnation: int

    def __str__(self) -> str:
        return f"{self.endpoint} for {self.entity}"


def own_requests(history: History) -> list[Received]:
    """What the client itself sent, in the order in which it did."""
    return sorted((event for event in history.of(Received) if not event.injected), key=sent_t)


def calls(history: History) -> dict[Call, list[Received]]:
    """The attempts of each call, in the order in which they were sent."""
    boots = [boot.t for boot in history.of(Boot)]
    found: dict[Call, list[Received]] = {}
    for request in own_requests(history):
        if request.entity not in ("", "-"):
            call = Call(request.endpoint, request.entity, bisect_right(boots, sent_t(request)))
            found.setdefault(call, []).append(request)
    return found


def repeats(attempts: list[Received]) -> Iterator[tuple[Received, Received]]:
    """Each attempt with the one before it."""
    return pairwise(attempts)


def answers(history: History) -> dict[int, Answered]:
    """The answer to each request, by its number."""
    return {answer.request: answer for answer in history.of(Answered)}


def placing_endpoints(history: History) -> frozenset[str]:
    """Endpoints at which orders come into being, found by what their requests did."""
    causes = {effect.request for effect in history.of(Effect) if effect.what in ("order", "reject") and effect.request}
    return frozenset(event.endpoint for event in history.of(Received) if event.request in causes)

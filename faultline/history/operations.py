"""What was asked and how long it took, read from a history: operations of the caller, requests, stream messages.

Three clocks are told apart. An *operation* lasts from the intent to the client's first answer. A *request* lasts from
the client's send (from its arrival, where the world does not know the send) to the moment its response left the venue.
A *message* lasts from the effect that it tells of to the moment it was sent. What a fault touched says nothing about
the speed of anything, so requests and messages carry whether one did.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from faultline.history.event import Answered, Delivered, Effect, Outcome, Received, Struck
from faultline.history.log import History


@dataclass(frozen=True, slots=True)
class Operation:
    """One intent of the caller. ``end_t`` and ``outcome`` are None when it was never answered."""

    intent: str
    op: str
    t: float
    end_t: float | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Request:
    """One request that arrived. ``status`` is 0 and ``end_t`` None when no response ever left; ``fate`` as the
    history has it, ``none`` then. ``struck``: a fault hit it, or the connections while it was under way."""

    request: int
    endpoint: str
    entity: str
    t: float
    end_t: float | None
    status: int
    fate: str
    struck: bool


@dataclass(frozen=True, slots=True)
class Timing:
    """Figures of one run, in seconds; None where there was nothing to measure. Percentiles are of the nearest rank.

    Operations are all that were answered. Requests and messages are those that no fault touched. Recovery is how long
    after the last strike the last operation that was open at that moment was answered; 0 when none was open.
    """

    operations: int = 0
    operation_p50_s: float | None = None
    operation_p99_s: float | None = None
    operation_max_s: float | None = None
    requests: int = 0
    request_p99_s: float | None = None
    request_max_s: float | None = None
    messages: int = 0
    message_max_s: float | None = None
    recovery_s: float | None = None


def operations(history: History) -> list[Operation]:
    """Every intent, in the order in which they were first asked."""
    ledger = history.ledger
    found: list[Operation] = []
    for intent in ledger.intents.values():
        answer = ledger.answers_first.get(intent.id)
        end_t, outcome = (None, None) if answer is None else (answer.t, answer.outcome)
        found.append(Operation(intent.id, intent.op, intent.t, end_t, outcome))
    return found


def requests(history: History) -> list[Request]:
    """Every request that arrived and that faultline did not make itself, in order."""
    struck_points, other_t = _strikes(history)
    answered = {event.request: event for event in history.of(Answered)}
    found: list[Request] = []
    for event in history.of(Received):
        if event.injected:
            continue
        began_t = event.t if event.sent_t is None else event.sent_t
        answer = answered.get(event.request)
        end_t = None if answer is None else answer.t
        struck = (event.endpoint, event.entity, event.nth) in struck_points or _any(other_t, began_t, end_t)
        status, fate = (0, "none") if answer is None else (answer.status, answer.fate)
        found.append(Request(event.request, event.endpoint, event.entity, began_t, end_t, status, fate, struck))
    return found


def timing(history: History) -> Timing:
    """The figures of a run."""
    waits = sorted(each.end_t - each.t for each in operations(history) if each.end_t is not None)
    took = sorted(each.end_t - each.t for each in requests(history) if each.end_t is not None and not each.struck)
    pushed = _message_times(history)
    return Timing(
        operations=len(waits),
        operation_p50_s=rank(waits, 0.5),
        operation_p99_s=rank(waits, 0.99),
        operation_max_s=rank(waits, 1.0),
        requests=len(took),
        request_p99_s=rank(took, 0.99),
        request_max_s=rank(took, 1.0),
        messages=len(pushed),
        message_max_s=rank(pushed, 1.0),
        recovery_s=_recovery_s(history),
    )


def _recovery_s(history: History) -> float | None:
    struck = history.of(Struck)
    if not struck:
        return None
    last_t = struck[-1].t
    open_until = (each.end_t for each in operations(history) if each.end_t is not None and each.t <= last_t)
    return max((end_t - last_t for end_t in open_until if end_t > last_t), default=0.0)


def rank(ordered: Sequence[float], share: float) -> float | None:
    """The percentile of the nearest rank of values in ascending order; None of none."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def _strikes(history: History) -> tuple[set[tuple[str, str, int]], list[float]]:
    """The messages that were struck, and when everything else was."""
    points: set[tuple[str, str, int]] = set()
    other_t: list[float] = []
    for struck in history.of(Struck):
        if struck.plane == "message":
            points.add((struck.endpoint, struck.entity, struck.nth))
        else:
            other_t.append(struck.t)
    return points, other_t


def _any(times: Sequence[float], begin_t: float, end_t: float | None) -> bool:
    at = bisect_left(times, begin_t)
    return at < len(times) and (end_t is None or times[at] <= end_t)


def _message_times(history: History) -> list[float]:
    """How long each first telling of a fill took. Later tellings are repetitions, after a reconnect for example."""
    points, other_t = _strikes(history)
    made_t = {effect.fill: effect.t for effect in history.of(Effect) if effect.what == "fill"}
    took: list[float] = []
    for event in history.of(Delivered):
        began_t = made_t.pop(event.subject, None)
        if began_t is None or event.fate != "sent":
            continue
        point = (f"stream {event.stream}", f"{event.entity}/{event.topic}", event.nth)
        if point not in points and not _any(other_t, began_t, event.t):
            took.append(event.t - began_t)
    return sorted(took)

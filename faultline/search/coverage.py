"""What a run looked like, without its times: runs with the same trace are taken for one another.

A trace is what went over the wire in order (who asked what and what became of the answer), what the venue did, when
processes came and went, and what the client told and believed. Times, ids that somebody minted and the receipts of
faults are left out, so an answer that was lost by a reset and one that was lost in silence are the same when the client
does the same about both. Until the first fault all runs of a seed are alike; so two traces differ in what came after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from faultline.history import History
from faultline.history.event import (
    Answer,
    Answered,
    Belief,
    Boot,
    Connected,
    Crashed,
    Delivered,
    Disconnected,
    Effect,
    Event,
    Phase,
    Received,
    Stuck,
    Trouble,
)

_SHAPES: Final[Mapping[type[Event], Callable[[Any], object]]] = {
    Phase: lambda event: event.name,
    Received: lambda event: (event.endpoint, event.entity, event.nth, event.injected),
    Answered: lambda event: (event.request, event.status, event.fate),
    Effect: lambda event: (event.what, event.intent, event.before, event.after, event.filled),
    Delivered: lambda event: (event.stream, event.topic, event.entity, event.fate),
    Connected: lambda event: (event.stream, event.topics),
    Disconnected: lambda event: event.stream,
    Boot: lambda event: event.incarnation,
    Crashed: lambda event: event.how,
    Answer: lambda event: (event.intent, event.outcome),
    Belief: lambda event: (
        tuple((order.intent, order.state, order.filled) for order in event.orders),
        event.positions,
        len(event.fills),
        event.stale,
    ),
    Stuck: lambda event: event.task,
    Trouble: lambda event: event.what,
}


def trace_of(history: History) -> str:
    """The hash of a run's trace, in hex."""
    digest = blake2b(digest_size=12)
    for event in history:
        shape = _SHAPES.get(type(event))
        if shape is not None:
            digest.update(msgspec.json.encode((type(event).__name__, shape(event))))
    return digest.hexdigest()

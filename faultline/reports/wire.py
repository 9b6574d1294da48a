"""The wire around a receipt, as text: for whoever looks at one failing run with a debugger's eyes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from faultline.errors import UsageError
from faultline.history import History
from faultline.history.event import (
    Answer,
    Answered,
    Boot,
    Connected,
    Crashed,
    Delivered,
    Disconnected,
    Effect,
    Event,
    Intent,
    Received,
    Resolved,
    Struck,
)
from faultline.reports.text import action_text, safe


def _who(event: Received | Struck) -> str:
    return "" if event.entity in ("", "-") else f" [{event.entity}]"


_LINES: Final[Mapping[type[Event], Callable[[Any], str]]] = {
    Intent: lambda event: (
        f"caller   wants {event.id}: {event.op} {event.of or event.side} {event.quantity} {event.price}"
    ),
    Answer: lambda event: f"caller   is told of {event.intent}: {event.outcome} {event.detail}",
    Boot: lambda event: f"client   process {event.incarnation} starts",
    Crashed: lambda event: f"client   process {event.incarnation} ends ({event.how})",
    Received: lambda event: (
        f"-> {event.endpoint}{_who(event)} #{event.nth}   request {event.request}, connection {event.connection}"
        + ("   a copy that faultline made" if event.injected else "")
    ),
    Answered: lambda event: f"<- {event.status} to request {event.request}   {event.fate}",
    Connected: lambda event: f"-> opens {event.stream} ({event.connection}) {' '.join(event.topics)}",
    Disconnected: lambda event: f"-- {event.stream} ({event.connection}) is over, code {event.code}",
    Delivered: lambda event: f"<~ {event.topic} {event.subject} [{event.entity}] on {event.connection}   {event.fate}",
    Effect: lambda event: f"venue    {event.what} {event.order} [{event.intent or '?'}] {event.after} {event.filled}",
    Struck: lambda event: (
        f"** receipt {event.receipt}: {event.fault} at {event.endpoint}{_who(event)} #{event.nth} {event.phase}: "
        + action_text(event.action)
    ),
    Resolved: lambda event: f"** receipt {event.receipt}: {event.effect.replace('_', ' ')}",
}


def wire(history: History, receipt: int | None = None, *, around_s: float = 1.0) -> str:
    """What was on the wire, a line each, from ``around_s`` before the fault with this receipt struck until as long
    after it; without one, all of it.

    ``->`` is towards the venue, ``<-`` its answer, ``<~`` a message of its stream, ``**`` a fault. Raises UsageError
    for a receipt that there is not.
    """
    begins_t, ends_t = 0.0, float("inf")
    if receipt is not None:
        found = next((event for event in history.of(Struck) if event.receipt == receipt), None)
        if found is None:
            raise UsageError(f"there is no receipt {receipt}; {len(history.of(Struck))} faults struck")
        begins_t, ends_t = found.t - around_s, found.t + around_s
    return "\n".join(
        f"{event.t:10.4f} s  {safe(_LINES[type(event)](event)).rstrip()}"
        for event in history
        if type(event) in _LINES and begins_t <= event.t <= ends_t
    )

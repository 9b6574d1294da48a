"""Histories made by hand for reports: one small failure, and a run of any length."""

from __future__ import annotations

from faultline.history import Contract, History
from faultline.history.event import (
    Answer,
    Answered,
    Belief,
    Boot,
    Contracted,
    Crashed,
    Delivered,
    Effect,
    Event,
    Intent,
    OrderBelief,
    Outcome,
    Phase,
    Received,
    Resolved,
    Struck,
    Trouble,
)

CUT = "Cut(after_bytes=0, how='silence', code=1006, after_s=None)"


def sealed(events: list[Event]) -> History:
    history = History(events)
    history.seal()
    return history


def twice(*, name: str = "A", crash: bool = False, words: str = "") -> History:
    """Intent ``name`` becomes two orders: its first response is lost, or its process killed, and a new key follows.

    ``words`` are put wherever a wire, a client or a scenario could have put text.
    """
    fault = Struck(0.2, 1, f"lost_response{words}", "message", "POST /orders", name, 1, "after", CUT)
    if crash:
        fault = Struck(0.2, 1, "crash", "message", "POST /orders", name, 1, "after", "Crash(down_s=1.0, how='fin')")
    events: list[Event] = [
        Contracted(0.0, Contract("generic"), 7, f"orders{words}", f"bot.py:Bot{words}"),
        Phase(0.0, "load"),
        Boot(0.0, 1),
        Intent(0.05, "other", "place", "NQ", "buy", "1", "90"),
        Answer(0.06, "other", "fail", 1, words),
        Intent(0.1, name, "place", f"NQ{words}", "buy", "4", "100"),
        Received(0.2, 1, 1, "POST /orders", name, 1, 0.15, key=f"first{words}"),
        Effect(0.2, 1, "order", f"o1{words}", name, "key", "", "new", symbol="NQ", side="buy", quantity="4", request=1),
        fault,
        Resolved(0.2, 1, "applied"),
        *([Crashed(0.2, 1, "fin")] if crash else []),
        Answered(0.2, 1, 201, "sent" if crash else "lost"),
        *([Boot(1.2, 2)] if crash else []),
    ]
    events += [
        Received(2.0, 2, 1, "POST /orders", name, 2, 1.9, key=f"second{words}"),
        Effect(2.0, 2, "order", f"o2{words}", name, "key", "", "new", symbol="NQ", side="buy", quantity="4", request=2),
        Answered(2.0, 2, 201),
        Answer(2.1, name, "ok", 2 if crash else 1, words),
        Delivered(2.2, 1, f"user{words}", f"orders{words}", 1, f"{name}/1", 1, f"o2{words}"),
        Trouble(2.3, "unhandled", f"boom{words}"),
        Phase(3.0, "judgement"),
        Belief(3.0, 2 if crash else 1, (OrderBelief(name, "new", "0", f"o2{words}"),), final=True),
    ]
    return sealed(events)


def long(operations: int) -> History:
    """So many operations, one each 10 ms, most of them quick; each hundredth is struck and slow, some never end."""
    events: list[Event] = [Contracted(0.0, Contract("generic"), 1, "long", "bot.py:Bot"), Boot(0.0, 1)]
    for n in range(operations):
        t, intent = n * 0.01, f"I{n}"
        slow = n % 100 == 50
        took_s = 1.5 if slow else 0.004 + (n % 7) / 1000
        events.append(Intent(t, intent, "place", "NQ", "buy", "1", str(n)))
        events.append(Received(t + 0.001, n + 1, 1, "POST /orders", intent, 1, t, key=f"key-{n}"))
        events.append(Effect(t + 0.001, n, "order", f"o{n}", intent, "key", "", "new", quantity="1", request=n + 1))
        if slow:
            events.append(Struck(t + 0.001, n, "lost_response", "message", "POST /orders", intent, 1, "after", CUT))
            events.append(Resolved(t + 0.001, n, "applied"))
        events.append(Answered(t + 0.001, n + 1, 201, "lost" if slow else "sent"))
        events.append(Delivered(t + 0.002, 1, "user", "orders", n + 1, f"{intent}/1", 1, f"o{n}"))
        outcome: Outcome = "info" if slow else "ok"
        if n % 1000 != 999:
            events.append(Answer(t + took_s, intent, outcome, 1))
        events.append(Belief(t + took_s, 1, (OrderBelief(intent, "new", "0", f"o{n}"),)))
    events.sort(key=lambda event: event.t)
    return sealed(events)

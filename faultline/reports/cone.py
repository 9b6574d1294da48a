"""Which events of a run led to a verdict: those that its findings are about, and the faults that were left.

The cone is taken from ids, not from time: an intent leads to its requests, orders, fills, messages, beliefs and answer;
a fault leads to what it struck. After shrinking each fault that is left is a cause, so all of them belong. A finding
that names no intent (a rate limit, a token) is about the requests before it, and the last of those are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

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
    Intent,
    Phase,
    Received,
    Struck,
    Stuck,
    TokenEnded,
    TokenIssued,
    Trouble,
)
from faultline.oracles.base import EPSILON_S, Verdict

FINDINGS_FOLLOWED: Final = 2
INTENTS_MAX: Final = 4
STRIKES_MAX: Final = 8
WINDOW: Final = 24
"""So many requests before a finding that is about no intent."""


@dataclass(frozen=True, slots=True)
class Cone:
    """``places`` of the events in the history, ascending; ``intents`` that it follows; ``at_t``: when it came true."""

    intents: frozenset[str]
    places: tuple[int, ...]
    at_t: float | None


def cone(history: History, verdict: Verdict | None) -> Cone:
    """The cone of ``verdict``; of the faults, where there is no finding."""
    events = list(history)
    findings = () if verdict is None else verdict.findings[:FINDINGS_FOLLOWED]
    at_t = findings[0].t if findings else None
    followed = _intents(history, [finding.intent for finding in findings if finding.intent])
    if not followed and not findings:
        followed = _struck_intents(history)
    rules = _Judge(history, followed, at_t, by_window=not followed).rules()
    places = tuple(place for place, event in enumerate(events) if type(event) in rules and rules[type(event)](event))
    return Cone(followed, places, at_t)


def _intents(history: History, named: Sequence[str]) -> frozenset[str]:
    """The intents that are named, and those that act upon the same order."""
    roots = {history.ledger.root(name) for name in named}
    related = [each.id for each in history.ledger.intents.values() if history.ledger.root(each.id) in roots]
    return frozenset([*dict.fromkeys([*named, *related])][: INTENTS_MAX + len(named)])


def _struck_intents(history: History) -> frozenset[str]:
    known = history.ledger.intents
    struck = dict.fromkeys(event.entity.split("/")[0] for event in history.of(Struck))
    chosen = [name for name in struck if name in known] or list(known)
    return frozenset(chosen[:FINDINGS_FOLLOWED])


class _Judge:
    def __init__(self, history: History, intents: frozenset[str], at_t: float | None, *, by_window: bool) -> None:
        ledger = history.ledger
        orders = [order for intent in intents for order in ledger.orders_of(intent)]
        self._intents = intents
        self._orders = frozenset(order.order for order in orders)
        self._fills = frozenset(fill.fill for order in orders for fill in order.fills)
        self._strikes = frozenset(event.receipt for event in history.of(Struck)[:STRIKES_MAX])
        self._points = frozenset((e.endpoint, e.entity, e.nth) for e in history.of(Struck)[:STRIKES_MAX])
        self._from_t = history.of(Struck)[0].t if history.of(Struck) else history.end_t
        self._until_t = history.phase_t("judgement") or history.end_t
        self._crashes = bool(history.of(Crashed))
        self._tokens = bool(history.of(TokenEnded))
        requests = {event.request for event in history.of(Received) if self._asks(event)}
        requests |= {order.request for order in orders if order.request}
        if by_window:
            before = [e.request for e in history.of(Received) if at_t is None or e.t <= at_t + EPSILON_S]
            requests |= set(before[-WINDOW:])
        self._requests = frozenset(requests)
        self._by_window = by_window

    def _asks(self, event: Received) -> bool:
        return event.entity in self._intents or (event.endpoint, event.entity, event.nth) in self._points

    def rules(self) -> dict[type[Event], Callable[[Any], bool]]:
        """Whether an event belongs, by its kind; kinds that are not here never do. One look per event: there may be
        hundreds of thousands."""
        intents, orders, requests = self._intents, self._orders, self._requests
        return {
            Intent: lambda event: event.id in intents,
            Answer: lambda event: event.intent in intents,
            Received: lambda event: event.request in requests,
            Answered: lambda event: event.request in requests,
            Effect: lambda event: event.order in orders or event.intent in intents,
            Delivered: lambda event: event.entity.split("/")[0] in intents or self._told(event),
            Belief: lambda event: any(order.intent in intents for order in event.orders) or self._any_fill(event.fills),
            Struck: lambda event: event.receipt in self._strikes,
            Boot: self._died,
            Crashed: self._died,
            Connected: self._after_the_fault,
            Disconnected: self._after_the_fault,
            TokenIssued: lambda _: self._tokens or self._by_window,
            TokenEnded: lambda _: True,
            Phase: lambda event: event.name == "judgement",
            Stuck: lambda _: True,
            Trouble: lambda _: True,
        }

    def _died(self, event: Event) -> bool:
        return self._crashes and event.t <= self._until_t

    def _after_the_fault(self, event: Event) -> bool:
        return self._from_t + EPSILON_S < event.t < self._until_t

    def _told(self, event: Delivered) -> bool:
        point = (f"stream {event.stream}", f"{event.entity}/{event.topic}", event.nth)
        return point in self._points

    def _any_fill(self, fills: Iterable[str]) -> bool:
        return any(fill in self._fills for fill in fills)

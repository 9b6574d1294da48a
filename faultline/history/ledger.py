"""The venue's ledger and the client's final belief, folded from events in one pass.

Jepsen has to search over what an indeterminate operation might have done; here it is looked up. Everything that
oracles share is folded once, so that each of them stays a linear pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, TypeVar

from faultline.history.contract import TERMINAL_STATES
from faultline.history.event import Answer, Belief, Effect, Event, Intent, OrderBelief

E = TypeVar("E", bound=Event)


class _Events(Protocol):
    def of(self, kind: type[E]) -> list[E]: ...


@dataclass(slots=True)
class OrderRecord:
    """One order of the venue: who wanted it and where it stands. ``fills`` are its fill effects in order."""

    order: str
    intent: str | None
    state: str
    symbol: str
    side: str
    quantity: Decimal
    filled: Decimal = Decimal(0)
    accepted_t: float = 0.0
    ended_t: float | None = None
    fills: list[Effect] = field(default_factory=list)

    @property
    def terminal(self) -> bool:
        """Nothing more can happen to it."""
        return self.state in TERMINAL_STATES


class Ledger:
    """What the venue did, by order and by intent, beside what the client wanted, said and believes.

    ``unattributed`` holds effects that no intent could be found for; while it is not empty, neither duplication nor
    absence can be judged. ``answers`` is the last answer of each intent. ``beliefs`` is the client's view of each
    intent when the history ended, ``applied`` how often it applied each fill, ``positions`` its positions.
    """

    def __init__(self, history: _Events) -> None:
        self.intents: dict[str, Intent] = {event.id: event for event in history.of(Intent)}
        self.answers: dict[str, Answer] = {event.intent: event for event in history.of(Answer)}
        self.orders: dict[str, OrderRecord] = {}
        self.by_intent: dict[str, list[OrderRecord]] = {}
        self.rejects: dict[str, list[Effect]] = {}
        self.fills: dict[str, Effect] = {}
        self.unattributed: list[Effect] = []
        self.beliefs: dict[str, OrderBelief] = {}
        self.positions: dict[str, Decimal] = {}
        self.applied: dict[str, int] = {}
        for effect in history.of(Effect):
            self._fold(effect)
        self._believe(history.of(Belief))

    def _fold(self, effect: Effect) -> None:
        if effect.intent is None:
            self.unattributed.append(effect)
        if effect.what == "order":
            record = OrderRecord(
                order=effect.order,
                intent=effect.intent,
                state=effect.after,
                symbol=effect.symbol,
                side=effect.side,
                quantity=Decimal(effect.quantity),
                accepted_t=effect.t,
            )
            self.orders[effect.order] = record
            if effect.intent is not None:
                self.by_intent.setdefault(effect.intent, []).append(record)
            return
        if effect.what == "reject":
            if effect.intent is not None:
                self.rejects.setdefault(effect.intent, []).append(effect)
            return
        known = self.orders.get(effect.order)
        if effect.what == "fill":
            self.fills[effect.fill] = effect
        if known is None:
            return
        known.state = effect.after
        known.filled = Decimal(effect.filled)
        if effect.what == "fill":
            known.fills.append(effect)
        if known.terminal and known.ended_t is None:
            known.ended_t = effect.t

    def _believe(self, beliefs: Iterable[Belief]) -> None:
        incarnation = 0
        for belief in beliefs:
            if belief.incarnation != incarnation:
                # A new process tells its whole view anew; what the old one held in memory is gone.
                incarnation = belief.incarnation
                self.beliefs, self.positions, self.applied = {}, {}, {}
            for order in belief.orders:
                self.beliefs[order.intent] = order
            for symbol, quantity in belief.positions:
                self.positions[symbol] = Decimal(quantity)
            for fill in belief.fills:
                self.applied[fill] = self.applied.get(fill, 0) + 1

    def orders_of(self, intent: str) -> list[OrderRecord]:
        """Every order that the venue accepted for ``intent``."""
        return self.by_intent.get(intent, [])

    def true_positions(self) -> dict[str, Decimal]:
        """Position per symbol: the signed sum of all fills."""
        positions: dict[str, Decimal] = {}
        for fill in self.fills.values():
            sign = 1 if fill.side == "buy" else -1
            positions[fill.symbol] = positions.get(fill.symbol, Decimal(0)) + sign * Decimal(fill.quantity)
        return positions

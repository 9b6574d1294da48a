"""The venue's ledger and the client's final belief, folded from events in one pass.

Jepsen has to search over what an indeterminate operation might have done; here it is looked up. Everything that
oracles share is folded once, so that each of them stays a linear pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Protocol, TypeVar

from faultline.errors import HarnessError
from faultline.history.contract import TERMINAL_STATES
from faultline.history.event import Answer, Belief, Boot, Effect, Event, Intent, OrderBelief

E = TypeVar("E", bound=Event)


class _Events(Protocol):
    def of(self, kind: type[E]) -> list[E]: ...


def amount(text: str) -> Decimal:
    """A quantity, price or fee of an event. Raises HarnessError when it is no finite decimal number."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise HarnessError(f"an event of this history has {text!r} where a decimal number is due")
    return value


@dataclass(slots=True)
class OrderRecord:
    """One order of the venue: who wanted it and where it stands. ``fills`` and ``replaced`` are its effects of that
    kind, in order; ``quantity`` is its size after the last replace."""

    order: str
    intent: str | None
    state: str
    symbol: str
    side: str
    quantity: Decimal
    accepted_t: float = 0.0
    request: int = 0
    filled: Decimal = Decimal(0)
    ended_t: float | None = None
    fills: list[Effect] = field(default_factory=list)
    replaced: list[Effect] = field(default_factory=list)

    @property
    def terminal(self) -> bool:
        """Nothing more can happen to it."""
        return self.state in TERMINAL_STATES


@dataclass(frozen=True, slots=True)
class Reapplied:
    """A fill that one process of the client applied again: the second time, the third and so on."""

    fill: str
    t: float
    incarnation: int


class Ledger:
    """What the venue did, by order and by intent, beside what the client wanted, said and believes.

    The venue: ``orders``; ``by_intent`` (the orders accepted for exactly this intent); ``rejects``; ``fills``;
    ``unattributed``, effects that no intent could be found for: while it is not empty, neither duplication nor
    absence can be judged.

    The caller: ``intents`` as first asked; ``answers`` (the last of each intent), ``answers_first`` and ``oks`` (the
    first, and the first ``ok``).

    The client's view when the history ended, as its last process told it: ``beliefs`` by intent, ``held`` the same
    but for intents that it no longer holds (their last view), ``positions``, ``applied`` how often it applied each
    fill. ``reapplied`` covers all processes. ``final`` is the belief that closes this view: one marked so, or the last
    one of a client that nobody booted (a test speaks for it). It is None when the view was never closed, and then
    nothing can be said about the end. ``tells_orders``, ``tells_positions`` and ``tells_fills`` say
    what this client speaks of at all: one that never names a fill id although it believes in fills does not lose
    them, it does not tell.
    """

    def __init__(self, history: _Events) -> None:
        self.intents: dict[str, Intent] = {}
        self.answers: dict[str, Answer] = {}
        self.answers_first: dict[str, Answer] = {}
        self.oks: dict[str, Answer] = {}
        self.orders: dict[str, OrderRecord] = {}
        self.by_intent: dict[str, list[OrderRecord]] = {}
        self.rejects: dict[str, list[Effect]] = {}
        self.fills: dict[str, Effect] = {}
        self.unattributed: list[Effect] = []
        self.beliefs: dict[str, OrderBelief] = {}
        self.held: dict[str, OrderBelief] = {}
        self.positions: dict[str, Decimal] = {}
        self.applied: dict[str, int] = {}
        self.reapplied: list[Reapplied] = []
        self.final: Belief | None = None
        self._children: dict[str, list[str]] = {}
        for intent in history.of(Intent):
            # After a crash the workload asks again, under the same id: the first time is when it was wanted.
            self.intents.setdefault(intent.id, intent)
        for answer in history.of(Answer):
            self._answer(answer)
        for effect in history.of(Effect):
            self._fold(effect)
        self._believe(history.of(Belief), history.of(Boot))

    def _answer(self, answer: Answer) -> None:
        self.answers[answer.intent] = answer
        self.answers_first.setdefault(answer.intent, answer)
        if answer.outcome == "ok":
            self.oks.setdefault(answer.intent, answer)

    def _fold(self, effect: Effect) -> None:
        what = effect.what
        if what == "order":
            self._accept(effect)
            return
        record = self.orders.get(effect.order)
        # A fill or a cancel is tied through its order.
        if effect.intent is None and (record is None or record.intent is None):
            self.unattributed.append(effect)
        if what == "reject":
            if effect.intent is not None:
                self.rejects.setdefault(effect.intent, []).append(effect)
            return
        if what == "fill":
            self.fills[effect.fill] = effect
        if record is None:
            return
        record.state = effect.after
        record.filled = amount(effect.filled)
        if what == "fill":
            record.fills.append(effect)
        elif what == "replace":
            record.replaced.append(effect)
            record.quantity = amount(effect.quantity) or record.quantity
        if effect.after in TERMINAL_STATES and record.ended_t is None:
            record.ended_t = effect.t

    def _accept(self, effect: Effect) -> None:
        intent = effect.intent
        record = self.orders[effect.order] = OrderRecord(
            effect.order,
            intent,
            effect.after,
            effect.symbol,
            effect.side,
            amount(effect.quantity),
            effect.t,
            effect.request,
        )
        if intent is None:
            self.unattributed.append(effect)
            return
        self.by_intent.setdefault(intent, []).append(record)
        root = self.root(intent)
        if root != intent and intent not in self._children.setdefault(root, []):
            self._children[root].append(intent)

    def _believe(self, beliefs: Sequence[Belief], boots: Sequence[Boot]) -> None:
        spoke_orders = spoke_positions = spoke_fills = spoke_filled = False
        incarnation = 0
        for belief in beliefs:
            if belief.incarnation != incarnation:
                # A new process tells its whole view anew; what the old one held in memory is gone.
                incarnation = belief.incarnation
                self._forget()
            for order in belief.orders:
                spoke_orders = True
                self.beliefs[order.intent] = order
                if order.state != "absent":
                    self.held[order.intent] = order
                if not spoke_filled and amount(order.filled):
                    spoke_filled = True
            for symbol, quantity in belief.positions:
                spoke_positions = True
                self.positions[symbol] = amount(quantity)
            for fill in belief.fills:
                spoke_fills = True
                count = self.applied[fill] = self.applied.get(fill, 0) + 1
                if count > 1:
                    self.reapplied.append(Reapplied(fill, belief.t, incarnation))
        if boots and boots[-1].incarnation > incarnation:
            self._forget()
        elif beliefs and (beliefs[-1].final or not boots):
            self.final = beliefs[-1]
        self.tells_fills = spoke_fills or not spoke_filled
        self.tells_positions = spoke_positions or not (spoke_filled or spoke_fills)
        self.tells_orders = spoke_orders or not (spoke_fills or spoke_positions)

    def _forget(self) -> None:
        self.beliefs, self.held, self.positions, self.applied = {}, {}, {}, {}

    def root(self, intent: str) -> str:
        """The intent that ``intent`` acts upon in the end: itself, unless it cancels or replaces another."""
        seen = self.intents.get(intent)
        while seen is not None and seen.of and seen.of != intent:
            intent = seen.of
            seen = self.intents.get(intent)
        return intent

    def orders_of(self, intent: str) -> list[OrderRecord]:
        """Every order that the venue accepted for ``intent``, those that replaced them included."""
        own = self.by_intent.get(intent, [])
        children = self._children.get(intent)
        if not children:
            return own
        return own + [order for child in children for order in self.by_intent[child]]

    def view_of(self, intent: str) -> OrderBelief | None:
        """What the client believes of ``intent`` at the end, or None when it holds nothing for it.

        A client may drop an order once it has seen it end: then its last view of it counts.
        """
        belief = self.beliefs.get(intent)
        if belief is None or belief.state != "absent":
            return belief
        held = self.held.get(intent)
        return held if held is not None and held.state in TERMINAL_STATES else None

    def true_positions(self) -> dict[str, Decimal]:
        """Position per symbol: the signed sum of all fills."""
        positions: dict[str, Decimal] = {}
        for fill in self.fills.values():
            quantity = amount(fill.quantity)
            before = positions.get(fill.symbol, Decimal(0))
            positions[fill.symbol] = before + quantity if fill.side == "buy" else before - quantity
        return positions

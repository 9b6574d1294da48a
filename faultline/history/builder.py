"""A history written by hand: for an oracle's tests, or to have the oracles judge what another system recorded.

::

    history = (
        HistoryBuilder()
        .intent("I1", "buy", quantity=1, price=100, symbol="NQ")   # what the caller wanted
        .order("o1", "I1", quantity=1)                             # what the venue did
        .fill("o1", 1)
        .answer("I1")                                              # what the client told its caller
        .believe({"I1": ("filled", 1)}, final=True)                # and what it believes
        .sealed()
    )
    NoDuplicates().judge(history)

Each step happens 10 ms after the one before it, or at ``at``. What has no method of its own is an event of
:mod:`faultline.history.event`, for :meth:`HistoryBuilder.add`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, Self

from faultline.errors import UsageError
from faultline.history.contract import Contract
from faultline.history.event import (
    Answer,
    Belief,
    Contracted,
    Effect,
    Event,
    Intent,
    OrderBelief,
    Outcome,
    Phase,
    Resolved,
    Struck,
)
from faultline.history.log import History

STEP_S: Final = 0.01


class HistoryBuilder:
    """Writes down what happened, keeping the books that a venue would keep. ``contract`` are the rules of the run."""

    def __init__(self, contract: Contract | None = None) -> None:
        self.t = 0.0
        self._events: list[Event] = [Contracted(0.0, contract or Contract("by hand"), seed=0)]
        self._orders: dict[str, Effect] = {}
        self._sizes: dict[str, Decimal] = {}
        self._fills = 0
        self._receipts = 0

    def add(self, event: Event) -> Self:
        """Any other event. Raises UsageError for one that is earlier than the last."""
        if event.t < self._events[-1].t:
            raise UsageError(
                f"{type(event).__name__} is at {event.t} s, and the event before it at {self._events[-1].t} s"
            )
        self._events.append(event)
        self.t = event.t
        return self

    def _next(self, at: float | None) -> float:
        return self.t + STEP_S if at is None else float(at)

    def intent(
        self,
        id: str,
        side: str = "buy",
        *,
        quantity: object = 1,
        price: object = "",
        symbol: str = "",
        at: float | None = None,
    ) -> Self:
        """The caller wants an order: at ``price``, or without one at the market."""
        kind = "market" if price == "" else "limit"
        return self.add(
            Intent(self._next(at), id, "place", symbol, side, quantity=str(quantity), price=str(price), order_type=kind)
        )

    def answer(self, intent: str, outcome: Outcome = "ok", *, detail: str = "", at: float | None = None) -> Self:
        """The client told its caller: ``ok``, ``fail`` (certainly not done) or ``info`` (nobody can know)."""
        return self.add(Answer(self._next(at), intent, outcome, 1, detail))

    def order(
        self,
        order: str,
        intent: str | None,
        *,
        quantity: object = 1,
        side: str = "buy",
        symbol: str = "",
        at: float | None = None,
    ) -> Self:
        """The venue accepted ``order`` for ``intent`` (None: nobody knows for whom)."""
        self._sizes[order] = Decimal(str(quantity))
        tied = "" if intent is None else "key"
        return self._effect(
            Effect(
                self._next(at), len(self._orders) + 1, "order", order, intent, tied, "", "new",
                symbol=symbol, side=side, quantity=str(quantity),
            )
        )  # fmt: skip

    def fill(self, order: str, quantity: object, *, fill: str = "", at: float | None = None) -> Self:
        """The venue filled some of ``order``. ``fill`` is its id; by default they are numbered."""
        last = self._last(order)
        filled = Decimal(last.filled) + Decimal(str(quantity))
        self._fills += 1
        after = "filled" if filled >= self._sizes[order] else "partially_filled"
        return self._effect(
            Effect(
                self._next(at), last.sequence, "fill", order, last.intent, "order", last.after, after,
                symbol=last.symbol, side=last.side, quantity=str(quantity), filled=str(filled),
                fill=fill or f"fill{self._fills}",
            )
        )  # fmt: skip

    def cancel(self, order: str, *, at: float | None = None) -> Self:
        """The venue cancelled ``order``."""
        last = self._last(order)
        return self._effect(
            Effect(
                self._next(at), last.sequence, "cancel", order, last.intent, "order", last.after, "canceled",
                symbol=last.symbol, side=last.side, quantity=str(self._sizes[order]), filled=last.filled,
            )
        )  # fmt: skip

    def _last(self, order: str) -> Effect:
        if order not in self._orders:
            raise UsageError(f"there is no order {order!r}; say .order({order!r}, ...) before it")
        return self._orders[order]

    def _effect(self, effect: Effect) -> Self:
        self._orders[effect.order] = effect
        return self.add(effect)

    def believe(
        self,
        orders: Mapping[str, tuple[str, object]] | None = None,
        *,
        positions: Mapping[str, object] | None = None,
        fills: Sequence[str] = (),
        final: bool = False,
        at: float | None = None,
    ) -> Self:
        """The client's view: ``orders`` by intent as (state, filled), ``positions`` by symbol, ids of ``fills`` that it
        applied since. ``final``: it is its view at the end."""
        told = tuple(OrderBelief(intent, state, str(filled)) for intent, (state, filled) in (orders or {}).items())
        held = tuple((symbol, str(quantity)) for symbol, quantity in (positions or {}).items())
        return self.add(Belief(self._next(at), 1, told, held, tuple(fills), final))

    def strike(
        self, fault: str, endpoint: str, *, entity: str = "-", applied: bool | None = None, at: float | None = None
    ) -> Self:
        """A fault struck there. ``applied`` says whether what it struck took effect (None: unknown)."""
        t = self._next(at)
        self._receipts += 1
        effect: Literal["applied", "not_applied", "unknown"]
        effect = "unknown" if applied is None else "applied" if applied else "not_applied"
        self.add(Struck(t, self._receipts, fault, "message", endpoint, entity, 1, "after", fault))
        return self.add(Resolved(t, self._receipts, effect))

    def faults_over(self, *, at: float | None = None) -> Self:
        """From here on nothing strikes: what recovery is measured from."""
        return self.add(Phase(self._next(at), "faults_over"))

    def sealed(self) -> History:
        """The history, ready to be judged."""
        history = History(self._events)
        history.seal()
        return history

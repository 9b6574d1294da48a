"""A tiny language for hand-made histories: one line per thing that happened, time moving on by 10 ms a line."""

from __future__ import annotations

from decimal import Decimal

import pytest

from faultline.history import Contract, History
from faultline.history.event import (
    AlertBelief,
    Answer,
    Answered,
    Belief,
    Boot,
    Connected,
    Contracted,
    Crashed,
    Disconnected,
    Effect,
    Event,
    Gauge,
    Intent,
    OrderBelief,
    Phase,
    Received,
    Struck,
    TokenEnded,
    TokenIssued,
)

STEP_S = 0.01


class Story:
    """Writes down what happened, keeping the books that a venue would keep. ``contract`` are fields of Contract."""

    def __init__(self, *, booted: bool = True, **contract):
        self.events: list[Event] = [Contracted(0.0, Contract("story", **contract), seed=0)]
        self.t = 0.0
        self.incarnation = 0
        self.requests = 0
        self.strikes = 0
        self._intents: dict[str, Intent] = {}
        self._orders: dict[str, Effect] = {}
        self._sizes: dict[str, str] = {}
        self._final = False
        if booted:
            self.boot()

    def add(self, event: Event) -> Story:
        self.events.append(event)
        self.t = max(self.t, event.t) + STEP_S
        return self

    def at(self, t: float) -> Story:
        """The next thing happens at ``t``."""
        self.t = t
        return self

    # The client's process

    def boot(self) -> Story:
        self.incarnation += 1
        return self.add(Boot(self.t, self.incarnation))

    def crash(self, how: str = "fin") -> Story:
        return self.add(Crashed(self.t, self.incarnation, how))

    # The caller

    def place(self, intent: str, quantity: str = "4", price: str = "100.25", side: str = "buy") -> Story:
        return self._want(Intent(self.t, intent, "place", "NQ", side, quantity, price))

    def command(self, intent: str, op: str) -> Story:
        """``kill`` or ``flatten``."""
        return self._want(Intent(self.t, intent, op))

    def cancel(self, intent: str, of: str) -> Story:
        return self._want(Intent(self.t, intent, "cancel", of=of))

    def replace(self, intent: str, of: str, quantity: str = "6", price: str = "100.50") -> Story:
        return self._want(Intent(self.t, intent, "replace", "NQ", "buy", quantity, price, of=of))

    def _want(self, intent: Intent) -> Story:
        self._intents[intent.id] = intent
        return self.add(intent)

    def answer(self, intent: str, outcome: str = "ok") -> Story:
        return self.add(Answer(self.t, intent, outcome, self.incarnation))

    # The venue

    def order(self, order: str, intent: str | None, quantity: str = "4", side: str = "buy", request: int = 0) -> Story:
        self._sizes[order] = quantity
        return self._effect("order", order, "new", intent=intent, quantity=quantity, side=side, request=request)

    def fill(self, order: str, quantity: str, fill: str | None = None) -> Story:
        filled = Decimal(self._orders[order].filled) + Decimal(quantity)
        state = "filled" if filled >= Decimal(self._sizes[order]) else "partially_filled"
        number = sum(isinstance(event, Effect) and event.what == "fill" for event in self.events) + 1
        return self._effect("fill", order, state, quantity=quantity, filled=str(filled), fill=fill or f"f{number}")

    def cancelled(self, order: str) -> Story:
        return self._effect("cancel", order, "canceled")

    def expired(self, order: str) -> Story:
        return self._effect("expire", order, "expired")

    def replaced(self, order: str, quantity: str = "6", by: str | None = None) -> Story:
        self._sizes[order] = quantity
        return self._effect("replace", order, self._orders[order].after, quantity=quantity, intent=by)

    def rejected(self, intent: str, order: str = "") -> Story:
        return self.add(Effect(self.t, 0, "reject", order, intent, "key", "", "rejected"))

    def _effect(self, what: str, order: str, after: str, **fields) -> Story:
        last = self._orders.get(order)
        if last is not None:
            known = {"intent": last.intent, "side": last.side, "filled": last.filled, "quantity": last.quantity}
            fields = known | {name: value for name, value in fields.items() if value is not None}
        before = "" if last is None else last.after
        tied_by = "key" if fields.get("intent") else ""
        effect = Effect(self.t, 0, what, order, tied_by=tied_by, before=before, after=after, symbol="NQ", **fields)
        self._orders[order] = effect
        return self.add(effect)

    # The wire

    def request(
        self, endpoint: str = "POST /orders", entity: str = "-", *, arrives: float | None = None, **fields
    ) -> int:
        """Sent now, arriving 1 ms later. Returns its number."""
        self.requests += 1
        arrives = self.t + 0.001 if arrives is None else arrives
        fields = {"connection": 1, "sent_t": self.t} | fields
        self.add(Received(arrives, self.requests, endpoint=endpoint, entity=entity, nth=1, **fields))
        return self.requests

    def respond(self, request: int, status: int = 200, fate: str = "sent", wait: float | None = None) -> Story:
        return self.add(Answered(self.t, request, status, fate, wait))

    def connect(self, connection: int = 1, token: str = "", topics: tuple[str, ...] = ()) -> Story:
        return self.add(Connected(self.t, connection, "user", topics, token))

    def disconnect(self, connection: int = 1) -> Story:
        return self.add(Disconnected(self.t, connection, "user"))

    def token(self, name: str, until: float) -> Story:
        return self.add(TokenIssued(self.t, name, until))

    def token_ended(self, name: str) -> Story:
        return self.add(TokenEnded(self.t, name))

    def struck(self, fault: str = "lost_response", action: str = "Cut()") -> Story:
        self.strikes += 1
        return self.add(Struck(self.t, self.strikes, fault, "message", "POST /orders", "I1", 1, "after", action))

    def gauge(self, tasks: int, timers: int = 0, connections: int = 0) -> Story:
        return self.add(Gauge(self.t, self.incarnation, tasks, timers, connections))

    # The client's view: "I1 filled 4", "I2 unknown"

    def believe(self, *views: str, fills=(), positions=None, final: bool = False, stale: bool = False) -> Story:
        orders = []
        for view in views:
            intent, state, *filled = view.split()
            orders.append(OrderBelief(intent, state, *filled))
        self._final = final
        held = tuple((symbol, str(quantity)) for symbol, quantity in (positions or {}).items())
        return self.add(Belief(self.t, self.incarnation, tuple(orders), held, tuple(fills), final, stale))

    def alert(self, *keys: str, level: str = "warning", resolved: bool = False) -> Story:
        alerts = tuple(AlertBelief(key, level, resolved) for key in keys)
        return self.add(Belief(self.t, self.incarnation, alerts=alerts))

    # Whole passages

    def good_order(self, number: int) -> Story:
        """An order placed, filled in two parts and believed, without a flaw: I3, o3, f3a, f3b."""
        intent, order = f"I{number}", f"o{number}"
        self.place(intent).order(order, intent).answer(intent).believe(f"{intent} new 0")
        before = 4 * (number - 1)
        self.fill(order, "1", f"f{number}a")
        self.believe(f"{intent} partially_filled 1", fills=[f"f{number}a"], positions={"NQ": before + 1})
        self.fill(order, "3", f"f{number}b")
        return self.believe(f"{intent} filled 4", fills=[f"f{number}b"], positions={"NQ": before + 4})

    def phase(self, name: str) -> Story:
        return self.add(Phase(self.t, name))

    def end(self, *, judged: bool = True) -> History:
        """The sealed history, closed by a final belief and the last phases."""
        if self.incarnation and not self._final:
            self.believe(final=True)
        if judged:
            self.phase("judgement")
        return self.history()

    def history(self) -> History:
        """The sealed history just as it is."""
        history = History(self.events)
        history.seal()
        return history


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture(scope="session")
def new_story() -> type[Story]:
    """For stories with a contract of their own, or several in one test."""
    return Story

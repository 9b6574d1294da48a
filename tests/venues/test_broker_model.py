"""The order engine against a model that is too simple to be wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from faultline.history.contract import OPEN_STATES, ORDER_AUTOMATON, TERMINAL_STATES
from faultline.venues.broker import Broker, Entry, Placement, Refused

SCOPES = ("none", "unique_while_pending", "unique_forever", "first_result")
KEYS = st.sampled_from(["a", "b", "c", None])
AMOUNTS = st.decimals("0.00000001", "1000", places=8)
SIDES = st.sampled_from(["buy", "sell"])


class BrokerMachine(RuleBasedStateMachine):
    """Places, rejects, fills, cancels, replaces and expires at random, and checks what must always hold."""

    @initialize(scope=st.sampled_from(SCOPES))
    def open_the_book(self, scope: Any) -> None:
        self.scope = scope
        self.entries: list[Entry] = []
        self.book = Broker(scope, Decimal("0.0002"), self.entries.append)
        self.t = 0.0
        self.count = 0
        # The model: (order id, key, state) in order of arrival, and what each order was filled for.
        self.states: dict[str, str] = {}
        self.keys: list[tuple[str | None, str]] = []
        self.filled: dict[str, Decimal] = {}
        self.snapshots: list[tuple[float, dict[str, str], dict[str, Decimal]]] = []

    def next(self) -> str:
        self.t += 1.0
        self.count += 1
        return f"o{self.count}"

    def some_order(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([*self.states, "nobody"]), label="order")

    def key_is_taken(self, key: str | None) -> bool:
        if key is None or self.scope == "none":
            return False
        earlier = [self.states[order_id] for used, order_id in self.keys if used == key]
        if self.scope == "unique_while_pending":
            return any(state in OPEN_STATES for state in earlier)
        if self.scope == "unique_forever":
            return any(state != "rejected" for state in earlier)
        return bool(earlier)

    @rule(key=KEYS, side=SIDES, quantity=AMOUNTS, price=AMOUNTS, rejected=st.booleans())
    def place(self, key: str | None, side: Any, quantity: Decimal, price: Decimal, rejected: bool) -> None:
        order_id = self.next()
        wanted = Placement("NQ", side, "limit", quantity, price, key)
        taken = self.key_is_taken(key)
        first = self.book.repeated(key)
        assert (first is not None) == taken
        if first is not None and self.scope == "first_result":
            assert first.order_id == next(order_id for used, order_id in self.keys if used == key)
        if taken:
            with pytest.raises(Refused) as refused:
                self.book.place(self.t, order_id, wanted)
            assert refused.value.code == "duplicate_client_order_id"
            return
        if rejected:
            self.book.reject(self.t, order_id, wanted, "because")
        else:
            self.book.place(self.t, order_id, wanted)
        self.states[order_id] = "rejected" if rejected else "new"
        self.keys.append((key, order_id))

    @precondition(lambda self: self.states)
    @rule(data=st.data(), share=st.integers(1, 3), price=AMOUNTS)
    def fill(self, data: st.DataObject, share: int, price: Decimal) -> None:
        order_id = self.some_order(data)
        fill_id = self.next()
        order = self.book.order(order_id)
        quantity = (order.remaining / share).quantize(Decimal("1e-8")) if order and order.remaining else Decimal(1)
        if self.states.get(order_id) not in OPEN_STATES or order is None or not quantity:
            self.must_refuse(lambda: self.book.fill(self.t, order_id, fill_id, quantity or Decimal(1), price), order_id)
            return
        self.book.fill(self.t, order_id, fill_id, quantity, price)
        self.filled[order_id] = self.filled.get(order_id, Decimal(0)) + quantity
        self.states[order_id] = "filled" if self.filled[order_id] == order.quantity else "partially_filled"

    def must_refuse(self, act: Any, order_id: str) -> None:
        lines = len(self.entries)
        with pytest.raises((Refused, ValueError)) as refused:
            act()
        if isinstance(refused.value, Refused):
            assert (refused.value.code == "order_not_found") == (order_id not in self.states)
        else:
            assert self.states[order_id] in OPEN_STATES
        assert len(self.entries) == lines

    @precondition(lambda self: self.states)
    @rule(data=st.data(), how=st.sampled_from(["cancel", "request_cancel", "expire"]))
    def end(self, data: st.DataObject, how: str) -> None:
        order_id = self.some_order(data)
        self.next()
        state = self.states.get(order_id)
        if state not in OPEN_STATES or (how == "expire" and state == "pending_cancel"):
            self.must_refuse(lambda: getattr(self.book, how)(self.t, order_id), order_id)
            return
        getattr(self.book, how)(self.t, order_id)
        self.states[order_id] = {"cancel": "canceled", "request_cancel": "pending_cancel", "expire": "expired"}[how]

    @precondition(lambda self: self.states)
    @rule(data=st.data(), quantity=AMOUNTS, price=AMOUNTS)
    def change(self, data: st.DataObject, quantity: Decimal, price: Decimal) -> None:
        order_id = self.some_order(data)
        self.next()
        state = self.states.get(order_id)
        if state not in ("new", "partially_filled") or quantity <= self.filled.get(order_id, Decimal(0)):
            self.must_refuse(lambda: self.book.replace(self.t, order_id, quantity, price), order_id)
            return
        assert self.book.replace(self.t, order_id, quantity, price).status == state

    @rule()
    def remember(self) -> None:
        self.next()
        self.snapshots.append((self.t, dict(self.states), dict(self.book.positions())))

    @invariant()
    def states_are_those_of_the_model(self) -> None:
        if not hasattr(self, "book"):
            return
        assert {order.order_id: order.status for order in self.book.orders()} == self.states
        open_ids = [order_id for order_id, state in self.states.items() if state in OPEN_STATES]
        assert sorted(order.order_id for order in self.book.open_orders()) == sorted(open_ids)

    @invariant()
    def what_was_filled_is_conserved(self) -> None:
        if not hasattr(self, "book"):
            return
        by_order: dict[str, Decimal] = {}
        held: dict[str, Decimal] = {}
        for number, fill in enumerate(self.book.fills(), start=1):
            assert fill.sequence == number
            by_order[fill.order_id] = by_order.get(fill.order_id, Decimal(0)) + fill.quantity
            held[fill.symbol] = held.get(fill.symbol, Decimal(0)) + fill.quantity * (1 if fill.side == "buy" else -1)
        assert dict(self.book.positions()) == held
        for order in self.book.orders():
            assert order.filled == by_order.get(order.order_id, Decimal(0)) <= order.quantity

    @invariant()
    def every_entry_is_a_legal_step(self) -> None:
        if not hasattr(self, "book"):
            return
        seen: dict[str, str] = {}
        for entry in self.entries:
            order_id, after = entry.order.order_id, entry.order.status
            assert entry.before == seen.get(order_id, "")
            assert entry.before not in TERMINAL_STATES
            unchanged = entry.what == "replace" and entry.before == after
            assert unchanged or (entry.before, after) in ORDER_AUTOMATON
            seen[order_id] = after
        assert seen == self.states

    @invariant()
    def the_past_does_not_change(self) -> None:
        for t, states, positions in getattr(self, "snapshots", []):
            assert {order.order_id: order.status for order in self.book.orders(as_of=t)} == states
            assert dict(self.book.positions(t)) == positions


def test_the_engine_does_what_the_model_does() -> None:
    quick = settings(
        max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(BrokerMachine, settings=quick)  # type: ignore[no-untyped-call]

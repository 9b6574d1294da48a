"""One rule of the careful client taken away at a time: the fault that shows it, and the oracle that says so.

Differential, as a kill has to be: the same scenario and seed pass while the rule is in place.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from faultline.oracles import ORACLES
from targets import order_settlement, order_sync, rate_gate, venue_auth
from targets.order_model import Order, Sequence
from targets.order_settlement import Settlement
from targets.order_store import OrderStore
from targets.order_sync import Sync
from targets.venue_http import Declined, Refused, Unanswered, VenueError

from .conftest import CAREFUL, OrderFlow, scenario, verdicts

Patch = pytest.MonkeyPatch


def orders_again_at_once(patch: Patch) -> None:
    patch.setattr(order_settlement, "LATE_S", 0.0)
    patch.setattr(order_settlement, "READ_LAG_S", 0.0)


def trusts_an_empty_answer(patch: Patch) -> None:
    patch.setattr(order_settlement, "LATE_S", 0.0)
    patch.setattr(order_settlement, "READ_LAG_S", 0.5)


def takes_no_answer_for_no(patch: Patch) -> None:
    send = Settlement._send

    async def sends(self: Settlement, intent: str, request: Any) -> Any:
        try:
            return await send(self, intent, request)
        except Unanswered as error:
            raise Declined(422, "timeout") from error

    patch.setattr(Settlement, "_send", sends)


def takes_no_answer_for_unsent(patch: Patch) -> None:
    send = Settlement._send

    async def sends(self: Settlement, intent: str, request: Any) -> Any:
        try:
            return await send(self, intent, request)
        except Unanswered as error:
            self._doubtful_until.pop(intent, None)
            raise Refused("timeout") from error

    patch.setattr(Settlement, "_send", sends)


def writes_down_after_sending(patch: Patch) -> None:
    async def add_order(self: OrderStore, order: Order) -> None:
        self._mirror(self.orders.get(order.intent, order))

    patch.setattr(OrderStore, "add_order", add_order)


def forgets_what_was_in_doubt(patch: Patch) -> None:
    patch.setattr(Settlement, "doubt_everything_unsettled", lambda self: None)


def never_resyncs(patch: Patch) -> None:
    async def resync(self: Sync) -> None:
        self.level.set()

    patch.setattr(Sync, "_resync", resync)


def resumes_at_the_largest_number(patch: Patch) -> None:
    def with_numbers(self: Sequence, *numbers: int) -> Sequence:
        return Sequence(max(self.contiguous, *numbers, 0))

    patch.setattr(Sequence, "with_numbers", with_numbers)


def looks_at_no_numbers(patch: Patch) -> None:
    patch.setattr(Sync, "_missing", lambda self: False)
    patch.setattr(order_sync, "SWEEP_S", math.inf)


def counts_a_fill_each_time(patch: Patch) -> None:
    class Forgetful(dict[str, None]):
        def __contains__(self, key: object) -> bool:
            return False

    init = OrderStore.__init__

    def make(self: OrderStore, path: str) -> None:
        init(self, path)
        self.fills = Forgetful()

    patch.setattr(OrderStore, "__init__", make)


def takes_a_fill_for_the_whole_order(patch: Patch) -> None:
    with_fill = Order.with_fill

    def filled(self: Order, fill: Any, *, amended: bool) -> Order:
        return replace(with_fill(self, fill, amended=amended), status="filled")

    patch.setattr(Order, "with_fill", filled)


def lets_old_news_win(patch: Patch) -> None:
    def told(self: Order, wire: Any) -> Order:
        return replace(self, order_id=wire.order_id, status=wire.status, reported=wire.filled)

    patch.setattr(Order, "told", told)


def uses_a_token_until_it_is_refused(patch: Patch) -> None:
    patch.setattr(venue_auth.Tokens, "usable", lambda self, token: bool(token) and self._good_until > 0)


def ignores_retry_after(patch: Patch) -> None:
    patch.setattr(rate_gate, "retry_after_s", lambda value, date=None: 0.1)


def knows_no_limit(patch: Patch) -> None:
    patch.setattr(rate_gate.Window, "free_at", lambda self: 0.0)


def drops_what_got_no_answer(patch: Patch) -> None:
    async def settles(self: Settlement, order: Order) -> None:
        await self._store.add_order(order)
        try:
            await self._place(order)
        except VenueError:
            del self._store.orders[order.intent]

    patch.setattr(Settlement, "settle_order", settles)


def never_answers_what_got_no_answer(patch: Patch) -> None:
    drops_what_got_no_answer(patch)
    place = OrderFlow.place

    async def places(self: Any, intent_id: str, **terms: Any) -> str:
        answer: str = await place(self, intent_id, **terms)
        if intent_id not in self._store.orders:
            await asyncio.Event().wait()
        return answer

    patch.setattr(OrderFlow, "place", places)


def promises_what_got_no_answer(patch: Patch) -> None:
    drops_what_got_no_answer(patch)
    place = OrderFlow.place

    async def places(self: Any, intent_id: str, **terms: Any) -> str:
        await place(self, intent_id, **terms)
        return "accepted"

    patch.setattr(OrderFlow, "place", places)


def waits_much_too_long(patch: Patch) -> None:
    patch.setattr(order_settlement, "LATE_S", 500.0)


def leaves_its_services_running(patch: Patch) -> None:
    async def stop(self: Any) -> None:
        await self._http.close()
        self._store.close()

    patch.setattr(OrderFlow, "stop", stop)


@dataclass(frozen=True)
class Case:
    plant: Callable[[Patch], None]
    fault: str
    killed_by: str
    venue: str = "profile: generic, idempotency: unique_while_pending"
    workload: str = "orders: 12, rate: 5/s, linger: 30s"
    bound: str = ""

    def text(self) -> str:
        return (
            f"venue: {{{self.venue}}}\nworkload: {{{self.workload}}}\nfaults:\n"
            + "".join(f"  - {fault}\n" for fault in self.fault.split(" & "))
            + f"expect: [{self.killed_by}{self.bound}]\n"
        )


CASES = [
    Case(orders_again_at_once, "late_request: {on: POST /orders, by: 6s, nth: 3}", "no_duplicates"),
    Case(
        trusts_an_empty_answer,
        "status_storm: {on: POST /orders, status: 503, phase: after, nth: 3} & drop_message: {on: stream user}",
        "no_duplicates",
        venue="profile: generic, idempotency: unique_while_pending, read_lag: 2s",
    ),
    Case(
        takes_no_answer_for_no,
        "lost_response: {on: POST /orders, how: rst, nth: 3} & drop_message: {on: stream user}",
        "resolved_unknowns",
    ),
    Case(
        takes_no_answer_for_unsent,
        "lost_response: {on: POST /orders, how: rst, nth: 3} & drop_message: {on: stream user}",
        "no_duplicates",
        venue="profile: generic, idempotency: none",
    ),
    Case(
        writes_down_after_sending,
        "crash: {on: POST /orders, nth: 3}",
        "no_duplicates",
        venue="profile: generic, idempotency: none, fill_delay: 10s",
    ),
    Case(
        forgets_what_was_in_doubt,
        "crash: {on: POST /orders, nth: 3}",
        "no_duplicates",
        venue="profile: generic, idempotency: none, fill_delay: 10s",
    ),
    Case(never_resyncs, "disconnect: {on: stream user, at: 1s}", "no_lost_events"),
    Case(resumes_at_the_largest_number, "drop_message: {on: stream user, topic: fills, nth: 3}", "no_lost_events"),
    Case(looks_at_no_numbers, "drop_message: {on: stream user, topic: fills, nth: 3}", "no_lost_events"),
    Case(counts_a_fill_each_time, "duplicate_message: {on: stream user, topic: fills, nth: 3}", "fills_conserved"),
    Case(takes_a_fill_for_the_whole_order, "partial_fill: {nth: 3, parts: 2, gap: 2500ms}", "reconciled"),
    Case(
        lets_old_news_win,
        "late_response: {on: POST /orders, by: 1s, nth: 3}",
        "legal_order_states",
    ),
    Case(
        uses_a_token_until_it_is_refused,
        "latency: {on: rest, delay: 1ms}",
        "token_valid_at_send",
        venue="profile: generic, token_ttl: 2s",
    ),
    Case(
        ignores_retry_after,
        "status_storm: {on: POST /orders, status: 429, retry_after: 3s, nth: 3}",
        "rate_limit_respected",
    ),
    Case(
        knows_no_limit,
        "latency: {on: rest, delay: 5ms}",
        "rate_limit_respected",
        venue='profile: generic, rate_limit: [{name: o, limit: 10, window: 1s, weights: {"POST /orders": 1}}]',
        workload="orders: 30, rate: 100/s, linger: 30s",
    ),
    Case(never_answers_what_got_no_answer, "lost_request: {on: POST /orders, nth: 3}", "no_lost_intent"),
    Case(promises_what_got_no_answer, "lost_request: {on: POST /orders, nth: 3}", "no_lost_ack"),
    Case(
        waits_much_too_long,
        "lost_request: {on: POST /orders, nth: 3, how: silence}",
        "recovers",
        workload="orders: 12, rate: 5/s, linger: 1s",
        bound=": {within: 45s}",
    ),
    Case(
        waits_much_too_long,
        "lost_request: {on: POST /orders, nth: 3, how: silence}",
        "latency",
        bound=": {max: '< 45s'}",
    ),
    Case(leaves_its_services_running, "latency: {on: rest, delay: 1ms}", "no_stuck_tasks"),
]


ABOUT_A_POLICY = {
    "retry_after_honoured", "retry_budget", "retry_policy", "backoff", "breaker_legal", "single_flight_refresh",
    "thundering_herd",
}  # fmt: skip
"""They hold a client to what it declares; tests/oracles/test_sensitivity.py shows that each sees one change."""


def test_every_oracle_has_a_planted_bug_that_it_sees() -> None:
    assert {case.killed_by for case in CASES} == set(ORACLES) - {"not_vacuous"} - ABOUT_A_POLICY


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.plant.__name__}-{case.killed_by}")
@pytest.mark.parametrize("planted", [False, True], ids=["as it is", "without the rule"])
def test_a_rule_taken_away_is_missed(case: Case, planted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if planted:
        case.plant(monkeypatch)
    done = scenario(case.text(), CAREFUL)
    assert done.receipts
    assert verdicts(done)[case.killed_by] == ("fail" if planted else "pass"), done.verdicts

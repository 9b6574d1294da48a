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
from targets.resilience import http_client, settlement
from targets.resilience.channel_follower import ChannelFollower
from targets.resilience.circuit_breaker import CircuitBreaker
from targets.resilience.errors import APIError, effect_of
from targets.resilience.rate_limiter import RateLimiter
from targets.resilience.records import OrderRecord
from targets.resilience.sequence import Sequence
from targets.resilience.settlement import Failure, Settlement
from targets.resilience.state_manager import StateManager
from targets.resilience.system import IntegratedSystem
from targets.resilience.token_manager import TokenManager

from .conftest import CAREFUL, OrderFlow, scenario, verdicts

Patch = pytest.MonkeyPatch


def doubts(patch: Patch, how_long: Callable[[float], float]) -> None:
    doubt = Settlement._doubt

    def changed(self: Settlement, request_id: str, for_s: float) -> None:
        doubt(self, request_id, for_s if for_s == math.inf else how_long(for_s))

    patch.setattr(Settlement, "_doubt", changed)


def orders_again_at_once(patch: Patch) -> None:
    doubts(patch, lambda for_s: 0.0)


def trusts_an_empty_answer(patch: Patch) -> None:
    doubts(patch, lambda for_s: 0.5)


def waits_much_too_long(patch: Patch) -> None:
    doubts(patch, lambda for_s: 500.0)


def unanswered_becomes(patch: Patch, error: Callable[[], APIError], *, forget: bool) -> None:
    send = Settlement._send

    async def sends(self: Settlement, request_id: str, request: Any) -> Any:
        try:
            return await send(self, request_id, request)
        except APIError as lost:
            if lost.status_code is not None or effect_of(lost) == "none":
                raise
            if forget:
                self._doubtful_until.pop(request_id, None)
            raise error() from lost

    patch.setattr(Settlement, "_send", sends)


def takes_no_answer_for_no(patch: Patch) -> None:
    unanswered_becomes(patch, lambda: APIError("timeout", 422), forget=False)


def takes_no_answer_for_unsent(patch: Patch) -> None:
    unanswered_becomes(patch, lambda: APIError("timeout", effect="none"), forget=True)


def writes_down_after_sending(patch: Patch) -> None:
    async def add_order(self: StateManager, record: OrderRecord) -> None:
        self._mirror(self.orders.get(record.request_id, record))

    patch.setattr(StateManager, "add_order", add_order)


def forgets_what_was_in_doubt(patch: Patch) -> None:
    patch.setattr(Settlement, "doubt_everything_unsettled", lambda self: None)


def never_resyncs(patch: Patch) -> None:
    async def fetch(self: ChannelFollower, ask: Any) -> None:
        self.fetched = True

    patch.setattr(ChannelFollower, "fetch", fetch)
    patch.setattr(ChannelFollower, "missing", False)


def resumes_at_the_largest_number(patch: Patch) -> None:
    def with_numbers(self: Sequence, *numbers: int) -> Sequence:
        return Sequence(max(self.contiguous, *numbers, 0))

    patch.setattr(Sequence, "with_numbers", with_numbers)


def looks_at_no_numbers(patch: Patch) -> None:
    patch.setattr(ChannelFollower, "missing", False)
    never = replace(OrderFlow.config.state_reconciler, sweep_interval=1e9)
    patch.setattr(OrderFlow, "config", replace(OrderFlow.config, state_reconciler=never))


def counts_a_fill_each_time(patch: Patch) -> None:
    class Forgetful(dict[str, None]):
        def __contains__(self, key: object) -> bool:
            return False

    init = StateManager.__init__

    def make(self: StateManager, path: str) -> None:
        init(self, path)
        self.fills = Forgetful()

    patch.setattr(StateManager, "__init__", make)
    patch.setattr(Sequence, "__contains__", lambda self, number: False)


def takes_a_fill_for_the_whole_order(patch: Patch) -> None:
    with_fill = OrderRecord.with_fill

    def filled(self: OrderRecord, fill: Any, *, amended: bool) -> OrderRecord:
        return replace(with_fill(self, fill, amended=amended), status=settlement.OrderStatus.FILLED)

    patch.setattr(OrderRecord, "with_fill", filled)


def lets_old_news_win(patch: Patch) -> None:
    def told(self: OrderRecord, order: Any) -> OrderRecord:
        return replace(self, order_id=order.id, status=order.status, reported=order.filled)

    patch.setattr(OrderRecord, "told", told)


def uses_a_token_until_it_is_refused(patch: Patch) -> None:
    patch.setattr(TokenManager, "is_ready", lambda self: self._held is not None and not self._held.rejected)
    patch.setattr(TokenManager, "needs_refresh", lambda self: not self.is_ready())
    hold = TokenManager._hold

    def holds(self: TokenManager, *arguments: Any) -> Any:
        held = hold(self, *arguments)
        held.good_until = math.inf
        return held

    patch.setattr(TokenManager, "_hold", holds)


def renews_once_for_each_caller(patch: Patch) -> None:
    running = TokenManager._running_renewal

    def another(self: TokenManager) -> Any:
        self._renewal = None
        return running(self)

    patch.setattr(TokenManager, "_running_renewal", another)


def ignores_retry_after(patch: Patch) -> None:
    patch.setattr(http_client, "retry_after_s", lambda value, date=None: 0.1)


def is_never_silent(patch: Patch) -> None:
    patch.setattr(RateLimiter, "refused", lambda self, status_code, retry_after_s=None: None)
    patch.setattr(Settlement, "_pause_s", lambda self, request_id, backoff_s: 0.01)


def sends_again_what_was_declined(patch: Patch) -> None:
    patch.setattr(settlement, "_declined", lambda error: False)


def has_no_breaker(patch: Patch) -> None:
    patch.setattr(CircuitBreaker, "record_failure", lambda self, permit=None: None)


def knows_no_limit(patch: Patch) -> None:
    patch.setattr(RateLimiter, "wait_s", lambda self, weight: 0.0)


def drops_what_got_no_answer(patch: Patch, answer: Callable[[], Any]) -> None:
    async def settles(self: Settlement, record: OrderRecord) -> None:
        await self._state.add_order(record)
        try:
            await self._place(record)
        except Failure:
            del self._state.orders[record.request_id]

    place = OrderFlow.place

    async def places(self: Any, intent_id: str, **terms: Any) -> str:
        try:
            return str(await place(self, intent_id, **terms))
        except KeyError:
            return str(await answer())

    patch.setattr(Settlement, "settle_order", settles)
    patch.setattr(OrderFlow, "place", places)


def never_answers_what_got_no_answer(patch: Patch) -> None:
    drops_what_got_no_answer(patch, lambda: asyncio.Event().wait())


def promises_what_got_no_answer(patch: Patch) -> None:
    async def accepted() -> str:
        return "accepted"

    drops_what_got_no_answer(patch, accepted)


def leaves_its_services_running(patch: Patch) -> None:
    async def stop(self: Any) -> None:
        await self._http.close()
        self.state_manager.close()

    patch.setattr(IntegratedSystem, "stop", stop)


def watches_every_loss_for_ever(patch: Patch) -> None:
    watching: list[asyncio.Task[Any]] = []
    lost = ChannelFollower.lost

    def watched(self: ChannelFollower) -> None:
        watching.append(asyncio.ensure_future(asyncio.sleep(1e6)))
        lost(self)

    patch.setattr(ChannelFollower, "lost", watched)


def lists_only_what_has_a_fill(patch: Patch) -> None:
    snapshot = OrderFlow.snapshot

    def filled(self: Any) -> dict[str, Any]:
        view: dict[str, Any] = snapshot(self)
        orders = {intent: order for intent, order in view["orders"].items() if order["filled"] != "0"}
        return {**view, "orders": orders}

    patch.setattr(OrderFlow, "snapshot", filled)


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
    Case(
        ignores_retry_after,
        "status_storm: {on: POST /orders, status: 429, retry_after: 3s, nth: 3}",
        "retry_after_honoured",
    ),
    Case(
        is_never_silent,
        "status_storm: {on: POST /orders, status: 429, retry_after_form: none, during: [500ms, 1s]}",
        "retry_budget",
        bound=": {attempts_max: 3, within: 1s}",
    ),
    Case(
        is_never_silent,
        "status_storm: {on: POST /orders, status: 429, retry_after_form: none, during: [500ms, 1s]}",
        "backoff",
    ),
    Case(sends_again_what_was_declined, "status_storm: {on: POST /orders, status: 422, nth: 3}", "retry_policy"),
    Case(
        has_no_breaker,
        "status_storm: {on: '* /orders*', status: 503, during: [500ms, 10s]}",
        "breaker_legal",
        bound=": {open: 1s}",
    ),
    Case(
        renews_once_for_each_caller,
        "token_expiry: {on: POST /orders, nth: 3}",
        "single_flight_refresh",
        workload="orders: 20, rate: 1000/s, linger: 30s",
    ),
    Case(counts_a_fill_each_time, "duplicate_message: {on: stream user, topic: fills, nth: 3}", "counter_bounds"),
    Case(
        watches_every_loss_for_ever,
        "disconnect: {on: stream user, every: 3s, during: [0s, 40s]}",
        "no_leaks",
        workload="orders: 12, rate: 5/s, linger: 45s",
    ),
    Case(lists_only_what_has_a_fill, "slow_fill: {nth: 3, by: 5s}", "read_your_writes"),
    Case(
        writes_down_after_sending,
        "crash: {on: POST /orders, nth: 3}",
        "crash_consistent",
        venue="profile: generic, idempotency: none, fill_delay: 10s",
    ),
    Case(orders_again_at_once, "late_request: {on: POST /orders, by: 6s, nth: 3}", "exposure_bounded"),
    Case(leaves_its_services_running, "latency: {on: rest, delay: 1ms}", "no_stuck_tasks"),
]


SHOWN_ELSEWHERE = {"not_vacuous", "thundering_herd", "alerts_delivered"}
"""They are about many clients, or about what this client does not tell: tests/oracles/ shows them."""


def test_every_oracle_has_a_planted_bug_that_it_sees() -> None:
    assert {case.killed_by for case in CASES} == set(ORACLES) - SHOWN_ELSEWHERE


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.plant.__name__}-{case.killed_by}")
@pytest.mark.parametrize("planted", [False, True], ids=["as it is", "without the rule"])
def test_a_rule_taken_away_is_missed(case: Case, planted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if planted:
        case.plant(monkeypatch)
    done = scenario(case.text(), CAREFUL)
    assert done.receipts
    assert verdicts(done)[case.killed_by] == ("fail" if planted else "pass"), done.verdicts

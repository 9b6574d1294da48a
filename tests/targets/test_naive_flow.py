"""The naive client: faultless on a good day, and each of its mistakes shows under the fault that its table names."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from faultline.faults import LostResponse, StatusStorm, TokenExpiry
from faultline.oracles import ORACLES
from faultline.session import Session

from .conftest import CAREFUL, NAIVE, ORDER, NaiveFlow, on_stage, scenario, verdicts

NOTHING_TO_JUDGE = {
    *("latency", "rate_limit_respected", "resolved_unknowns"),
    *("retry_after_honoured", "retry_policy", "backoff", "breaker_legal", "thundering_herd"),
    *("no_leaks", "alerts_delivered", "exposure_bounded", "counter_bounds", "crash_consistent", "read_your_writes"),
}
EVERYTHING = ", ".join(name for name in ORACLES if name not in NOTHING_TO_JUDGE)
"""Every oracle that has something to judge on a good day."""


@pytest.mark.parametrize("target", [NAIVE, CAREFUL], ids=lambda target: target.name)
@pytest.mark.parametrize("order_type", ["limit", "market", "mixed"])
def test_on_a_good_day_every_oracle_passes(target: object, order_type: str) -> None:
    done = scenario(
        "venue: {profile: generic, resting: 30%}\n"
        f"workload: {{orders: 20, rate: 10/s, cancels: 30%, replaces: 20%, order_type: {order_type}}}\n"
        "faults:\n"
        "  - latency: {on: '*', delay: 0ms, during: [0s, 1s]}\n"
        f"expect: [{EVERYTHING}]\n",
        target,  # type: ignore[arg-type]
    )
    assert {oracle: verdict for oracle, verdict in verdicts(done).items() if verdict != "pass"} == {}


ORDERS = "workload: {orders: 20, rate: 5/s, linger: 20s}\n"
MISTAKES = {
    "a new key for every try": ("no_duplicates", "lost_response: {on: POST /orders, probability: 30%}"),
    "the last timeout is a rejection": (
        "resolved_unknowns",
        "lost_response: {on: POST /orders, how: silence, probability: 80%, during: [0s, 20s]}",
    ),
    "written down after sending": ("no_duplicates", "crash: {on: POST /orders, nth: 3}"),
    "subscribes once": ("no_lost_events", "disconnect: {on: stream user, at: 1s}"),
    "never asks for what it missed": ("no_lost_events", "drop_message: {on: stream user, topic: fills, nth: 3}"),
    "waits for ever": ("no_lost_events", "half_open: {on: stream, at: 1s}"),
    "adds every fill": ("fills_conserved", "duplicate_message: {on: stream user, topic: fills, nth: 3}"),
    "takes a fill for the whole order": ("reconciled", "partial_fill: {nth: 3, parts: 2, gap: 1500ms}"),
    "retries at its own pace": (
        "rate_limit_respected",
        "status_storm: {on: POST /orders, status: 429, retry_after: 3s, first: 3}",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_shows_under_its_fault_and_the_careful_client_does_not_make_it(mistake: str) -> None:
    oracle, fault = MISTAKES[mistake]
    text = f"venue: {{profile: generic}}\n{ORDERS}faults:\n  - {fault}\nexpect: [{oracle}]\n"
    assert verdicts(scenario(text, NAIVE))[oracle] == "fail"
    careful = scenario(text, CAREFUL)
    assert careful.receipts
    assert verdicts(careful)[oracle] == "pass"


def test_an_unanswered_cancel_is_taken_for_a_failed_one() -> None:
    text = (
        "venue: {profile: generic, resting: 100%}\n"
        "workload: {orders: 10, rate: 5/s, cancels: 100%, linger: 20s}\n"
        "faults:\n  - lost_response: {on: DELETE /orders/*, nth: 3}\nexpect: [reconciled]\n"
    )
    assert verdicts(scenario(text, NAIVE)) == {"reconciled": "fail"}
    assert verdicts(scenario(text, CAREFUL)) == {"reconciled": "pass"}


async def test_every_request_refused_renews_the_token(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running(NaiveFlow) as client:
        with faultline.inject(TokenExpiry(on="POST /orders")):
            orders = ({**ORDER, "price": str(100 + number)} for number in range(5))
            await asyncio.gather(*(client.place(f"I{number}", **order) for number, order in enumerate(orders)))
    assert len(stage.arrivals("POST /auth/refresh")) == 5


async def test_it_knows_no_unknown(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running(NaiveFlow) as client:
        with faultline.inject(LostResponse(on="POST /orders")):
            assert await client.place("A", **ORDER) == "rejected"
        with faultline.inject(StatusStorm(on="POST /orders", status=503)):
            assert await client.place("B", **{**ORDER, "price": "200"}) == "rejected"
    assert len(stage.orders) == 5

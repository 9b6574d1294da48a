"""Tokens and the rate gate: what every request of the careful client passes through."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from faultline.faults import Disconnect, LostResponse, StatusStorm, TokenExpiry
from faultline.history.event import Received
from faultline.oracles import ORACLES
from faultline.session import Session
from targets import rate_gate
from targets.rate_gate import RateGate, Window, retry_after_s

from .conftest import ORDER, on_stage, until


async def place_many(client: Any, count: int) -> list[str]:
    orders = ({**ORDER, "price": str(100 + number)} for number in range(count))
    return await asyncio.gather(*(client.place(f"I{number}", **order) for number, order in enumerate(orders)))


# Tokens


async def test_many_401s_at_once_lead_to_one_renewal(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with stage.running() as client:
        with faultline.inject(TokenExpiry(on="POST /orders")):
            assert await place_many(client, 10) == ["accepted"] * 10
    assert len(stage.arrivals("POST /auth/refresh")) == 1
    assert len(stage.orders) == 10


async def test_a_spent_refresh_token_leads_to_a_new_login(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(TokenExpiry(on="POST /orders", refresh_too=True)):
            assert await place_many(client, 5) == ["accepted"] * 5
    assert len(stage.arrivals("POST /auth/refresh")) == 1
    assert len(stage.arrivals("POST /auth/token")) == 2


async def test_a_lost_answer_to_a_renewal_is_survived(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(TokenExpiry(on="POST /orders"), LostResponse(on="POST /auth/refresh", first=1)):
            assert await place_many(client, 5) == ["accepted"] * 5


async def test_a_token_is_renewed_before_it_expires(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, token_ttl_s=4)
    async with stage.running() as client:
        for number in range(30):
            assert await client.place(f"I{number}", **{**ORDER, "price": str(100 + number)}) == "accepted"
            await asyncio.sleep(0.5)
    assert ORACLES["token_valid_at_send"]().judge(faultline.history).verdict == "pass"


async def test_the_stream_comes_back_with_a_new_token(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(TokenExpiry(at_s=0.5), Disconnect(at_s=1)):
            await asyncio.sleep(1.2)
            assert client.snapshot()["stale"]
            await until(lambda: not client.snapshot()["stale"], within_s=5)


async def test_a_token_that_is_never_accepted_is_not_tried_for_ever(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(StatusStorm(on="POST /orders", status=401)):
            assert await client.place("A", **ORDER) == "unknown"
            assert len(stage.arrivals("POST /orders")) < 50
        await until(lambda: stage.orders, within_s=30)


# The rate gate


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("2", None, 2.0),
        (" 120 ", None, 120.0),
        ("0", None, 0.0),
        ("9" * 30, None, rate_gate.RETRY_AFTER_MAX_S),
        (formatdate(1000, usegmt=True), formatdate(970, usegmt=True), 30.0),
        (formatdate(900, usegmt=True), formatdate(970, usegmt=True), 0.0),
        (None, None, None),
        ("", None, None),
        ("soon", None, None),
        ("-5", None, None),
        ("1.5", None, None),
        ("²", None, None),
        ("Sun, 99 Foo 2026 99:99:99 GMT", None, None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_nonsense_is_not(
    value: str | None, date: str | None, expected: float | None
) -> None:
    assert retry_after_s(value, date) == expected


async def test_a_date_without_the_venues_own_is_read_against_our_clock(faultline: Session) -> None:
    import time

    assert retry_after_s(formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=1)


async def test_no_window_of_the_limit_holds_more_than_it_may(faultline: Session) -> None:
    gate = RateGate(everybody=Window(5, 1.0), orders=Window(2, 1.0))
    times: dict[bool, list[float]] = {True: [], False: []}

    async def send(order: bool) -> None:
        await gate.admit(order=order)
        times[order].append(faultline.now_s())

    await asyncio.gather(*(send(order) for order in [True] * 6 + [False] * 12))
    everything = sorted(times[True] + times[False])
    for sent, limit in ((everything, 5), (times[True], 2)):
        assert all(late - early >= 1.0 for early, late in zip(sent, sent[limit:], strict=False))
    assert everything[-1] < 4.5


async def test_the_gate_is_silent_for_as_long_as_it_was_asked(faultline: Session) -> None:
    gate = RateGate()
    gate.refused(429, "3")
    began = faultline.now_s()
    waiting = asyncio.create_task(gate.admit())
    await asyncio.sleep(2)
    gate.refused(429, "5")
    await waiting
    assert 7 <= faultline.now_s() - began < 7.1


@pytest.mark.parametrize(("status", "first_s"), [(429, 1), (418, 5)])
async def test_without_a_hint_the_pauses_grow_until_a_request_is_served(
    faultline: Session, status: int, first_s: float
) -> None:
    gate = RateGate()

    async def pause_s() -> float:
        gate.refused(status, None)
        began = faultline.now_s()
        await gate.admit()
        return faultline.now_s() - began

    pauses = [await pause_s() for _ in range(3)]
    assert all(
        low <= pause <= 1.25 * low for low, pause in zip((first_s, 2 * first_s, 4 * first_s), pauses, strict=True)
    )
    gate.served()
    assert await pause_s() <= 1.25 * first_s


@pytest.mark.parametrize("form", ["seconds", "http_date", "garbage", "none"])
async def test_a_429_silences_the_whole_client_and_drops_nothing(faultline: Session, tmp_path: Path, form: Any) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        storm = StatusStorm(on="POST /orders", status=429, retry_after_s=4, retry_after_form=form, first=1)
        with faultline.inject(storm):
            placing = asyncio.create_task(client.place("A", **ORDER))
            await asyncio.sleep(0.05)
            refused_at = faultline.now_s()
            assert await client.place("B", **{**ORDER, "price": "200"}) == "accepted"
            assert await placing == "accepted"
    later = [event.t for event in faultline.history.of(Received) if event.t > refused_at]
    assert min(later) - refused_at > (3.9 if form in ("seconds", "http_date") else 0.9)
    assert len(stage.orders) == 2


async def test_a_burst_stays_below_the_limit_of_the_venue(faultline: Session, tmp_path: Path) -> None:
    from faultline.venues.settings import RateLimit

    limit = RateLimit(name="orders", limit=10, window_s=1.0, weights={"POST /orders": 1})
    stage = await on_stage(faultline, tmp_path, rate_limit=(limit,))
    async with stage.running() as client:
        assert await place_many(client, 40) == ["accepted"] * 40
    assert len(stage.arrivals("POST /orders")) == 40

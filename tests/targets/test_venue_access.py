"""Tokens and limits: what every request of the careful client passes through."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from faultline.faults import Disconnect, LostResponse, StatusStorm, TokenExpiry
from faultline.history.event import Received
from faultline.oracles import ORACLES
from faultline.session import Session

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


# Limits


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

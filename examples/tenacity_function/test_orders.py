"""The venue says when it wants to hear from us again, in each of the forms that are allowed."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from orders import hasty_order, polite_order

import faultline as fl


async def place_through_a_refusal(faultline: fl.Session, place: Callable[..., Any], form: str) -> None:
    venue = await faultline.venue("generic", idempotency="first_result")
    refusal = fl.faults.StatusStorm(on="POST /orders", status=429, retry_after_s=5, retry_after_form=form, first=2)
    order = {"client_order_id": "today-1", "symbol": "NQ", "side": "buy", "type": "limit"}
    order |= {"quantity": "1", "price": "100"}
    async with aiohttp.ClientSession(venue.url) as session:
        credentials = {"client_id": venue.client_id, "client_secret": venue.client_secret}
        async with session.post("/auth/token", json=credentials) as response:
            session.headers["Authorization"] = f"Bearer {(await response.json())['access_token']}"
        with faultline.inject(refusal), faultline.intent("buy", quantity=1, price=100, symbol="NQ"):
            await place(session, order)
        await faultline.settle()
    faultline.check(fl.oracles.RetryAfterHonoured(), fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())


@pytest.mark.parametrize("form", ["seconds", "http_date"])
async def test_the_order_is_placed_when_the_venue_wants_it(faultline: fl.Session, form: str) -> None:
    await place_through_a_refusal(faultline, polite_order, form)


async def test_trying_again_at_once_ignores_what_the_venue_said(faultline: fl.Session) -> None:
    with pytest.raises(fl.CheckFailed, match=r"was told at .* to wait 5s \(429\)") as failed:
        await place_through_a_refusal(faultline, hasty_order, "seconds")
    assert "retry_after_honoured" in str(failed.value)

"""Blocking code runs in the live world, in a thread of its own: real sockets, real time, the same faults."""

import asyncio
from typing import Any

import pytest
from desk import Desk, KeyedDesk

import faultline as fl

FAULTS = [
    fl.faults.LostResponse(on="POST /orders", nth=1, how="rst"),
    fl.faults.LostResponse(on="POST /orders", nth=1, how="silence"),
    fl.faults.LostRequest(on="POST /orders", nth=1, how="fin"),
]


async def buy_through(faultline: fl.Session, desk_class: type[Desk], fault: Any) -> None:
    venue = await faultline.venue("generic", idempotency="unique_forever")
    desk = await asyncio.to_thread(desk_class, venue.url, venue.client_id, venue.client_secret)
    with faultline.inject(fault), faultline.intent("buy", quantity=1, price=100, symbol="NQ"):
        order = await asyncio.to_thread(desk.buy, "NQ", 1, 100)
    assert order["quantity"] == "1"
    await faultline.settle()
    faultline.check(fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.how}")
async def test_an_order_with_a_key_is_placed_once(faultline_live: fl.Session, fault: Any) -> None:
    await buy_through(faultline_live, KeyedDesk, fault)


async def test_a_post_that_urllib3_sends_again_is_a_second_order(faultline_live: fl.Session) -> None:
    with pytest.raises(fl.CheckFailed, match=r"intent I1 \(buy 1 NQ at 100\) became 2 orders"):
        await buy_through(faultline_live, Desk, FAULTS[0])

"""A stranger's test: their client, a simulated venue, one lost response."""

import pytest
from my_client import HastyClient, MyClient

import faultline as fl


async def buy_through_a_lost_response(faultline: fl.Session, client_class: type[MyClient]) -> None:
    venue = await faultline.venue("generic", idempotency="unique_forever")
    async with client_class(venue.url, venue.client_id, venue.client_secret) as client:
        with (
            faultline.inject(fl.faults.LostResponse(on="POST /orders", nth=1)),
            faultline.intent("buy", quantity=1, price=100, symbol="NQ"),
        ):
            await client.buy("NQ", 1, price=100)
        await faultline.settle()


async def test_orders_survive_lost_responses(faultline: fl.Session) -> None:
    await buy_through_a_lost_response(faultline, MyClient)
    faultline.check(fl.oracles.NoDuplicates(), fl.oracles.NoLoss())


async def test_a_new_key_for_each_try_buys_twice(faultline: fl.Session) -> None:
    await buy_through_a_lost_response(faultline, HastyClient)
    with pytest.raises(fl.CheckFailed, match=r"I1 .* became 2 orders"):
        faultline.check(fl.oracles.NoDuplicates())

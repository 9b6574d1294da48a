"""Three orders are filled; the connection of the service breaks at the first fill, or a message is lost or doubled."""

import asyncio
from typing import Any

import aiohttp
import pytest
from positions import Positions, SyncedPositions

import faultline as fl

DISCONNECT = fl.faults.Disconnect(on="stream user", nth=1)
FAULTS = [
    DISCONNECT,
    fl.faults.Disconnect(on="stream user", nth=2, how="rst"),
    fl.faults.DropMessage(on="stream user"),
    fl.faults.DuplicateMessage(on="stream user"),
]


async def trade(faultline: fl.Session, venue: Any) -> None:
    """Somebody else trades on the account that the service watches."""
    async with aiohttp.ClientSession(venue.url) as session:
        credentials = {"client_id": venue.client_id, "client_secret": venue.client_secret}
        async with session.post("/auth/token", json=credentials) as response:
            session.headers["Authorization"] = f"Bearer {(await response.json())['access_token']}"
        for price in (100, 101, 102):
            order = {"symbol": "NQ", "side": "buy", "type": "limit", "quantity": "2", "price": str(price)}
            with faultline.intent("buy", quantity=2, price=price, symbol="NQ"):
                async with session.post("/orders", json=order) as response:
                    response.raise_for_status()
            await asyncio.sleep(2)


async def watch_through(faultline: fl.Session, service_class: type[Positions], *faults: Any) -> None:
    venue = await faultline.venue("generic")
    service = service_class(venue.url, venue.stream_url, venue.client_id, venue.client_secret)
    running = asyncio.create_task(service.run())
    await service.live.wait()
    faultline.observe(lambda: {"fills": service.applied, "positions": service.held})
    with faultline.inject(*faults):
        await trade(faultline, venue)
    await faultline.settle()
    await asyncio.wait_for(service.live.wait(), 60)
    running.cancel()
    faultline.check(fl.oracles.NoLostEvents(), fl.oracles.NoDuplicates(), fl.oracles.FillsConserved())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.nth}")
async def test_positions_are_those_of_the_venue(faultline: fl.Session, fault: Any) -> None:
    await watch_through(faultline, SyncedPositions, fault)


@pytest.mark.faultline(seeds=5)
async def test_positions_are_right_after_many_faults_at_once(faultline: fl.Session) -> None:
    some = {"on": "stream user", "probability": 0.3}
    faults = [kind(**some) for kind in (fl.faults.Disconnect, fl.faults.DropMessage, fl.faults.DuplicateMessage)]
    await watch_through(faultline, SyncedPositions, *faults)


async def test_a_fill_that_came_between_two_connections_is_missing_for_ever(faultline: fl.Session) -> None:
    with pytest.raises(fl.CheckFailed, match=r"no_lost_events: fail: .*fill"):
        await watch_through(faultline, Positions, DISCONNECT)


async def test_a_message_that_came_twice_counts_twice(faultline: fl.Session) -> None:
    with pytest.raises(fl.CheckFailed, match=r"no_duplicates: fail: the client applied fill .* again"):
        await watch_through(faultline, Positions, fl.faults.DuplicateMessage(on="stream user", nth=1))

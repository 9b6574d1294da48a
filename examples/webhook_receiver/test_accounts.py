"""The provider's side: it sends each event until it is acknowledged, through a gateway that makes that hard.

Here the client is the server. What the provider emitted is the truth, an event being a fill with the event's id; what
the accounts hold is what the client believes. Both go into a history, and the oracles judge that.
"""

from typing import Any

import aiohttp
import pytest
from accounts import Accounts, ExactAccounts, make_app
from aiohttp.test_utils import TestServer

import faultline as fl

pytestmark = pytest.mark.asyncio
WEBHOOKS = "POST /webhooks"
PAID = {"id": "evt_1", "type": "payment.succeeded", "payment": "p1", "cents": 4900}
REFUNDED = {"id": "evt_2", "type": "payment.refunded", "payment": "p1", "cents": 1000}
OTHER = {"id": "evt_3", "type": "payment.succeeded", "payment": "p2", "cents": 700}
EVENTS = [PAID, REFUNDED, OTHER]
TAKE_EFFECT = [
    fl.faults.LostResponse(on=WEBHOOKS, first=1, how="rst"),
    fl.faults.DuplicateRequest(on=WEBHOOKS),
    fl.faults.StatusStorm(on=WEBHOOKS, status=500, phase="after", first=1),
]
FAULTS = [*TAKE_EFFECT, fl.faults.LostRequest(on=WEBHOOKS, first=2, how="fin")]
ORACLES = [fl.oracles.NoDuplicates(), fl.oracles.NoLostEvents(), fl.oracles.FillsConserved()]


async def deliver(url: str, event: dict[str, Any]) -> None:
    """At least once: again until there is a 2xx."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            try:
                async with session.post(f"{url}/webhooks", json=event) as response:
                    if response.ok:
                        return
            except (aiohttp.ClientError, TimeoutError):
                continue


async def deliver_all(accounts: Accounts, events: list[dict[str, Any]], *faults: Any) -> None:
    """Through a gateway before the service, where ``faults`` strike."""
    async with TestServer(make_app(accounts)) as server, fl.Gateway(upstream=str(server.make_url(""))) as gateway:
        with gateway.inject(*faults):
            for event in events:
                await deliver(gateway.url, event)
        await gateway.settle()
        assert {fault for fault, _ in gateway.receipts()} == {fault.kind for fault in faults}


def wrong(accounts: Accounts) -> str:
    """What the oracles find in what was emitted and what the accounts made of it."""
    told = fl.HistoryBuilder()
    for event in EVENTS:
        side = "buy" if event["type"] == "payment.succeeded" else "sell"
        order = f"{event['type']} {event['payment']}"
        told.intent(event["id"], side, quantity=event["cents"], symbol="usd")
        told.order(order, event["id"], quantity=event["cents"], side=side, symbol="usd")
        told.fill(order, event["cents"], fill=event["id"])
    told.believe(positions={"usd": accounts.balance()}, fills=accounts.applied(), final=True)
    verdicts = [oracle.judge(told.sealed()) for oracle in ORACLES]
    return "\n".join(f"{verdict.oracle}: {verdict.why}" for verdict in verdicts if verdict.verdict != "pass")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
async def test_each_event_counts_once_however_often_it_comes(fault: Any) -> None:
    accounts = ExactAccounts()
    await deliver_all(accounts, EVENTS, fault)
    assert wrong(accounts) == ""
    assert accounts.balance() == 4600


async def test_each_event_counts_in_whatever_order_it_comes() -> None:
    accounts = ExactAccounts()
    await deliver_all(accounts, [REFUNDED, OTHER, PAID])
    assert wrong(accounts) == ""


@pytest.mark.parametrize("fault", TAKE_EFFECT, ids=lambda fault: fault.kind)
async def test_an_event_that_is_delivered_again_counts_twice(fault: Any) -> None:
    accounts = Accounts()
    await deliver_all(accounts, EVENTS, fault)
    assert "no_duplicates: the client applied fill evt_1" in wrong(accounts)


async def test_a_refund_that_comes_before_its_payment_is_lost() -> None:
    accounts = Accounts()
    await deliver_all(accounts, [REFUNDED, OTHER, PAID])
    assert "no_lost_events: fill evt_2 of order payment.refunded p1" in wrong(accounts)

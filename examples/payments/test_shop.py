"""Two orders are paid for, at a payments API with Stripe's rules of keys; one answer gets lost."""

import platform
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import faultline as fl

stripe = pytest.importorskip("stripe", reason="stripe is not installed")
from shop import charge, charge_once  # noqa: E402 - it imports stripe

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # stripe's own, of httpx
CHARGES = "POST /v1/charges"
FAULTS = [
    fl.faults.LostResponse(on=CHARGES, nth=1),
    fl.faults.LostRequest(on=CHARGES, first=2),
    fl.faults.LateResponse(on=CHARGES, nth=1, by_s=120),
]

# stripe tells of the machine that it runs on, which starts a process the first time. In a simulation there is none.
platform.uname().processor  # noqa: B018


async def pay(faultline: fl.Session, charge: Callable[..., Awaitable[Any]], fault: Any) -> None:
    venue = await faultline.venue("payments")
    http = stripe.HTTPXClient()
    api = stripe.StripeClient(
        venue.client_secret, base_addresses={"api": venue.url}, http_client=http, max_network_retries=0
    )
    with faultline.inject(fault):
        for order_id, cents in (("chair", 4900), ("table", 15900)):
            with faultline.intent("buy", quantity=cents, symbol="usd"):
                assert (await charge(api.v1, order_id, cents)).paid
    await faultline.settle()
    await http.close_async()
    faultline.check(fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
async def test_each_order_is_paid_for_once(faultline: fl.Session, fault: Any) -> None:
    await pay(faultline, charge_once, fault)


async def test_a_key_for_each_try_charges_the_card_twice(faultline: fl.Session) -> None:
    with pytest.raises(fl.CheckFailed, match=r"intent I1 \(buy 4900 usd.*\) became 2 orders"):
        await pay(faultline, charge, FAULTS[0])

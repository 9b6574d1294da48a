"""The payments profile with stripe's own client, unmodified: asynchronous in virtual time, synchronous on loopback."""

from __future__ import annotations

import asyncio
import base64
import platform
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from faultline.faults.actions import Cut, Delay, Hold, Reject, Stale
from faultline.history.event import Intent
from faultline.venues.profiles.payments.venue import KEY
from faultline.venues.settings import RateLimit
from tests.venues.profiles.kit import REST, Stage, on_loopback, played

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
stripe = pytest.importorskip("stripe", reason="stripe is not installed: the payments profile is proven with it")

# What the client tells of its machine it asks the system for once, which would be a subprocess in a simulation.
platform.uname().processor  # noqa: B018

CHARGE = {"amount": 1500, "currency": "usd", "source": "tok_visa"}
CHARGES, REFUNDS = "POST /v1/charges", "POST /v1/refunds"


def client(url: str = REST, **more: Any) -> Any:
    return stripe.StripeClient(more.pop("key", KEY), base_addresses={"api": url}, **more)


def with_client(body: Callable[[Stage, Any], Awaitable[None]], retries: int = 0, **settings: Any) -> Stage:
    async def main(stage: Stage) -> None:
        http = stripe.HTTPXClient()
        await body(stage, client(http_client=http, max_network_retries=retries).v1)
        await http.close_async()

    stage = played("payments", main, **settings)
    assert stage.simulation.escapes == []
    return stage


def keyed(key: str) -> dict[str, str]:
    return {"idempotency_key": key}


def test_charges_and_refunds_are_made_found_and_listed() -> None:
    async def body(stage: Stage, api: Any) -> None:
        made = [await api.charges.create_async(params={**CHARGE, "amount": 1000 + n}) for n in range(5)]
        assert {(charge.status, charge.paid, charge.currency) for charge in made} == {("succeeded", True, "usd")}
        noted = {**CHARGE, "description": "a chair", "metadata": {"order": "7"}}
        chair = await api.charges.create_async(params=noted)
        found = await api.charges.retrieve_async(chair.id)
        assert (found.description, found.metadata["order"], found.amount) == ("a chair", "7", 1500)
        first = await api.charges.list_async(params={"limit": 4})
        assert (len(first.data), first.has_more, first.data[0].id) == (4, True, chair.id)
        rest = await api.charges.list_async(params={"limit": 4, "starting_after": first.data[-1].id})
        assert ([charge.id for charge in rest.data], rest.has_more) == ([made[1].id, made[0].id], False)
        back = await api.charges.list_async(params={"limit": 4, "ending_before": rest.data[0].id})
        assert [charge.id for charge in back.data] == [charge.id for charge in first.data]
        part = await api.refunds.create_async(params={"charge": chair.id, "amount": 500})
        whole = await api.refunds.create_async(params={"charge": chair.id})
        assert (part.amount, whole.amount, whole.status) == (500, 1000, "succeeded")
        found = await api.charges.retrieve_async(chair.id)
        assert (found.refunded, found.amount_refunded) == (True, 1500)
        assert len((await api.refunds.list_async(params={"charge": chair.id})).data) == 2
        with pytest.raises(stripe.InvalidRequestError) as again:
            await api.refunds.create_async(params={"charge": chair.id})
        assert (again.value.http_status, again.value.code) == (400, "charge_already_refunded")

    stage = with_client(body)
    assert [effect.what for effect in stage.effects()] == ["order", "fill"] * 8
    assert [effect.side for effect in stage.effects("order")] == ["buy"] * 6 + ["sell"] * 2
    assert stage.endpoints() == {CHARGES, REFUNDS, "GET /v1/charges", "GET /v1/charges/{id}", "GET /v1/refunds"}


@pytest.mark.parametrize(
    ("changed", "param", "code"),
    [
        ({"amount": None}, "amount", "parameter_missing"),
        ({"amount": 0}, "amount", "parameter_invalid_integer"),
        ({"amount": 10**8}, "amount", "amount_too_large"),
        ({"currency": "dollars"}, "currency", "parameter_missing"),
        ({"source": None}, None, "parameter_missing"),
        ({"colour": "red"}, "colour", "parameter_unknown"),
    ],
)
def test_what_was_not_valid_was_not_executed_and_is_not_kept(changed: Any, param: str | None, code: str) -> None:
    async def body(stage: Stage, api: Any) -> None:
        asked = {name: value for name, value in {**CHARGE, **changed}.items() if value is not None}
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await api.charges.create_async(params=asked, options=keyed("k"))
        assert (refused.value.http_status, refused.value.param, refused.value.code) == (400, param, code)
        assert (await api.charges.create_async(params=CHARGE, options=keyed("k"))).paid

    assert len(with_client(body).effects("order")) == 1


def test_a_key_replays_its_first_answer_also_a_decline_and_a_500() -> None:
    async def body(stage: Stage, api: Any) -> None:
        first = await api.charges.create_async(params=CHARGE, options=keyed("k1"))
        again = await api.charges.create_async(params=CHARGE, options=keyed("k1"))
        assert again.id == first.id
        assert "Idempotent-Replayed" not in first.last_response.headers
        assert again.last_response.headers["Idempotent-Replayed"] == "true"
        with pytest.raises(stripe.IdempotencyError) as misused:
            await api.charges.create_async(params={**CHARGE, "amount": 7}, options=keyed("k1"))
        assert misused.value.http_status == 400
        for _ in range(2):
            with pytest.raises(stripe.CardError) as declined:
                await api.charges.create_async(params={**CHARGE, "source": "tok_chargeDeclined"}, options=keyed("k2"))
            assert (declined.value.code, declined.value.http_status) == ("card_declined", 402)
        with pytest.raises(stripe.InvalidRequestError, match="255"):
            await api.charges.create_async(params=CHARGE, options=keyed("k" * 256))
        await asyncio.sleep(86_400)
        assert (await api.charges.create_async(params=CHARGE, options=keyed("k1"))).id != first.id  # pruned

    stage = with_client(body)
    assert [effect.what for effect in stage.effects()] == ["order", "fill", "reject", "order", "fill"]

    async def failing(stage: Stage, api: Any) -> None:
        for _ in range(2):
            with pytest.raises(stripe.APIError) as failed:
                await api.charges.create_async(params=CHARGE, options=keyed("k1"))
            assert failed.value.http_status == 500
        (made,) = (await api.charges.list_async()).data
        assert made.paid  # a 500 said nothing about it

    assert len(with_client(failing, errors=1.0).effects("order")) == 1


def test_a_key_that_is_being_executed_is_a_conflict_and_the_client_tries_again() -> None:
    async def body(stage: Stage, api: Any) -> None:
        stage.faults.strike(CHARGES, "after", Cut(how="rst"))
        charge = await api.charges.create_async(params=CHARGE, options=keyed("k1"))
        assert charge.paid

    stage = with_client(body, retries=4, execution_s=0.7)
    assert len(stage.effects("order")) == 1
    statuses = [event.status for event in stage.history if type(event).__name__ == "Answered"]
    assert statuses == [200, 409, 200]


def test_the_client_retries_with_one_key_of_its_own_through_losses_limits_and_errors() -> None:
    async def body(stage: Stage, api: Any) -> None:
        stage.faults.strike(CHARGES, "before", Cut(how="rst"))
        stage.faults.strike(CHARGES, "before")
        stage.faults.strike(CHARGES, "after", Cut(how="rst"))
        charge = await api.charges.create_async(params=CHARGE)
        assert charge.last_response.headers["Idempotent-Replayed"] == "true"
        with pytest.raises(stripe.RateLimitError) as limited:
            await api.charges.list_async()
        assert (limited.value.http_status, limited.value.json_body["error"]["code"]) == (429, "rate_limit")

    limit = RateLimit(name="all", limit=2, window_s=1000.0)
    stage = with_client(body, retries=3, rate_limit=(limit,))
    assert len(stage.effects("order")) == 1


def test_faults_of_the_venue_decline_delay_and_read_stale() -> None:
    async def body(stage: Stage, api: Any) -> None:
        stage.faults.strike("accept", "decide", Reject("insufficient_funds"))
        with pytest.raises(stripe.CardError) as declined:
            await api.charges.create_async(params=CHARGE)
        assert declined.value.json_body["error"]["decline_code"] == "insufficient_funds"
        stage.faults.strike("match", "decide", Delay(5.0))
        pending = await api.charges.create_async(params=CHARGE)
        assert (pending.status, pending.paid) == ("pending", False)
        await asyncio.sleep(6)
        assert (await api.charges.retrieve_async(pending.id)).status == "succeeded"
        stage.faults.strike("read", "decide", Stale(3600.0))
        with pytest.raises(stripe.InvalidRequestError) as missing:
            await api.charges.retrieve_async(pending.id)
        assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")

    stage = with_client(body)
    assert stage.resolved() == ["not_applied", "applied", "applied"]


def test_a_wrong_key_and_a_wrong_path_say_so_and_repeat_no_secret() -> None:
    async def body(stage: Stage, api: Any) -> None:
        http = stripe.HTTPXClient()
        wrong = client(key="sk_test_of_somebody", http_client=http).v1
        with pytest.raises(stripe.AuthenticationError) as refused:
            await wrong.charges.create_async(params=CHARGE)
        await http.close_async()
        assert (refused.value.http_status, "somebody" in str(refused.value)) == (401, False)
        with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
            await api.customers.list_async()
        basic = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}
        async with (
            aiohttp.ClientSession(headers={**basic, "Stripe-Version": "2020-08-27"}) as session,
            session.get(f"{REST}/v1/charges") as listed,
        ):
            assert (listed.status, listed.headers["Stripe-Version"]) == (200, "2020-08-27")
            assert listed.headers["Request-Id"].startswith("req_")

    assert with_client(body).effects() == []


def test_a_charge_is_tied_to_its_intent_by_key_description_amount_or_metadata() -> None:
    async def body(stage: Stage, api: Any) -> None:
        announce = stage.interceptor._attribution.announce
        for n in range(1, 4):
            announce(Intent(0.0, f"I{n}", "place", "usd", "buy", str(10 * n), order_type="market"))
        announce(Intent(0.0, "I4", "place", "usd", "buy", "4", "1030"))
        await api.charges.create_async(params={**CHARGE, "amount": 99}, options=keyed("I1"))
        await api.charges.create_async(params={**CHARGE, "amount": 20})
        await api.charges.create_async(params={**CHARGE, "amount": 4, "metadata": {"price": "1030"}})
        charge = await api.charges.create_async(params={**CHARGE, "amount": 5})
        await api.refunds.create_async(params={"charge": charge.id}, options=keyed("of"))

    stage = with_client(body)
    assert [effect.intent for effect in stage.effects("order")] == ["I1", "I2", "I4", None, None]


async def test_the_synchronous_client_on_loopback() -> None:
    async with on_loopback("payments") as parts:
        direct = client(parts.url, max_network_retries=1).v1

        def use() -> tuple[str, list[str]]:
            charge = direct.charges.create(params=CHARGE, options=keyed("k1"))
            replayed = direct.charges.create(params=CHARGE, options=keyed("k1"))
            assert replayed.id == charge.id
            refund = direct.refunds.create(params={"charge": charge.id})
            return refund.charge, [found.id for found in direct.charges.list().data]

        parts.faults.strike(CHARGES, "after", Cut(how="rst"))
        charge, found = await asyncio.to_thread(use)
        assert found == [charge]
        parts.faults.strike("GET /v1/charges", "before", Hold(None))
        impatient = client(parts.url, http_client=stripe.RequestsClient(timeout=0.2), max_network_retries=0).v1
        with pytest.raises(stripe.APIConnectionError):
            await asyncio.to_thread(impatient.charges.list)
    assert [effect.side for effect in parts.effects("order")] == ["buy", "sell"]

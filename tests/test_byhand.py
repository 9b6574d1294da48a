"""What a test drives by hand beyond plain blocks: decorators, beliefs that are asked for, stops, the wire as text."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import faultline as fl
from faultline.errors import UsageError
from faultline.history.event import Answer, Belief, Contracted, Intent, Struck
from tests.test_session import buy, played


def test_blocks_are_for_with_and_async_with_and_decorate_functions() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        lost = session.inject(fl.faults.LostRequest(on="POST /orders", how="fin"))
        async with lost, session.intent("buy", quantity=1, price=1) as wanted:
            assert await buy(client, 1) == 0
            wanted.outcome = "fail"

        @session.inject(fl.faults.LostRequest(on="POST /orders", how="fin"))
        @session.intent("buy", quantity=1, price=2)
        async def lose() -> int:
            return await buy(client, 2)

        @session.intent("buy", quantity=1, price=3)
        def plain() -> str:
            return "sent"

        assert (await lose(), await lose(), plain()) == (0, 0, "sent")
        assert await buy(client, 4) == 201

    history = played(test).history
    assert [struck.fault for struck in history.of(Struck)] == ["lost_request"] * 3
    assert [intent.price for intent in history.of(Intent)] == ["1", "2", "2", "3"]
    assert [answer.outcome for answer in history.of(Answer)] == ["fail", "ok", "ok", "ok"]


def test_each_call_of_a_recorded_function_is_an_intent() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        async def place(price: int, quantity: int = 1, *, symbol: str = "NQ") -> int:
            return await buy(client, price)

        recorded = session.recorded(place, side="buy")
        assert [await recorded(7), await recorded(price=8)] == [201, 201]
        doubled = session.recorded(place, side="sell", quantity=lambda call: 2 * call["quantity"], id="mine")
        await doubled(9, 3)
        with pytest.raises(UsageError, match="an intent has no colour; it has side"):
            session.recorded(place, colour="red")
        with pytest.raises(UsageError, match="place has no argument side"):
            await session.recorded(place)(1)
        await session.settle()
        session.check(fl.oracles.NoDuplicates())

    wanted = [(each.id, each.side, each.quantity, each.price, each.symbol) for each in played(test).history.of(Intent)]
    assert wanted == [
        ("I1", "buy", "1", "7", "NQ"),
        ("I2", "buy", "1", "8", "NQ"),
        ("mine", "sell", "6", "9", "NQ"),
    ]


def test_a_client_that_is_observed_tells_what_it_believes() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        orders: dict[str, Any] = {}

        @session.observe
        def view() -> dict[str, Any]:
            return {"orders": orders}

        with session.intent("buy", quantity=1, price=5, symbol="NQ") as wanted:
            await buy(client, 5)
            orders[wanted.id] = {"status": "new"}
        orders[wanted.id] = {"status": "filled", "filled": 1}
        await session.settle()
        assert view() == {"orders": orders}
        session.check(fl.oracles.NoDuplicates(), fl.oracles.NoLoss())
        orders[wanted.id] = {"status": "canceled"}
        with pytest.raises(fl.CheckFailed, match="I1"):
            session.check(fl.oracles.Reconciled())

    told = [order.state for belief in played(test).history.of(Belief) for order in belief.orders]
    assert told == ["new", "filled", "canceled"]


def test_one_can_wait_for_a_time_or_a_fault_stop_at_it_and_read_the_wire_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[tuple[str, float]] = []

    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        monkeypatch.setattr("builtins.breakpoint", lambda: stopped.append(("debugger", session.now_s())))
        await session.run_until(10)
        assert session.now_s() == pytest.approx(10)
        session.break_at()
        session.break_at("lost_response", 2, lambda struck: stopped.append((struck.endpoint, session.now_s())))
        waiting = asyncio.create_task(session.until_struck("lost_response", 2))
        with session.inject(fl.faults.LostResponse(on="POST /orders", how="rst")):
            await buy(client, 1)
            await session.run_until(20)
            assert not waiting.done()
            await buy(client, 2)
        assert (await waiting).receipt == 2
        assert (await session.until_struck()).receipt == 1
        text = session.wire(2, around_s=0.5)
        assert "** receipt 2: lost_response at POST /orders #2 after: cut how=rst" in text
        assert "receipt 1" not in text
        assert "receipt 1" in session.wire()
        assert "-> POST /auth/token" in fl.wire(session.history)
        with pytest.raises(UsageError, match="there is no receipt 3; 2 faults struck"):
            session.wire(3)

    played(test)
    assert [what for what, _ in stopped] == ["debugger", "POST /orders"]
    assert [t for _, t in stopped] == pytest.approx([10, 20], abs=0.1)


def test_in_the_live_world_code_that_blocks_is_tested_in_a_thread() -> None:
    def blocking(url: str) -> int:
        request = urllib.request.Request(url + "/auth/token", data=b'{"client_id": "a", "client_secret": "b"}')
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    async def main() -> None:
        venue = await session.venue()
        with (
            pytest.raises(UsageError, match="looks no name up"),
            session.inject(fl.faults.DnsFailure()),
        ):
            pass
        with session.inject(fl.faults.StatusStorm(on="POST /auth/token", status=503, first=1)):
            assert await asyncio.to_thread(blocking, venue.url) == 503
        assert await asyncio.to_thread(blocking, venue.url) == 200
        await session.settle()

    with fl.Session(3, world="live") as session:
        session.run(main)
    assert session.history.of(Contracted)[0].world == "live"
    with pytest.raises(fl.CheckFailed, match=r"Session\(seed=3, world='live'\) draws the same faults"):
        session.check(fl.oracles.NoDuplicates())


async def test_a_session_inside_a_running_loop_says_what_to_do() -> None:
    async def nothing() -> None: ...

    with pytest.raises(UsageError, match=r"call Session.run\(\) from a plain function"):
        fl.Session().run(nothing)


def test_a_world_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'live'"):
        fl.Session(world="life")


async def test_a_gateway_has_the_same_blocks_and_hears_claims() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"id": request.headers["Idempotency-Key"]})

    app = web.Application()
    app.router.add_post("/charges", answer)
    rule = fl.EffectRule("POST /charges", key="header Idempotency-Key", id="json id")
    async with (
        TestServer(app) as upstream,
        fl.Gateway(str(upstream.make_url("/")), effects=[rule]) as gateway,
        aiohttp.ClientSession() as client,
    ):

        async def charge(key: str) -> int:
            fl.always(key != "c", "nobody charges c")
            async with client.post(gateway.url + "/charges", headers={"Idempotency-Key": key}) as response:
                return response.status

        recorded = gateway.recorded(charge, id=lambda call: call["key"])
        async with gateway.inject(fl.faults.StatusStorm(on="POST /charges", status=503, first=1)):
            assert [await recorded("a"), await recorded("a"), await recorded("b")] == [503, 200, 200]
        await gateway.settle()
        assert [verdict.verdict for verdict in gateway.check(fl.oracles.NoDuplicates())] == ["pass", "pass"]
        await charge("c")
        with pytest.raises(fl.CheckFailed, match=r"always: nobody charges c: fail: did not hold at test_byhand\.py:"):
            gateway.check()
    assert [intent.id for intent in gateway.history.of(Intent)] == ["a", "a", "b"]

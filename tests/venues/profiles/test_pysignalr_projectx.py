"""The ProjectX profile with aiohttp for its REST and pysignalr, unmodified, for its hubs, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from faultline.faults.actions import Cut, Drop, Duplicate, FillPart, Hold, Reply
from faultline.history.event import Answered, Connected, Delivered, Intent, Received
from faultline.venues.profiles.projectx import KEY, USER
from tests.venues.profiles.kit import REST, STREAM, Stage, played

pytestmark = pytest.mark.usefixtures("pysignalr")

NQ = "CON.F.US.NQ.Z26"
ORDER = {"accountId": 1, "contractId": NQ, "type": 1, "side": 0, "size": 3, "limitPrice": 101.25}
USER_EVENTS = ("GatewayUserAccount", "GatewayUserOrder", "GatewayUserPosition", "GatewayUserTrade")


class Rest:
    """The calls of a small client."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.token = ""

    async def call(self, path: str, token: str | None = None, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        async with self.session.post(f"{REST}/api/{path}", json=body, headers=headers) as response:
            return response.status if response.status != 200 else await response.json()

    async def login(self) -> str:
        self.token = (await self.call("Auth/loginKey", userName=USER, apiKey=KEY))["token"]
        return self.token

    async def place(self, **changes: Any) -> Any:
        return await self.call("Order/place", **{**ORDER, **changes})


class HubClient:
    """A pysignalr client that subscribes when it opens, and remembers."""

    def __init__(self, hub: str, token: str, subscribe: dict[str, list[Any]], events: tuple[str, ...]) -> None:
        from pysignalr.client import SignalRClient

        self.client = SignalRClient(f"{STREAM.replace('ws', 'http', 1)}/hubs/{hub}?access_token={token}")
        self.subscribe = subscribe
        self.told: list[tuple[str, Any]] = []
        self.completed: list[str] = []
        self.errors: list[str] = []
        self.closed = 0
        self.client.on_open(self.opened)
        self.client.on_close(self.on_close)
        self.client.on_error(self.failed)
        for event in events:
            self.client.on(event, self.listener(event))

    def listener(self, event: str) -> Callable[[Any], Awaitable[None]]:
        async def heard(arguments: Any) -> None:
            self.told.append((event, arguments))

        return heard

    async def opened(self) -> None:
        for method, arguments in self.subscribe.items():
            await self.client.send(method, arguments, self.completion_of(method))

    def completion_of(self, method: str) -> Callable[[Any], Awaitable[None]]:
        async def completed(message: Any) -> None:
            self.completed.append(method)

        return completed

    async def on_close(self) -> None:
        self.closed += 1

    async def failed(self, message: Any) -> None:
        self.errors.append(message.error)

    def of(self, event: str) -> list[Any]:
        return [arguments for name, arguments in self.told if name == event]


@asynccontextmanager
async def running(hub: HubClient) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(hub.client.run())
    try:
        await asyncio.sleep(0.5)
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def user_hub(token: str) -> HubClient:
    subscribe: dict[str, list[Any]] = {
        "SubscribeAccounts": [], "SubscribeOrders": [1], "SubscribePositions": [1], "SubscribeTrades": [1]
    }  # fmt: skip
    return HubClient("user", token, subscribe, USER_EVENTS)


def with_rest(body: Callable[[Stage, Rest], Awaitable[None]], **settings: Any) -> Stage:
    async def main(stage: Stage) -> None:
        async with aiohttp.ClientSession() as session:
            rest = Rest(session)
            await rest.login()
            await body(stage, rest)

    stage = played("projectx", main, **settings)
    assert stage.simulation.escapes == []
    assert stage.simulation.blocking_sleeps == []
    return stage


def test_orders_go_through_their_life_on_rest_and_on_the_user_hub() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        hub = user_hub(rest.token)
        async with running(hub):
            assert hub.completed == list(hub.subscribe)
            placed = await rest.place(customTag="mine")
            assert placed == {"orderId": 9001, "success": True, "errorCode": 0, "errorMessage": None}
            (resting,) = (await rest.call("Order/searchOpen", accountId=1))["orders"]
            assert (resting["id"], resting["status"], resting["customTag"]) == (9001, 1, "mine")
            assert (resting["limitPrice"], resting["contractId"], resting["symbolId"]) == (101.25, NQ, "F.US.NQ")
            await asyncio.sleep(1)
            orders = [order for (order,) in hub.of("GatewayUserOrder")]
            assert [(order["status"], order["fillVolume"]) for order in orders] == [(1, 0), (2, 3)]
            ((trade,),) = hub.of("GatewayUserTrade")
            assert (trade["orderId"], trade["price"], trade["side"], trade["profitAndLoss"]) == (9001, 101.25, 0, None)
            assert trade["voided"] is False
            ((position,),) = hub.of("GatewayUserPosition")
            assert (position["type"], position["size"], position["averagePrice"]) == (1, 3, 101.25)
            assert hub.of("GatewayUserAccount")[0][0]["balance"] == pytest.approx(50_000 - 3 * 101.25 * 0.0002)
            assert (await rest.call("Position/searchOpen", accountId=1))["positions"] == [position]
            assert (await rest.call("Trade/search", accountId=1))["trades"] == [trade]
            later = {"accountId": 1, "startTimestamp": "2026-01-01T00:00:30+00:00"}
            assert (await rest.call("Order/search", **later))["orders"] == []

            second = (await rest.place(customTag="other"))["orderId"]
            changed = await rest.call("Order/modify", accountId=1, orderId=second, size=4, limitPrice=102)
            canceled = await rest.call("Order/cancel", accountId=1, orderId=second)
            assert (changed["success"], canceled["success"]) == (True, True)
            again = await rest.call("Order/cancel", accountId=1, orderId=second)
            assert (again["success"], again["errorCode"]) == (False, 3)
            await asyncio.sleep(0.1)
            (last,) = hub.of("GatewayUserOrder")[-1]
            assert (last["id"], last["status"], last["size"], last["limitPrice"]) == (second, 3, 4, 102)

            part = await rest.call("Position/partialCloseContract", accountId=1, contractId=NQ, size=1)
            closed = await rest.call("Position/closeContract", accountId=1, contractId=NQ)
            assert (part["success"], closed["success"]) == (True, True)
            (gone,) = hub.of("GatewayUserPosition")[-1:]
            trades = (await rest.call("Trade/search", accountId=1))["trades"]
            assert [t["profitAndLoss"] for t in trades] == [-5.0, -2.5, None]  # market orders fill at 100, 2 a point
        assert gone is not None

    stage = with_rest(body)
    assert [effect.what for effect in stage.effects()][:4] == ["order", "fill", "order", "replace"]


def test_errors_are_a_200_that_says_no_and_a_dead_token_a_bare_401() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        wrong = await rest.call("Auth/loginKey", userName=USER, apiKey="guess")
        assert (wrong["success"], wrong["errorCode"], wrong["token"]) == (False, 3, None)
        await rest.place(customTag="once")
        refusals = [
            await rest.place(accountId=7),
            await rest.place(contractId="CON.F.US.XX.Z26"),
            await rest.place(type=4),
            await rest.place(size=0),
            await rest.place(limitPrice=None),
        ]
        assert [refusal["errorCode"] for refusal in refusals] == [1, 8, 2, 2, 2]
        assert {(refusal["success"], refusal["orderId"]) for refusal in refusals} == {(False, None)}
        assert await rest.call("Order/place", accountId="one") == 400
        assert (await rest.call("Order/cancel", accountId=1, orderId=1))["errorCode"] == 2
        assert (await rest.call("Position/closeContract", accountId=1, contractId=NQ))["errorCode"] == 2
        assert await rest.call("Order/search", token="", accountId=1) == 401
        assert await rest.call("Nothing/here") == 404
        async with rest.session.get(f"{REST}/api/Status/ping") as pong:
            assert (pong.status, await pong.text()) == (200, "pong")
        rotated = (await rest.call("Auth/validate"))["newToken"]
        assert rotated != rest.token
        await asyncio.sleep(86_401)
        for token in (rest.token, rotated):
            async with rest.session.post(
                f"{REST}/api/Auth/validate", headers={"Authorization": f"Bearer {token}"}
            ) as dead:
                assert (dead.status, await dead.read()) == (401, b"")

    with_rest(body)


def test_a_custom_tag_is_used_up_for_ever_also_after_its_fill() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        first = await rest.place(customTag="tag", type=2, limitPrice=None)
        assert first["success"]
        again = await rest.place(customTag="tag", type=2, limitPrice=None)
        assert (again["success"], again["errorCode"], again["orderId"]) == (False, 7, None)

    stage = with_rest(body, duplicate_code=7)
    assert [effect.what for effect in stage.effects()] == ["order", "fill"]


def test_both_limits_answer_429_without_retry_after() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        window = {"contractId": NQ, "startTime": "2025-12-31T23:00:00Z", "endTime": "2026-01-02T00:00:00Z", "unit": 2}
        made = [await rest.call("History/retrieveBars", **window, limit=3) for _ in range(51)]
        assert [len(page["bars"]) for page in made[:50]] == [3] * 50
        assert made[50] == 429
        statuses = [await rest.call("Account/search") for _ in range(200)]
        assert [status == 429 for status in statuses] == [False] * 199 + [True]  # the login was the first of them
        async with rest.session.post(f"{REST}/api/Account/search") as refused:
            assert refused.status == 429
            assert not {"Retry-After", "X-RateLimit-Remaining"} & set(refused.headers)
        await asyncio.sleep(61)
        assert (await rest.call("Account/search"))["success"]

    with_rest(body)


def test_a_hub_tells_only_whom_it_was_asked_to_tell_and_market_data_by_contract() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        silent = HubClient("user", rest.token, {}, USER_EVENTS)
        subscribe = {
            "SubscribeContractQuotes": [NQ],
            "SubscribeContractTrades": [NQ],
            "subscribecontractmarketdepth": [NQ],
        }
        market = HubClient("market", rest.token, subscribe, ("GatewayQuote", "GatewayTrade", "GatewayDepth"))
        wrong = HubClient("market", rest.token, {"SubscribeOrders": [1], "SubscribeContractQuotes": ["XX"]}, ())
        async with running(silent), running(market), running(wrong):
            await rest.place()
            await asyncio.sleep(3)
            assert silent.told == []
            quotes = market.of("GatewayQuote")
            assert len(quotes) == len(market.of("GatewayTrade")) == len(market.of("GatewayDepth")) == 3
            assert {contract for contract, _ in quotes} == {NQ}
            assert all(quote["bestBid"] < quote["lastPrice"] < quote["bestAsk"] for _, quote in quotes)
            assert wrong.errors == [
                "Unknown hub method 'SubscribeOrders'",
                "Failed to invoke 'SubscribeContractQuotes' due to an error on the server.",
            ]
            await market.client.send("UnsubscribeContractQuotes", [NQ])
            await asyncio.sleep(3)
            assert len(market.of("GatewayQuote")) == 3
            assert len(market.of("GatewayTrade")) == 6

    stage = with_rest(body)
    assert {event.stream for event in stage.of(Connected)} == {"user", "market"}
    assert {"stream market", "GET /hubs/market", "POST /hubs/user/negotiate"} <= stage.endpoints()
    assert {event.stream for event in stage.of(Delivered)} == {"market"}


def test_message_faults_strike_single_messages_of_a_shared_frame() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        hub = user_hub(rest.token)
        frames: list[str] = []
        async with running(hub):
            decode = hub.client._protocol.decode

            def noted(frame: str) -> Any:
                frames.append(frame)
                return decode(frame)

            hub.client._protocol.decode = noted
            stage.faults.strike("stream user", "out", Drop())
            await rest.place(customTag="I1", type=2, limitPrice=None)
            await asyncio.sleep(1)
            assert [name for name, _ in hub.told] == [
                "GatewayUserTrade", "GatewayUserOrder", "GatewayUserPosition", "GatewayUserAccount"
            ]  # fmt: skip
            assert [frame.count("\x1e") for frame in frames] == [4]
            hub.told.clear()
            stage.faults.strike("stream user", "out", Duplicate(1))
            stage.faults.strike("stream user", "out", Hold(overtaken_by=1))
            await rest.place(customTag="I2", type=2, limitPrice=None)
            await asyncio.sleep(1)
            assert [name for name, _ in hub.told] == [
                "GatewayUserOrder", "GatewayUserOrder", "GatewayUserOrder", "GatewayUserTrade", "GatewayUserPosition",
                "GatewayUserAccount",
            ]  # fmt: skip

    stage = with_rest(body)
    fates = [event.fate for event in stage.of(Delivered)]
    assert [fate for fate in fates if fate != "sent"] == ["dropped", "duplicated", "delayed"]
    assert stage.resolved() == ["not_applied", "applied", "applied"]


def test_a_lost_completion_leaves_a_subscription_that_nobody_confirmed() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        stage.faults.strike("stream user", "ack", Drop())
        hub = user_hub(rest.token)
        async with running(hub):
            assert hub.completed == list(hub.subscribe)[1:]
            await rest.place(type=2, limitPrice=None)
            await asyncio.sleep(0.1)
            assert hub.of("GatewayUserAccount")

    stage = with_rest(body)
    (struck,) = [moment for moment in stage.faults.seen if moment.topic == "SubscribeAccounts"]
    assert (struck.point.phase, struck.point.entity) == ("ack", "-/SubscribeAccounts")
    assert stage.resolved() == ["applied"]


def test_negotiation_and_handshake_refuse_a_dead_token_and_faults_strike_both() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        from pysignalr.exceptions import AuthorizationError

        with pytest.raises(AuthorizationError):
            await user_hub("nonsense").client.run()
        stage.faults.strike("POST /hubs/user/negotiate", "before", Reply(401))
        with pytest.raises(AuthorizationError):
            await user_hub(rest.token).client.run()
        url = f"{STREAM.replace('ws', 'http', 1)}/hubs/user?access_token="
        for token, status in (("nonsense", 401), (rest.token, 101)):
            if status != 101:
                with pytest.raises(aiohttp.WSServerHandshakeError, match=f"{status}"):
                    await rest.session.ws_connect(url + token)
                continue
            socket = await rest.session.ws_connect(url + token)  # without negotiation
            await socket.close()
        for _ in range(2):  # aiohttp tries a GET once more by itself
            stage.faults.strike("GET /hubs/user", "before", Cut(how="rst"))
        with pytest.raises(aiohttp.ClientError):
            await rest.session.ws_connect(url + rest.token)

    stage = with_rest(body)
    assert len(stage.of(Connected)) == 1
    assert {event.connection for event in stage.of(Received) if event.endpoint.endswith("/hubs/user")} == {0}


def test_a_reconnect_is_a_new_negotiation_and_brings_back_neither_subscriptions_nor_what_was_missed() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        careful = user_hub(rest.token)
        forgetful = HubClient("user", rest.token, {}, USER_EVENTS)
        async with running(careful), running(forgetful):
            await forgetful.client.send("SubscribeOrders", [1])
            await asyncio.sleep(0.1)
            for _ in range(2):
                stage.faults.strike("stream user", "out", Cut(how="close", code=1001))
            await rest.place(customTag="I1")
            await asyncio.sleep(5)
            # pysignalr comes back with the URL of its first connection, whose id is gone, and then negotiates anew.
            assert (careful.closed, careful.completed) == (2, 2 * list(careful.subscribe))
            assert careful.told == []
            (filled,) = (await rest.call("Order/search", accountId=1))["orders"]
            assert filled["status"] == 2
            await rest.place(customTag="I2", type=2, limitPrice=None)
            await asyncio.sleep(1)
            assert [order["customTag"] for (order,) in careful.of("GatewayUserOrder")] == ["I2", "I2"]
            assert forgetful.told == []

    stage = with_rest(body)
    assert [event.connection for event in stage.of(Connected) if not event.topics] == [1, 2, 3, 4]
    refused = {event.request for event in stage.of(Answered) if event.status == 404}
    assert [event.endpoint for event in stage.of(Received) if event.request in refused] == 2 * ["GET /hubs/user"]


def test_a_call_that_gets_no_answer_times_out_and_was_carried_out() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        stage.faults.strike("POST /api/Order/place", "after", Hold(None))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await rest.place(customTag="I1")
        (order,) = (await rest.call("Order/search", accountId=1))["orders"]
        assert order["customTag"] == "I1"

    with_rest(body)


def test_partial_fills_are_whole_contracts_and_belong_to_their_intent() -> None:
    async def body(stage: Stage, rest: Rest) -> None:
        stage.interceptor._attribution.announce(Intent(0.0, "I1", "place", "NQ", "buy", "4", "101.25"))
        stage.faults.strike("match", "decide", FillPart(3, 0.1))
        hub = user_hub(rest.token)
        async with running(hub):
            await rest.place(customTag="I1", size=4)
            await asyncio.sleep(1)
            assert [trade["size"] for (trade,) in hub.of("GatewayUserTrade")] == [1, 1, 2]
            orders = [(order["status"], order["fillVolume"]) for (order,) in hub.of("GatewayUserOrder")]
            assert orders == [(1, 0), (1, 1), (1, 2), (2, 4)]

    stage = with_rest(body)
    trades = [event.entity for event in stage.of(Delivered) if event.topic == "GatewayUserTrade"]
    assert trades == ["I1/1", "I1/2", "I1/3"]
    assert {effect.intent for effect in stage.effects()} == {"I1"}

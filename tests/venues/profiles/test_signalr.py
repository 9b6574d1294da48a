"""SignalR as it is on the wire, with a client that shows frames: versions, records, timers, refusals, goodbyes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from faultline.faults.base import Fault
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane, Point
from faultline.faults.signalr import HubClose, LostCompletion
from faultline.history.event import Disconnected, Resolved
from faultline.venues import PROFILES
from faultline.venues.profiles.projectx import KEY, USER
from tests.venues.profiles.kit import REST, STREAM, Stage, on_loopback, played

HUB = f"{STREAM.replace('ws', 'http', 1)}/hubs/user"
OUT = Moment(Point(Plane.MESSAGE, "stream user", "-/1/x", 1, "out"), 0.0)


def records(*messages: object) -> str:
    return "".join(json.dumps(message) + "\x1e" for message in messages)


HELLO = {"protocol": "json", "version": 1}


class Bare:
    """One WebSocket and what came on it, frame by frame."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, *messages: object) -> None:
        await self.socket.send_str(records(*messages))

    async def frame(self) -> list[Any]:
        message = await self.socket.receive(timeout=100)
        if message.type is not aiohttp.WSMsgType.TEXT:
            return [message.type.name, message.data]
        assert message.data.endswith("\x1e")
        return [json.loads(record) for record in message.data.split("\x1e")[:-1]]


class Door:
    """Logs in, negotiates and connects."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self.session = session
        self.token = token

    async def negotiate(self, version: int | None = 1) -> Any:
        query = f"?access_token={self.token}" + (f"&negotiateVersion={version}" if version is not None else "")
        async with self.session.post(f"{HUB}/negotiate{query}") as response:
            return await response.json()

    async def open(self, connection_id: str = "", *first: object) -> Bare:
        query = f"?access_token={self.token}" + (f"&id={connection_id}" if connection_id else "")
        bare = Bare(await self.session.ws_connect(f"{HUB}{query}", autoping=False))
        if first:
            await bare.say(*first)
        return bare


def at_the_door(body: Callable[[Stage, Door], Awaitable[None]], **settings: Any) -> Stage:
    async def main(stage: Stage) -> None:
        async with aiohttp.ClientSession() as session:
            login = {"userName": USER, "apiKey": KEY}
            async with session.post(f"{REST}/api/Auth/loginKey", json=login) as response:
                token = (await response.json())["token"]
            await body(stage, Door(session, token))

    return played("projectx", main, **settings)


def test_negotiation_gives_an_id_that_is_good_for_one_connection_at_a_time() -> None:
    async def body(stage: Stage, door: Door) -> None:
        old, new = await door.negotiate(None), await door.negotiate()
        assert (old["negotiateVersion"], "connectionToken" in old) == (0, False)
        assert new["availableTransports"] == [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
        first = await door.open(old["connectionId"], HELLO)
        assert await first.frame() == [{}]
        for wanted, status in ((old["connectionId"], 409), (new["connectionId"], 404), ("nobody", 404)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await door.open(wanted)
            assert refused.value.status == status
        assert await (await door.open(new["connectionToken"], HELLO)).frame() == [{}]
        await first.socket.close()
        await asyncio.sleep(0.1)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            await door.open(old["connectionId"])  # it ended with its connection
        async with door.session.get(HUB) as plain:
            assert plain.status == 404

    at_the_door(body)


def test_records_may_share_a_frame_or_be_cut_in_two_and_each_call_gets_its_answer() -> None:
    async def body(stage: Stage, door: Door) -> None:
        def call(name: str, call_id: str | None, *arguments: object, kind: int = 1) -> Any:
            return {"type": kind, "invocationId": call_id, "target": name, "arguments": arguments, "new": "field"}

        bare = await door.open(
            "", HELLO, call("SubscribeOrders", "a", 1), call("SubscribeTrades", None, 1), call("Nothing", "b"),
            call("SubscribeOrders", "c", 2), call("SubscribeOrders", "d", 1, kind=4), {"type": 5, "invocationId": "d"},
            {"type": 3, "invocationId": "z", "result": 1}, {"type": 99},
        )  # fmt: skip
        shake, *answers = await bare.frame()
        assert shake == {}
        assert [answer["invocationId"] for answer in answers] == ["a", "b", "c", "d"]
        assert answers[0] == {"type": 3, "invocationId": "a", "result": None}
        assert all("error" in answer and "result" not in answer for answer in answers[1:])
        text = records(call("UnsubscribeOrders", "e", 1))
        await bare.socket.send_str(text[:20])
        await bare.socket.send_str(text[20:] + text[:7])
        assert [answer["invocationId"] for answer in await bare.frame()] == ["e"]

    at_the_door(body)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ([{"protocol": "json", "version": 0}], None),
        ([{"protocol": "messagepack", "version": 1}], "The protocol 'messagepack' is not supported."),
        ([{"protocol": "json", "version": 2}], "The server does not support version 2 of the 'json' protocol."),
    ],
)
def test_a_handshake_names_a_protocol_and_a_version_that_are_spoken(said: Any, answer: str | None) -> None:
    async def body(stage: Stage, door: Door) -> None:
        bare = await door.open("", *said)
        assert await bare.frame() == [{} if answer is None else {"error": answer}]
        if answer is not None:
            assert await bare.frame() == ["CLOSE", 1000]

    at_the_door(body)


@pytest.mark.parametrize("text", ["{not json\x1e", '{"target":"x"}\x1e', "[1]\x1e"])
def test_what_is_no_message_ends_the_connection_with_a_reason(text: str) -> None:
    async def body(stage: Stage, door: Door) -> None:
        bare = await door.open("", HELLO)
        assert await bare.frame() == [{}]
        await bare.socket.send_str(text)
        (close,) = await bare.frame()
        assert (close["type"], "InvalidDataException" in close["error"]) == (7, True)
        assert await bare.frame() == ["CLOSE", 1000]

    at_the_door(body)


def test_a_server_pings_when_it_is_silent_and_drops_a_client_that_is() -> None:
    async def body(stage: Stage, door: Door) -> None:
        mute = await door.open()
        assert await mute.frame() == [{"error": "Handshake was canceled."}]
        at = stage.now_s
        assert at == pytest.approx(3, abs=0.1)
        bare = await door.open("", HELLO)
        await bare.frame()
        assert await bare.frame() == [{"type": 6}]
        await bare.say({"type": 6})
        heard = stage.now_s
        assert heard - at == pytest.approx(4, abs=0.1)
        assert await bare.frame() == [{"type": 6}]
        assert await bare.frame() == [{"type": 6}]
        (close,) = await bare.frame()
        assert close["type"] == 7
        assert "10000.00ms" in close["error"]
        assert stage.now_s - heard == pytest.approx(10, abs=0.1)
        polite = await door.open("", HELLO, {"type": 7})
        assert await polite.frame() == [{}]
        assert await polite.frame() == ["CLOSE", 1000]

    at_the_door(body, handshake_timeout_s=3.0, keepalive_s=4.0, client_timeout_s=10.0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (HubClose(), {"type": 7, "allowReconnect": True}),
        (HubClose(reconnect="refused", reason="moved"), {"type": 7, "error": "moved", "allowReconnect": False}),
        (HubClose(reconnect="unsaid"), {"type": 7}),
    ],
)
def test_hub_close_says_goodbye_at_a_message_and_by_the_clock(fault: Fault, said: Any) -> None:
    (action,) = fault.actions(OUT, Chance("test"))

    async def body(stage: Stage, door: Door) -> None:
        for by_the_clock in (False, True):
            bare = await door.open("", HELLO, {"type": 1, "target": "SubscribeOrders", "arguments": [1]})
            assert await bare.frame() == [{}]
            if by_the_clock:
                assert stage.interceptor.cut_streams("stream user", action) == 1
            else:
                stage.faults.strike("stream user", "out", action)
                order = {"accountId": 1, "contractId": "CON.F.US.NQ.Z26", "type": 2, "side": 0, "size": 1}
                headers = {"Authorization": f"Bearer {door.token}"}
                await (await door.session.post(f"{REST}/api/Order/place", json=order, headers=headers)).read()
            assert await bare.frame() == [said]
            assert await bare.frame() == ["CLOSE", 1000]

    stage = at_the_door(body)
    assert [event.code for event in stage.of(Disconnected)] == [1000, 1000]
    assert [event.effect for event in stage.of(Resolved)] == ["not_applied"]


def test_the_faults_of_hubs_need_a_venue_that_has_some() -> None:
    for fault in (HubClose(), LostCompletion(topic="Subscribe*")):
        assert fault.can_strike(PROFILES["projectx"].endpoints)
        assert not fault.can_strike(PROFILES["generic"].endpoints)


async def test_a_hub_on_loopback_with_pysignalr(pysignalr: Any) -> None:
    async with on_loopback("projectx", quote_every_s=0.02) as stage, aiohttp.ClientSession() as session:
        login = {"userName": USER, "apiKey": KEY}
        async with session.post(f"{stage.url}/api/Auth/loginKey", json=login) as response:
            token = (await response.json())["token"]
        url = stage.stream_url.replace("ws", "http", 1)
        client = pysignalr.SignalRClient(f"{url}/hubs/market?access_token={token}")
        heard: asyncio.Queue[Any] = asyncio.Queue()
        client.on("GatewayQuote", heard.put)

        async def opened() -> None:
            await client.send("SubscribeContractQuotes", ["CON.F.US.ES.Z26"])

        client.on_open(opened)
        running = asyncio.ensure_future(client.run())
        contract, quote = await asyncio.wait_for(heard.get(), 10)
        assert (contract, quote["symbol"]) == ("CON.F.US.ES.Z26", "F.US.ES")
        assert stage.interceptor.cut_streams("stream market", HubClose().actions(OUT, Chance("test"))[0]) == 1
        while not heard.empty():
            heard.get_nowait()
        assert (await asyncio.wait_for(heard.get(), 10))[0] == "CON.F.US.ES.Z26"  # it has come back
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

"""Ordinary JSON streams: what each venue's table makes of frames, and the generic venue behind the manager."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from faultline.faults import Disconnect, HalfOpen
from faultline.history.event import Connected
from faultline.session import RunningVenue, Session
from targets.resilience.connection_manager import SignalRConfig, SignalRConnectionManager
from targets.resilience.plain_dialect import PlainDialect, binance, generic_venue, okx
from targets.resilience.signalr_protocol import ProtocolError
from targets.resilience.stream_dialect import Answer, Event, Goodbye, Heard, Ready
from tests.targets.conftest import until
from tests.targets.resilience.hub import Tokens
from tests.worlds.sim.kit import VENUE, http_venue, new_simulation

BTC = {"channel": "books", "instId": "BTC-USDT"}
LOGIN = okx(login=lambda: '{"op":"login"}')


@pytest.mark.parametrize(
    ("dialect", "frame", "heard"),
    [
        (generic_venue(), {"topic": "pong"}, []),
        (generic_venue(), {"topic": "fills", "data": 1}, [Event("fills", ({"topic": "fills", "data": 1},))]),
        (
            generic_venue(),
            {"topic": "subscribed", "topics": ["fills", "orders"]},
            [
                Answer("fills"),
                Answer("orders"),
                Event("heartbeat", ({"topic": "subscribed", "topics": ["fills", "orders"]},)),
            ],
        ),
        (binance(), {"result": None, "id": 1}, [Answer("1")]),
        (binance(), {"error": {"code": 2}, "id": 3}, [Answer("3", error='{"code":2}')]),
        (binance(), {"stream": "btcusdt@depth", "data": {"e": "x"}}, [Event("btcusdt@depth", ({"e": "x"},))]),
        (binance(), {"e": "trade", "p": "1"}, [Event("trade", ({"e": "trade", "p": "1"},))]),
        (binance(), {"stream": "s", "data": [1]}, [Event("s", ([1],))]),
        (binance(), {"e": "serverShutdown", "E": 1}, [Goodbye("the server is about to shut down")]),
        (LOGIN, {"event": "login", "code": "0"}, [Ready()]),
        (
            okx(),
            {"event": "subscribe", "arg": dict(reversed(BTC.items()))},
            [Answer(json.dumps(BTC, separators=(",", ":")))],
        ),
        (okx(), {"event": "unsubscribe", "arg": BTC}, []),
        (okx(), {"event": "notice", "code": "64008"}, [Goodbye("notice 64008")]),
        (okx(), {"arg": BTC, "data": []}, [Event("books", ({"arg": BTC, "data": []},))]),
    ],
)
def test_a_frame_means_what_the_venue_says(dialect: PlainDialect, frame: Any, heard: list[Heard]) -> None:
    assert list(dialect.converse().receive(json.dumps(frame))) == heard


@pytest.mark.parametrize(
    ("dialect", "frame"),
    [
        (generic_venue(), '{"topic":"error","message":"what?"}'),
        (generic_venue(), "{}"),
        (generic_venue(), "[]"),
        (generic_venue(), "pong"),
        (binance(), "{}"),
        (okx(), "{}"),
        (okx(), '{"event":"error","code":"60012","msg":"bad"}'),
        (okx(), '{"arg":{},"data":[]}'),
    ],
)
def test_what_the_venue_does_not_say_is_an_error(dialect: PlainDialect, frame: str) -> None:
    with pytest.raises(ProtocolError):
        list(dialect.converse().receive(frame))


def test_subscriptions_and_signs_of_life_are_written_as_the_venue_wants_them() -> None:
    talk = binance().converse()
    assert json.loads(talk.subscribe("btcusdt@depth", ()).frame)["id"] == 1
    question = talk.invoke("ethusdt@depth", ())
    assert (question.id, json.loads(question.frame)) == (
        "2",
        {"method": "SUBSCRIBE", "params": ["ethusdt@depth"], "id": 2},
    )
    asked = okx().converse().subscribe("books", ({"instId": "BTC-USDT"},))
    assert json.loads(asked.frame) == {"op": "subscribe", "args": [BTC]}
    assert list(okx().converse().receive(json.dumps({"event": "subscribe", "arg": BTC}))) == [Answer(asked.id)]
    with pytest.raises(TypeError, match="objects"):
        okx().converse().subscribe("books", ("BTC-USDT",))
    assert list(okx().converse().receive("pong")) == []
    assert (okx().converse().hello(), LOGIN.converse().hello(), LOGIN.handshakes) == ((), ('{"op":"login"}',), True)
    assert okx().address("wss://v/ws", "t") == "wss://v/ws"
    assert generic_venue().address("wss://v/ws?a=1", "t/1") == "wss://v/ws?a=1&token=t%2F1"


class Login(Tokens):
    """A token of the generic venue's, new each time."""

    def __init__(self, venue: RunningVenue) -> None:
        super().__init__()
        self.venue = venue

    async def get_valid_token(self) -> str:
        body = {"client_id": self.venue.client_id, "client_secret": self.venue.client_secret}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.venue.url}/auth/token", json=body) as response,
        ):
            return str((await response.json())["access_token"])


async def test_an_ordinary_stream_lives_by_the_same_rules(faultline: Session) -> None:
    venue = await faultline.venue("generic", heartbeat_s=3600)
    config = SignalRConfig(url=f"{venue.stream_url}/stream", ping_interval=2500, ping_timeout=2500)
    manager = SignalRConnectionManager(config, Login(venue), dialect=generic_venue())
    states: list[str] = []
    manager.on_state(lambda old, new, reason: states.append(str(new)))
    await manager.subscribe("orders")
    await manager.subscribe("fills")
    await manager.connect()
    await asyncio.sleep(60)
    # A quiet market is no reason to reconnect: the venue answers when it is asked.
    assert states == ["connecting", "synchronizing", "connected"]
    with faultline.inject(Disconnect(at_s=1, how="rst"), HalfOpen(on="stream", at_s=20)):
        await until(lambda: states.count("connected") == 3)
    await manager.disconnect()
    topics = [event.topics for event in faultline.history.of(Connected) if event.topics]
    assert topics.count(("orders",)) == topics.count(("fills",)) == 3


def test_a_stream_without_a_question_of_its_own_lives_on_the_websockets_pings() -> None:
    heard: list[str] = []
    states: list[str] = []
    simulation = new_simulation()

    async def serve(request: web.Request) -> web.StreamResponse:
        # It pings every 20 s, and closes when no pong comes.
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            heard.extend(asked["params"])
            await socket.send_json({"result": None, "id": asked["id"]})
        return socket

    async def main() -> None:
        async with http_venue(serve):
            manager = SignalRConnectionManager(SignalRConfig(url=f"ws://{VENUE}/ws"), Tokens(), dialect=binance())
            manager.on_state(lambda old, new, reason: states.append(str(new)))
            await manager.subscribe("btcusdt@trade")
            await manager.connect()
            await asyncio.sleep(3600)
            assert manager.healthy
            simulation.network.connections("rest")[-1].cut("silence")
            await until(lambda: states.count("connected") == 2)
            await manager.disconnect()

    simulation.run(main)
    assert heard == ["btcusdt@trade"] * 2
    assert states.count("reconnecting") == 1


def test_pongs_of_the_servers_library_are_no_answer_where_the_protocol_has_a_question() -> None:
    questions: list[str] = []
    reasons: list[str] = []
    simulation = new_simulation()

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=1)
        await socket.prepare(request)
        questions.extend([message.data async for message in socket])
        return socket

    async def main() -> None:
        async with http_venue(serve):
            manager = SignalRConnectionManager(SignalRConfig(url=f"ws://{VENUE}/"), Tokens(), dialect=generic_venue())
            manager.on_state(lambda old, new, reason: reasons.append(reason))
            await manager.connect()
            await until(lambda: any("half open" in reason for reason in reasons))
            assert simulation.now_s() == pytest.approx(35, abs=0.2)
            await manager.disconnect()

    simulation.run(main)
    assert questions == ['{"op":"ping"}']

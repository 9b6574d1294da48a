"""A SignalR hub that a test bends: what it refuses, swallows, says and drops. It shares no code with the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from aiohttp import WSMsgType, web

from faultline.worlds.sim.simulation import Simulation
from targets.resilience.connection_manager import SignalRConfig, SignalRConnectionManager
from tests.worlds.sim.kit import VENUE, http_venue, new_simulation

URL = f"ws://{VENUE}/hubs/user"
T = TypeVar("T")


class Tokens:
    """A token manager that counts: ``t1``, then after each rejection the next one."""

    def __init__(self) -> None:
        self.asked = 0
        self.rejected: list[str] = []
        self.error: Exception | None = None

    async def get_valid_token(self) -> str:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return f"t{len(self.rejected) + 1}"

    def reject(self, token: str) -> None:
        self.rejected.append(token)


class Hub:
    """The server. ``refusals`` are statuses for the next connections; ``deaf`` counts connections that get no acks."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.refusals: list[int] = []
        self.deaf: set[int] = set()
        self.beats = True
        self.handshake = "{}\x1e"
        self.negotiations: list[tuple[str, str]] = []
        self.negotiate_answers: list[tuple[int, object]] = []
        self.attempts_s: list[float] = []
        self.tokens: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.heard: list[tuple[int, dict[str, Any]]] = []
        self.goodbyes: list[int] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.on_subscribed: Callable[[int], Awaitable[None]] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/negotiate"):
            self.negotiations.append((str(request.rel_url), request.headers.get("Authorization", "")))
            status, answer = self.negotiate_answers.pop(0)
            return web.Response(status=status, text=answer if isinstance(answer, str) else json.dumps(answer))
        self.attempts_s.append(round(self.simulation.now_s(), 1))
        self.queries.append(dict(request.query))
        self.tokens.append(request.query.get("access_token", ""))
        if self.refusals:
            status = self.refusals.pop(0)
            if status:
                return web.Response(status=status)
        socket = web.WebSocketResponse(timeout=0.1)
        await socket.prepare(request)
        self.sockets.append(socket)
        beating = asyncio.create_task(self._beat(socket)) if self.beats else None
        with suppress(ConnectionError):
            await self._converse(socket, len(self.sockets))
        if beating is not None:
            beating.cancel()
        return socket

    async def _beat(self, socket: web.WebSocketResponse) -> None:
        while True:
            await asyncio.sleep(15)
            await socket.send_str('{"type":6}\x1e')

    async def _converse(self, socket: web.WebSocketResponse, ordinal: int) -> None:
        shaken = False
        while not socket.closed:
            frame = await socket.receive()
            if frame.type is WSMsgType.CLOSE:
                self.goodbyes.append(frame.data)
            if frame.type is not WSMsgType.TEXT:
                continue
            for record in frame.data.split("\x1e")[:-1]:
                message = json.loads(record)
                if not shaken:
                    shaken = True
                    assert message == {"protocol": "json", "version": 1}
                    await socket.send_str(self.handshake)
                else:
                    await self._obey(socket, ordinal, message)

    async def _obey(self, socket: web.WebSocketResponse, ordinal: int, message: dict[str, Any]) -> None:
        self.heard.append((ordinal, message))
        if message["type"] != 1 or ordinal in self.deaf:
            return
        answer: dict[str, object] = {"type": 3, "invocationId": message["invocationId"]}
        if message["target"] == "Echo":
            answer["result"] = message["arguments"]
        elif message["target"] == "Fail":
            answer["error"] = "not today"
        elif message["target"] == "Forget":
            return
        elif message["target"] == "Twice":
            await socket.send_str(2 * (json.dumps(answer) + "\x1e"))
            return
        await socket.send_str(json.dumps(answer) + "\x1e")
        if message["target"].startswith("Subscribe") and self.on_subscribed is not None:
            await self.on_subscribed(ordinal)

    async def say(self, target: str, *arguments: object) -> None:
        await self.raw({"type": 1, "target": target, "arguments": arguments})

    async def raw(self, *messages: object) -> None:
        await self.sockets[-1].send_str("".join(json.dumps(message) + "\x1e" for message in messages))

    def subscriptions(self, ordinal: int) -> list[tuple[str, list[object]]]:
        """What was subscribed on the connection ``ordinal`` (from 1)."""
        return [
            (message["target"], message["arguments"])
            for number, message in self.heard
            if number == ordinal and message.get("target", "").startswith("Subscribe")
        ]

    def cut(self, how: str) -> None:
        """End the latest connection as the network would."""
        self.simulation.network.connections("rest")[-1].cut(how)


class Stage:
    """A hub, its client, and what the client went through."""

    def __init__(self, simulation: Simulation, settings: dict[str, Any]) -> None:
        self.simulation = simulation
        self.hub = Hub(simulation)
        self.tokens = Tokens()
        chance = settings.pop("chance", None)
        more = {} if chance is None else {"chance": chance}
        self.manager = SignalRConnectionManager(SignalRConfig(**{"url": URL, **settings}), self.tokens, **more)
        self.states: list[str] = []
        self.reasons: list[str] = []
        self.failures: list[Exception] = []
        self.times_s: list[float] = []
        self.manager.on_state(self._note)
        self.manager.on_failed(self.failures.append)

    def _note(self, old: str, new: str, reason: str) -> None:
        self.states.append(str(new))
        self.reasons.append(reason)
        self.times_s.append(self.now_s)

    @property
    def now_s(self) -> float:
        return round(self.simulation.now_s(), 1)

    async def until(self, condition: Callable[[], object], *, within_s: float = 120.0) -> None:
        """Wait, in virtual time, until ``condition`` holds."""
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def lost(self, nth: int = 1, *, within_s: float = 200.0) -> str:
        """Wait until a connection is lost for the ``nth`` time. Gives the reason."""
        await self.until(lambda: self.states.count("reconnecting") >= nth, within_s=within_s)
        return [reason for state, reason in zip(self.states, self.reasons, strict=True) if state == "reconnecting"][
            nth - 1
        ]

    async def level(self, nth: int = 1, *, within_s: float = 200.0) -> None:
        """Wait until it is level for the ``nth`` time."""
        await self.until(lambda: self.states.count("connected") >= nth, within_s=within_s)

    async def until_state(self, state: str, *, within_s: float = 120.0) -> None:
        await self.until(lambda: self.manager.state == state, within_s=within_s)


def on_stage(test: Callable[[Stage], Awaitable[T]], *, serving: bool = True, **settings: Any) -> T:
    """Run ``test`` with a hub in a simulated world of its own."""
    simulation = new_simulation()
    simulation.network.add_host("elsewhere.test", label="elsewhere")

    async def main() -> T:
        stage = Stage(simulation, settings)
        try:
            if not serving:
                return await test(stage)
            async with http_venue(stage.hub.handle):
                return await test(stage)
        finally:
            await stage.manager.disconnect()

    return simulation.run(main)

"""The connection manager on the hubs of the ProjectX profile, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from faultline.history.event import Connected
from faultline.venues.profiles.projectx import KEY, USER
from targets.resilience.connection_manager import SignalRConfig, SignalRConnectionManager
from targets.resilience.errors import APIError
from tests.targets.conftest import until
from tests.targets.resilience.hub import Tokens
from tests.venues.profiles.kit import REST, STREAM, Stage, played

ORDER = {"accountId": 1, "contractId": "CON.F.US.NQ.Z26", "type": 1, "side": 0, "size": 3, "limitPrice": 101.25}
METHODS = ("SubscribeOrders", "SubscribePositions", "SubscribeTrades")


class Login(Tokens):
    """A token of the gateway's, new each time, and a place to send orders with it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__()
        self.session = session

    async def call(self, path: str, token: str = "", **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.post(f"{REST}/api/{path}", json=body, headers=headers) as response:
            return await response.json()

    async def get_valid_token(self) -> str:
        return str((await self.call("Auth/loginKey", userName=USER, apiKey=KEY))["token"])


def test_the_user_hub_is_followed_across_a_disconnect() -> None:
    async def body(stage: Stage) -> None:
        async with aiohttp.ClientSession() as session:
            login = Login(session)
            manager = SignalRConnectionManager(SignalRConfig(url=f"{STREAM}/hubs/user"), login)
            told: list[Any] = []
            states: list[str] = []
            manager.on("GatewayUserOrder", told.append)
            manager.on_state(lambda old, new, reason: states.append(str(new)))
            for method in METHODS:
                await manager.subscribe(method, 1)
            await manager.connect()
            with pytest.raises(APIError, match="Unknown hub method"):
                await manager.invoke("SubscribeNothing", 1)
            await asyncio.sleep(300)  # the hub lets go of clients that say nothing for 30 s
            for tag in ("before", "after"):
                await login.call("Order/place", await login.get_valid_token(), customTag=tag, **ORDER)
                await until(lambda: told and (told[-1]["customTag"], told[-1]["status"]) == (tag, 2))  # noqa: B023
                if tag == "before":
                    stage.simulation.network.connections("stream")[-1].cut("rst")
                    await until(lambda: states.count("connected") == 2)
            await manager.disconnect()
            assert states.count("connected") == 2

    stage = played("projectx", body)
    subscribed = [event.topics for event in stage.of(Connected) if event.topics]
    assert len(subscribed) == 2 * len(METHODS)
    assert stage.simulation.escapes == []

"""Both clients on real sockets and in real time: they are ordinary clients, and need no simulation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from faultline.faults.chance import Chance
from faultline.faults.injector import Decision, Injector
from faultline.faults.points import Moment
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution
from faultline.history.contract import ClientPolicy
from faultline.history.event import Effect
from faultline.session import RunningVenue
from faultline.venues import PROFILES
from faultline.venues.interceptor import Interceptor
from faultline.venues.rest import AiohttpFront
from faultline.venues.settings import GenericSettings
from faultline.venues.stream import StreamFront

from .conftest import ORDER, NaiveFlow, OrderFlow, status, until


class RealContext:
    """The venue's view of this machine."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ids: dict[str, int] = {}

    def now_s(self) -> float:
        return time.monotonic() - self._began

    def wall_s(self) -> float:
        return time.time()

    def new_id(self, kind: str) -> str:
        self._ids[kind] = self._ids.get(kind, 0) + 1
        return f"{kind}{self._ids[kind]}"

    def chance(self, *key: object) -> Chance:
        return Chance("test", *key)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_s, callback)


class Nothing:
    """Decides that nothing goes wrong."""

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        return ()


@asynccontextmanager
async def loopback(history: History) -> AsyncIterator[RunningVenue]:
    context, attribution = RealContext(), Attribution(ClientPolicy())
    injector = Injector(Nothing(), history, context.now_s)
    venue = PROFILES["generic"].build(
        GenericSettings(fill_delay_s=0.05), context, history, attribution, injector, Aliases()
    )
    interceptor = Interceptor(injector, history, attribution, now_s=context.now_s, wall_s=context.wall_s, upon={})
    rest, stream = AiohttpFront(venue, interceptor), StreamFront(venue, interceptor)
    try:
        yield RunningVenue(await rest.start("127.0.0.1"), await stream.start("127.0.0.1"), "client", "secret")
    finally:
        await stream.stop()
        await rest.stop()


@pytest.mark.parametrize("kind", [OrderFlow, NaiveFlow])
async def test_orders_are_placed_filled_and_cancelled(kind: Any, tmp_path: Path) -> None:
    history = History()
    async with loopback(history) as venue:
        before = asyncio.all_tasks()
        client = kind(
            rest_url=venue.url,
            stream_url=venue.stream_url,
            store_path=str(tmp_path / "state.db"),
            client_id=venue.client_id,
            client_secret=venue.client_secret,
        )
        await client.start()
        orders = [{**ORDER, "price": str(100 + number)} for number in range(3)]
        placed = await asyncio.gather(*(client.place(f"I{number}", **order) for number, order in enumerate(orders)))
        assert placed == ["accepted"] * 3
        await until(lambda: all(status(client, f"I{number}") == "filled" for number in range(3)), within_s=5)
        assert await client.cancel("C0", of="I0") == "rejected"
        assert client.snapshot()["positions"] == {"NQ": "12"}
        ours = asyncio.all_tasks() - before
        await client.stop()
        assert not [task for task in ours if not task.done() and "targets" in str(task.get_coro())]
    assert sum(1 for effect in history.of(Effect) if effect.what == "order") == 3

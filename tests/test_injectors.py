"""The injectors under everyday names, around real clients."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from faultline.errors import UsageError
from faultline.history.event import Effect, Struck
from faultline.injectors import HighVolumeEventGenerator, NetworkFailureInjector, SignalRDisconnectionInjector
from faultline.session import Session

PAGE = Path(__file__).parents[1] / "docs" / "injectors.md"
Test = Callable[[Session], Awaitable[None]]


def shown() -> dict[str, Test]:
    tests: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(block, tests)
    return {name: test for name, test in tests.items() if name.startswith("test_")}


@pytest.mark.parametrize("name", sorted(shown()))
async def test_what_the_page_shows_runs(faultline: Session, name: str) -> None:
    await shown()[name](faultline)


async def test_the_failure_rate_is_that_of_requests_and_half_of_the_failures_come_after_the_effect(
    faultline: Session,
) -> None:
    venue = await faultline.venue("generic")
    login = {"client_id": venue.client_id, "client_secret": venue.client_secret}
    injector = NetworkFailureInjector(failure_rate=0.6, on="POST /auth/token")
    failed = 0
    async with aiohttp.ClientSession(venue.url) as client:
        for _ in range(2):
            with injector:
                for _ in range(150):
                    try:
                        async with client.post("/auth/token", json=login, timeout=aiohttp.ClientTimeout(total=1)):
                            pass
                    except (aiohttp.ClientError, TimeoutError):
                        failed += 1
                async with client.get("/health") as response:
                    assert response.status == 200
    struck = [event.fault for event in faultline.history.of(Struck)]
    assert 0.5 < failed / 300 < 0.7
    assert failed == len(struck)
    assert 0.7 < struck.count("lost_request") / struck.count("lost_response") < 1.4


@pytest.mark.parametrize(("profile", "symbol"), [("projectx", "NQ"), ("binance", "BTCUSDT"), ("gate", "BTC_USDT")])
async def test_events_come_as_often_as_said_at_any_venue(faultline: Session, profile: str, symbol: str) -> None:
    await faultline.venue(profile)
    generator = HighVolumeEventGenerator(events_per_second=50, symbol=symbol)
    async with generator, SignalRDisconnectionInjector(disconnect_probability=1.0):
        await asyncio.sleep(2.0)
    assert 100 <= generator.events <= 102
    fills = [effect for effect in faultline.history.of(Effect) if effect.what == "fill"]
    assert len(fills) == generator.events
    await asyncio.sleep(2.0)
    assert generator.events <= 102
    assert sum(faultline.history.ledger.true_positions().values()) in (0, 1)


@pytest.mark.parametrize(
    "injector", [NetworkFailureInjector(), SignalRDisconnectionInjector(), HighVolumeEventGenerator()]
)
def test_outside_of_a_world_they_say_so(injector: Any) -> None:
    with (
        pytest.raises(UsageError, match=f"{type(injector).__name__} acts on a faultline world, and none is running"),
        injector,
    ):
        pass


async def test_what_cannot_be_is_told_at_once(faultline: Session) -> None:
    with pytest.raises(UsageError, match="start a venue before"), NetworkFailureInjector():
        pass
    with pytest.raises(UsageError, match="start a venue before"), HighVolumeEventGenerator():
        pass
    await faultline.venue("mexc")
    with pytest.raises(UsageError, match="nothing that matches"), SignalRDisconnectionInjector():
        pass
    with NetworkFailureInjector() as injector, pytest.raises(UsageError, match="active already"), injector:
        pass
    with injector:
        pass
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="failure_rate is a share from 0 to 1"):
            NetworkFailureInjector(failure_rate=wrong)
        with pytest.raises(ValueError, match="disconnect_probability is a share"):
            SignalRDisconnectionInjector(disconnect_probability=wrong)
    for rate in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="events_per_second is more than 0"):
            HighVolumeEventGenerator(events_per_second=rate)


async def test_nobody_else_charges_a_card(faultline: Session) -> None:
    await faultline.venue("payments")
    with pytest.raises(UsageError, match="at the payments venue nobody else can trade"), HighVolumeEventGenerator():
        pass

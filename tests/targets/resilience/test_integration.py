"""The components together, at a venue in the simulated world, with the settings that they come with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from faultline.faults import Disconnect, DropMessage, LostRequest, LostResponse, Refuse, StatusStorm, TokenExpiry
from faultline.session import Session
from targets.resilience.config import ConfigurationManager, RateLimits, StateConfig, VenueConfig
from targets.resilience.connection_manager import ConnectionState
from targets.resilience.error_handler import ErrorHandlerConfig
from targets.resilience.errors import APIError, ServiceUnavailableError, StateUnavailableError
from targets.resilience.order_manager import OrderRequest, OrderStatus, OrderType, OrderUncertainError
from targets.resilience.rate_limiter import BucketRule, RateLimiterConfig
from targets.resilience.state_reconciler import StateReconcilerConfig
from targets.resilience.system import IntegratedSystem, SystemConfig, generic_system

from ..conftest import Stage, on_stage
from .venue_double import until

REQUEST = OrderRequest(id="A", account_id=1, contract_id="NQ", size=4, type=OrderType.LIMIT, limit_price=Decimal(100))
EXAMPLE = Path(__file__).parents[3] / "targets" / "resilience" / "config.example.yaml"
LIMITS = RateLimits(
    buckets={"history": RateLimiterConfig(50, 30, 1000), "others": RateLimiterConfig(200, 60, 1000)},
    rules=(BucketRule("History/*", ("history",)),),
    default=("others",),
)
RARELY = StateReconcilerConfig(sweep_interval=3_600_000)
"""What is fetched in these tests is fetched for a reason."""


def system_at(stage: Stage, **settings: Any) -> IntegratedSystem:
    venue = stage.venue
    config = SystemConfig(
        venue=VenueConfig(venue.url, venue.stream_url, venue.client_id, venue.client_secret),
        state=StateConfig(str(stage.store)),
        rate_limits=LIMITS,
        state_reconciler=RARELY,
    )
    return generic_system(replace(config, **settings))


@asynccontextmanager
async def running(stage: Stage, **settings: Any) -> AsyncIterator[IntegratedSystem]:
    system = system_at(stage, **settings)
    await system.start()
    try:
        yield system
        assert system.state_manager.verify_state_consistency()
    finally:
        await system.stop()


async def test_token_refresh_during_active_operation(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, token_ttl_s=2 * 3600 + 600)
    async with running(stage) as system:
        await asyncio.sleep(597)
        first = system.token_manager.state
        assert first is not None
        assert not stage.arrivals("POST /auth/refresh")
        for _ in range(10):
            await system.order_manager.fetch_orders()
            await asyncio.sleep(0.5)
        second = system.token_manager.state
        assert second is not None
        assert second.expiry > first.expiry
    assert len(stage.arrivals("POST /auth/refresh")) == 1
    assert 599 < stage.arrivals("POST /auth/refresh")[0] < 602


async def test_a_token_that_ends_in_the_middle_is_renewed_once(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with running(stage, error_handler=ErrorHandlerConfig(unauthorized_retries=1)) as system:
        with faultline.inject(TokenExpiry(on="GET /orders", nth=3)):
            for _ in range(5):
                await asyncio.gather(*(system.order_manager.fetch_orders() for _ in range(3)))
    assert len(stage.arrivals("POST /auth/refresh")) == 1


async def test_signalr_reconnection_with_state_sync(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, fill_delay_s=1.0)
    async with running(stage) as system:
        states: list[tuple[ConnectionState, ConnectionState]] = []
        system.signalr_manager.on_state(lambda old, new, reason: states.append((old, new)))
        await system.order_manager.place_order(REQUEST)
        # The fill comes while nobody listens: two reconnects are met by an outage, the third comes after 10 s.
        with faultline.inject(Disconnect(at_s=0.5), Refuse(on="stream", during_s=(0.4, 4.4))):
            await asyncio.sleep(5)
            assert system.state_reconciler.stale
            assert not (await system.health_check()).is_healthy
            await until(lambda: system.signalr_manager.state == ConnectionState.CONNECTED)
        assert states[0] == (ConnectionState.CONNECTED, ConnectionState.RECONNECTING)
        assert states[-2:] == [
            (ConnectionState.RECONNECTING, ConnectionState.SYNCHRONIZING),
            (ConnectionState.SYNCHRONIZING, ConnectionState.CONNECTED),
        ]
        # Level means: what was missed is known by then.
        assert system.state_manager.orders["A"].status == OrderStatus.FILLED
        assert await system.state_manager.get_positions() == {"NQ": Decimal(4)}
        assert (await system.health_check()).is_healthy


async def test_rate_limit_enforcement_across_components(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with running(stage) as system:
        began = faultline.now_s()
        asked = len(stage.arrivals("GET /fills"))
        history = asyncio.gather(*(system.order_manager.fetch_historical_data() for _ in range(60)))
        await asyncio.gather(*(system.order_manager.fetch_orders() for _ in range(100)))
        # Another bucket: history does not hold orders up.
        assert faultline.now_s() - began < 2
        await history
        assert 30 < faultline.now_s() - began < 32
    times = stage.arrivals("GET /fills")[asked:]
    assert all(late - early >= 30 for early, late in zip(times, times[50:], strict=False))


async def test_three_hundred_calls_at_once_meet_no_429(faultline: Session, tmp_path: Path) -> None:
    from faultline.venues.settings import RateLimit

    limit = RateLimit(name="all", limit=200, window_s=60.0, weights={"*": 1})
    stage = await on_stage(faultline, tmp_path, rate_limit=(limit,))
    async with running(stage, error_handler=ErrorHandlerConfig(deadline_seconds=300)) as system:
        before = len(stage.arrivals("GET /orders"))
        answers = await asyncio.gather(*(system.order_manager.fetch_orders() for _ in range(300)))
        assert answers == [()] * 300
        assert len(stage.arrivals("GET /orders")) == before + 300  # none was refused, and none repeated


async def test_circuit_breaker_triggers_fallback(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with running(stage) as system:
        with faultline.inject(StatusStorm(on="* /orders*", status=500)):
            for number in range(5):
                with suppress(APIError, ServiceUnavailableError):
                    await system.order_manager.place_order(replace(REQUEST, id=f"I{number}"))
            assert system.error_handler.circuit_breaker.is_open()
            assert "the circuit breaker is open" in (await system.health_check()).problems
            sent, now = len(stage.arrivals("POST /orders")), faultline.now_s()
            with pytest.raises(ServiceUnavailableError):
                await system.order_manager.place_order(replace(REQUEST, id="late"))
            assert (faultline.now_s(), len(stage.arrivals("POST /orders"))) == (now, sent)
            assert "late" not in system.state_manager.orders
        # Once it is over, what was left unknown is found out, and the request that was not sent may be asked again.
        await until(lambda: not system.error_handler.circuit_breaker.is_open(), within_s=90)
        await until(lambda: all(record.settled for record in system.state_manager.orders.values()), within_s=60)
        assert (await system.order_manager.place_order(replace(REQUEST, id="late"))).success


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
async def test_order_placement_with_network_failure(faultline: Session, tmp_path: Path, how: Any) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none", fill_delay_s=30, sequences=False)
    async with running(stage) as system:
        with faultline.inject(LostResponse(on="POST /orders", how=how), DropMessage()):
            if how == "silence":
                # No answer within the time that the caller waits. It is found out all the same.
                with pytest.raises(OrderUncertainError):
                    await system.order_manager.place_order(REQUEST)
                await until(lambda: system.state_manager.orders["A"].settled)
            assert (await system.order_manager.place_order(REQUEST)).success
    assert len(stage.orders) == len(stage.arrivals("POST /orders")) == 1


async def test_a_request_that_never_arrived_is_sent_again_when_it_no_longer_can(
    faultline: Session, tmp_path: Path
) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with running(stage) as system:
        with faultline.inject(LostRequest(on="POST /orders", how="rst", first=1)):
            with pytest.raises(APIError, match="no answer"):
                await system.order_manager.place_order(REQUEST)
            assert "some orders may or may not exist" in (await system.health_check()).problems
            await until(lambda: system.state_manager.orders["A"].settled)
    first, second = stage.arrivals("POST /orders")
    assert 20 <= second - first < 30
    assert len(stage.orders) == 1


async def test_what_an_earlier_process_left_unsettled_is_taken_up(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none", fill_delay_s=60, sequences=False)
    system = system_at(stage)
    await system.start()
    with faultline.inject(LostResponse(on="POST /orders"), DropMessage(), StatusStorm(on="GET /orders", status=500)):
        with pytest.raises(APIError):
            await system.order_manager.place_order(REQUEST)
        await system.stop()
    async with running(stage) as system:
        await until(lambda: system.state_manager.orders["A"].settled)
    assert len(stage.orders) == len(stage.arrivals("POST /orders")) == 1


async def test_what_an_earlier_process_never_got_through_is_sent(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    system = system_at(stage)
    await system.start()
    with faultline.inject(LostRequest(on="POST /orders")):
        with pytest.raises(APIError):
            await system.order_manager.place_order(REQUEST)
        await system.stop()
    async with running(stage) as system:
        await until(lambda: system.state_manager.orders["A"].settled)
    assert len(stage.orders) == 1


# The system itself


async def test_a_system_is_made_from_a_file(
    faultline: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await on_stage(faultline, tmp_path)
    monkeypatch.setenv("VENUE_CLIENT_ID", stage.venue.client_id)
    monkeypatch.setenv("VENUE_CLIENT_SECRET", stage.venue.client_secret)
    text = EXAMPLE.read_text().replace("https://api.example.com", stage.venue.url)
    text = text.replace("wss://stream.example.com", stage.venue.stream_url).replace("state.db", str(stage.store))
    (tmp_path / "config.yaml").write_text(text)
    configuration = ConfigurationManager(tmp_path / "config.yaml")
    configuration.load()
    system = generic_system(SystemConfig.of(configuration))
    await system.start()
    order = OrderRequest(id="today-1", account_id=1, contract_id="NQ", size=1, type=OrderType.MARKET)
    assert (await system.order_manager.place_order(order)).success
    assert (await system.health_check()).problems == ()
    await system.stop()


async def test_a_system_starts_without_its_venue_and_catches_up(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    system = system_at(stage)
    assert not system.is_running()
    with faultline.inject(StatusStorm(status=503)):
        await system.start(wait_s=5)
        assert 4.9 < faultline.now_s() < 5.5
        health = await system.health_check()
        assert "there is no valid token" in health.problems
        assert "the state may be behind the venue" in health.problems
    await until(lambda: not system.state_reconciler.stale, within_s=180)
    assert system.is_running()
    assert (await system.health_check()).is_healthy
    await system.stop()
    await system.stop()
    assert (await system.health_check()).problems[0] == "not running"


async def test_a_state_that_cannot_be_opened_ends_the_start(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    stage.store = tmp_path / "no such folder" / "state.db"
    system = system_at(stage)
    with pytest.raises(StateUnavailableError, match="unable to open"):
        await system.start(wait_s=2)
    assert not system.is_running()
    await system.stop()

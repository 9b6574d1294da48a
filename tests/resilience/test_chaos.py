"""What needs several clients, or calls that are no orders: the rest of the scenarios in ``scenarios/resilience``.

``make soak`` runs them under many seeds.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from faultline.faults import Disconnect, LostResponse, PartialFill, Refuse, StatusStorm, TokenExpiry
from faultline.history.event import Connected, TokenIssued
from faultline.injectors import HighVolumeEventGenerator, SignalRDisconnectionInjector
from faultline.oracles import NoDuplicates, RateLimitRespected, SingleFlightRefresh, ThunderingHerd, TokenValidAtSend
from faultline.session import Session
from targets.order_flow import CONFIG, OrderFlow
from targets.resilience.config import RateLimits
from targets.resilience.connection_state import ConnectionState, SignalRConfig
from targets.resilience.error_handler import ErrorHandlerConfig
from targets.resilience.errors import ResilienceError
from targets.resilience.order_manager import OrderRequest, OrderStatus, OrderType
from targets.resilience.rate_limiter import BucketRule, RateLimiterConfig
from targets.resilience.state_reconciler import StateReconcilerConfig
from targets.venue_flows import BinanceFlow, GateFlow, OkxFlow, ProjectXFlow

from .kit import arrivals, running, statuses, system_at, until

FIVE = pytest.mark.faultline(seeds=5)
AS_PUBLISHED = RateLimits(
    buckets={"history": RateLimiterConfig(50, 30, 1000), "others": RateLimiterConfig(200, 60, 1000)},
    rules=(BucketRule("History/*", ("history",)),),
    default=("others",),
)
STREAMS = pytest.mark.parametrize(
    ("profile", "flow", "symbol"),
    [
        ("generic", OrderFlow, "NQ"),
        ("projectx", ProjectXFlow, "NQ"),
        ("binance", BinanceFlow, "BTCUSDT"),
        ("okx", OkxFlow, "BTC-USDT"),
        ("gate", GateFlow, "BTC_USDT"),
    ],
)


@FIVE
async def test_rate_limit_burst_of_300_calls_meets_no_429(faultline: Session) -> None:
    venue = await faultline.venue("projectx")
    system = system_at(venue, ProjectXFlow, rate_limits=AS_PUBLISHED)
    async with running(system):
        began_s = faultline.now_s()
        orders = await asyncio.gather(*(system.order_manager.fetch_orders() for _ in range(300)))
        # Two hundred at once, the rest when the window has passed.
        assert 60 <= faultline.now_s() - began_s < 75
    assert (len(orders), statuses(faultline)) == (300, {200, 101})
    faultline.check(RateLimitRespected())


async def test_rate_limit_burst_of_history_calls_waits_for_its_own_window(faultline: Session) -> None:
    venue = await faultline.venue("generic")
    system = system_at(venue, OrderFlow, rate_limits=AS_PUBLISHED)
    async with running(system):
        began_s = faultline.now_s()
        await asyncio.gather(*(system.order_manager.fetch_historical_data() for _ in range(60)))
        assert 30 <= faultline.now_s() - began_s < 31
    assert 429 not in statuses(faultline)


@FIVE
@pytest.mark.parametrize(("profile", "flow"), [("generic", OrderFlow), ("projectx", ProjectXFlow)])
async def test_a_hundred_concurrent_refreshes_are_one(faultline: Session, profile: str, flow: Any) -> None:
    venue = await faultline.venue(profile)
    limits = RateLimits(buckets={"all": RateLimiterConfig(10_000, 1.0, 10_000)}, default=("all",))
    handler = replace(CONFIG.error_handler, unauthorized_retries=1)
    system = system_at(venue, flow, rate_limits=limits, error_handler=handler)
    async with running(system):
        issued = len(faultline.history.of(TokenIssued))
        with faultline.inject(TokenExpiry(at_s=0.1)):
            await asyncio.sleep(0.2)
            tokens = await asyncio.gather(
                *(system.order_manager.fetch_orders() for _ in range(50)),
                *(system.token_manager.get_valid_token() for _ in range(50)),
            )
        assert len(tokens) == 100
        assert len(faultline.history.of(TokenIssued)) == issued + 1
        assert (await system.health_check()).is_healthy
    faultline.check(SingleFlightRefresh(), TokenValidAtSend())


@FIVE
async def test_twenty_clients_reconnecting_at_once_are_no_herd(faultline: Session) -> None:
    venue = await faultline.venue("generic", heartbeat_s=5.0)
    stream = replace(CONFIG.signalr, reconnect_delays=(0, 1_000, 2_000), spread=12_000, jitter=0.5)
    systems = [system_at(venue, OrderFlow, signalr=stream) for _ in range(21)]
    async with running(*systems):
        with faultline.inject(Disconnect(at_s=1.0, how="rst")):
            await asyncio.sleep(1.001)
            assert not any(system.signalr_manager.healthy for system in systems)
            await until(
                lambda: all(system.signalr_manager.state is ConnectionState.CONNECTED for system in systems),
                within_s=60,
            )
        assert not any(system.state_reconciler.stale for system in systems)
    faultline.check(ThunderingHerd())


@FIVE
@STREAMS
async def test_two_clients_on_one_account_see_each_others_trades_and_touch_none(
    faultline: Session, profile: str, flow: Any, symbol: str
) -> None:
    venue = await faultline.venue(profile, fill_delay_s=0.5)
    contract = flow.contracts.get(symbol, symbol)
    one, other = system_at(venue, flow), system_at(venue, flow)

    def order(name: str, price: int) -> OrderRequest:
        return OrderRequest("", contract, 4, OrderType.LIMIT, limit_price=Decimal(price), id=name)

    async with running(one, other):
        with faultline.inject(Disconnect(every_s=1.0, on="stream user"), PartialFill(probability=0.5)):
            for number in range(4):
                # The same ids: each client has its own, and a key that collides is somebody else's order.
                with faultline.intent("buy", quantity=4, price=1000 + number, symbol=symbol):
                    assert (await one.order_manager.place_order(order(f"one {number}", 1000 + number))).success
                with faultline.intent("buy", quantity=4, price=2000 + number, symbol=symbol):
                    assert (await other.order_manager.place_order(order(f"other {number}", 2000 + number))).success
        for system in (one, other):
            await until(lambda system=system: system.state_manager.positions.get(contract) == 32, within_s=60)
            assert len(system.state_manager.orders) == 4
            assert {record.status for record in system.state_manager.orders.values()} == {OrderStatus.FILLED}
    faultline.check(NoDuplicates())


@pytest.mark.parametrize(
    ("profile", "flow", "symbol"),
    [("generic", OrderFlow, "NQ"), ("projectx", ProjectXFlow, "NQ")],
)
async def test_signalr_disconnection_during_high_volume_loses_nothing(
    faultline: Session, profile: str, flow: Any, symbol: str
) -> None:
    venue = await faultline.venue(profile)
    contract = flow.contracts.get(symbol, symbol)
    system = system_at(venue, flow)
    async with running(system):
        event_generator = HighVolumeEventGenerator(events_per_second=60, symbol=symbol)
        disconnection_injector = SignalRDisconnectionInjector(disconnect_probability=0.1)
        with event_generator, disconnection_injector:
            await asyncio.sleep(60)
        assert event_generator.events >= 3600
        connections = {event.connection for event in faultline.history.of(Connected)}
        state = system.state_manager
        await until(lambda: len(state.fills) == event_generator.events, within_s=60)
        (held,) = faultline.history.ledger.true_positions().values()
        assert state.positions[contract] == held
        assert not system.state_reconciler.stale
        assert len(connections) > 1


async def test_24_hours_with_a_health_check_each_minute(faultline: Session) -> None:
    # Tokens live for eight hours, the stream beats each minute, and once an hour something goes wrong for a moment.
    venue = await faultline.venue("generic", token_ttl_s=8 * 3600, heartbeat_s=60)
    system = system_at(
        venue,
        OrderFlow,
        token_manager=replace(CONFIG.token_manager, refresh_buffer_seconds=7200),
        error_handler=ErrorHandlerConfig(),
        signalr=SignalRConfig(max_reconnect_attempts=None, ping_interval=90_000, jitter=0.5),
        state_reconciler=StateReconcilerConfig(sweep_interval=300_000),
    )
    unhealthy: list[tuple[float, tuple[str, ...]]] = []
    async with running(system):
        with faultline.inject(
            Disconnect(at_s=1830.0, every_s=3600.0, on="stream user"), LostResponse(on="POST /auth/refresh", first=1)
        ):
            for minute in range(24 * 60):
                await asyncio.sleep(60)
                health = await system.health_check()
                if not health.is_healthy:
                    unhealthy.append((faultline.now_s(), health.problems))
                if minute % 240 == 120:
                    request = OrderRequest("", "NQ", 4, OrderType.LIMIT, limit_price=Decimal(1000 + minute))
                    assert (await system.order_manager.place_order(request)).success
        assert faultline.now_s() > 86_400
        assert system.state_manager.positions == {"NQ": Decimal(24)}
    assert unhealthy == []
    assert len(arrivals(faultline, "POST /auth/refresh")) >= 3
    faultline.check(SingleFlightRefresh(), TokenValidAtSend())


@FIVE
async def test_server_error_cascade_of_queries_recovers_by_itself(faultline: Session) -> None:
    venue = await faultline.venue("generic")
    system = system_at(venue, OrderFlow, circuit_breaker=replace(CONFIG.circuit_breaker, timeout=60_000))
    async with running(system):
        with faultline.inject(
            StatusStorm(on="GET /orders", status=500, first=20), Refuse(on="stream", during_s=(0, 5))
        ):
            began_s = faultline.now_s()
            for _ in range(30):
                try:
                    await system.order_manager.fetch_orders()
                except ResilienceError:
                    await asyncio.sleep(60)
                else:
                    break
            else:
                pytest.fail("it did not recover")
            assert faultline.now_s() - began_s < 15 * 60
        assert not system.error_handler.circuit_breaker.is_open()
    asked = arrivals(faultline, "GET /orders")
    # The breaker kept everybody from asking meanwhile.
    assert max(later - earlier for earlier, later in pairwise(asked)) >= 60

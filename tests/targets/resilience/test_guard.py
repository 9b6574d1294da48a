"""The risk engine in the composition, at a venue in the simulated world."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from faultline.faults import Disconnect, LostRequest, LostResponse, Refuse, Reject, StatusStorm
from faultline.session import Session
from targets.resilience.errors import APIError, StateUnavailableError
from targets.resilience.order_manager import OrderManagerConfig, OrderRequest, OrderStatus, OrderType
from targets.resilience.risk import RiskConfig, RiskRejectedError
from targets.resilience.state_reconciler import StateReconcilerConfig
from targets.resilience.system import IntegratedSystem
from targets.resilience.venue import Fill, OrderSide

from ..conftest import Stage, on_stage
from .test_integration import running
from .venue_double import until

RETRIES = OrderManagerConfig(verification_timeout=60_000, retry_unsent=True)


def risk(**rules: Any) -> RiskConfig:
    return RiskConfig.read({"rules": rules})


def order(intent: str, size: int = 4, **more: Any) -> OrderRequest:
    terms: dict[str, Any] = {"type": OrderType.LIMIT, "limit_price": Decimal(100)} | more
    return OrderRequest(id=intent, account_id=1, contract_id="NQ", size=size, **terms)


def guarded(stage: Stage, config: RiskConfig | None = None, **settings: Any) -> Any:
    quick = StateReconcilerConfig(sweep_interval=1_000)
    return running(stage, risk=config or RiskConfig(), order_manager=RETRIES, **{"state_reconciler": quick, **settings})


def book(system: IntegratedSystem) -> Any:
    assert system.guard is not None
    return system.guard.engine.book


async def test_an_order_without_an_answer_counts_until_its_fate_is_known(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none", fill_delay_s=60)
    async with guarded(stage, risk(max_contracts={"quantity_max": 6})) as system:
        with faultline.inject(LostRequest(on="POST /orders", first=1)):
            placing = asyncio.create_task(system.order_manager.place_order(order("A")))
            await asyncio.sleep(10)
            assert system.state_manager.orders["A"].status == OrderStatus.UNKNOWN
            with pytest.raises(RiskRejectedError, match="could reach 8"):
                await system.order_manager.place_order(order("B"))
            assert "B" not in system.state_manager.orders
            assert (await placing).success
        assert book(system).working["A"].certain
        await system.order_manager.cancel_order("A")
        assert not book(system).working
        assert (await system.order_manager.place_order(order("B"))).success
    assert len(stage.orders) == 2


async def test_what_is_declined_or_could_not_be_written_down_counts_no_longer(
    faultline: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with guarded(stage) as system:
        with faultline.inject(Reject(reason="insufficient_funds")):
            assert not (await system.order_manager.place_order(order("A"))).success
        assert not book(system).working

        async def full(record: Any) -> None:
            raise StateUnavailableError("disk full")

        monkeypatch.setattr(system.state_manager, "add_order", full)
        with suppress(StateUnavailableError):
            await asyncio.wait_for(system.order_manager.place_order(order("B")), 70)
        await until(lambda: not book(system).working, within_s=10)


async def test_a_replacement_is_asked_about_and_counts_at_its_larger_size(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, fill_delay_s=60)
    async with guarded(stage, risk(max_contracts={"quantity_max": 10})) as system:
        orders = system.order_manager
        await orders.place_order(order("A"))
        price = Decimal(101)
        assert not (await orders.replace_order("A", size=Decimal(11), limit_price=price, id="R1")).success
        assert (await orders.replace_order("A", size=Decimal(9), limit_price=price, id="R2")).success
        assert book(system).exposure("NQ") == (0, 9)
        with pytest.raises(RiskRejectedError):
            await orders.place_order(order("B", 2))
    async with guarded(stage, risk(max_contracts={"quantity_max": 10})) as system:
        assert book(system).exposure("NQ") == (0, 9), "the larger size also counts after a restart"
    assert len(stage.arrivals("PUT /orders/{id}")) == 1


async def test_a_kill_stops_a_retry_that_waits_and_the_next_process_knows(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with guarded(stage) as system:
        assert system.guard is not None
        with faultline.inject(StatusStorm(on="POST /orders", status=429, retry_after_s=3)):
            placing = asyncio.create_task(system.order_manager.place_order(order("A")))
            await asyncio.sleep(1)
            sent = len(stage.arrivals("POST /orders"))
            # The engine alone: what is closed and cancelled otherwise must not be what stops it.
            system.guard.engine._killed = "by hand"
        assert not (await placing).success
        assert len(stage.arrivals("POST /orders")) == sent == 1
        assert system.state_manager.orders["A"].status == OrderStatus.CANCELED
        await system.guard.kill("enough")
        assert "the kill switch is on" in (await system.health_check()).problems
    async with guarded(stage) as system:
        with pytest.raises(RiskRejectedError, match="kill_switch: enough"):
            await system.order_manager.place_order(order("B"))
    assert not stage.orders


async def test_a_kill_closes_what_is_held_once_although_nobody_answers(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with guarded(stage, risk(max_order_size={"quantity_max": 4})) as system:
        assert system.guard is not None
        for intent in "AB":
            await system.order_manager.place_order(order(intent, type=OrderType.MARKET, limit_price=None))
        await until(lambda: book(system).holdings["NQ"].reported == 8)
        lost = LostResponse(on="POST /orders"), Disconnect(at_s=0.0), Refuse(on="stream"), StatusStorm(on="GET *")
        with faultline.inject(*lost):
            await system.guard.kill("enough", label="Kill")
            await asyncio.sleep(30)
            assert system.guard.engine.flattening, "nobody has said that it is closed"
        await until(lambda: not system.guard.engine.flattening)
        assert await system.state_manager.get_positions() == {"NQ": 0}
    closes = stage.orders[2:]
    # No limit on the size of an order keeps a position open.
    assert [(each.side, each.quantity) for each in closes] == [("sell", "8")]
    assert closes[0].key.startswith("Kill")


async def test_a_kill_cancels_what_is_open_and_asks_again_after_a_refusal(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, fill_delay_s=300)
    async with guarded(stage) as system:
        assert system.guard is not None
        for intent in "AB":
            assert (await system.order_manager.place_order(order(intent))).success
        with faultline.inject(StatusStorm(on="DELETE /orders/{id}", status=400, first=2)):
            await system.guard.kill("enough")
            await until(lambda: not system.guard.engine.flattening)  # type: ignore[union-attr]
        assert {record.status for record in system.state_manager.orders.values()} == {OrderStatus.CANCELED}
    assert len(stage.arrivals("DELETE /orders/{id}")) == 4
    assert len(stage.orders) == 2


async def test_positions_that_cannot_be_asked_for_hold_nothing_up(
    faultline: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with guarded(stage) as system:
        with faultline.inject(StatusStorm(on="GET /positions", status=500)):
            await system.order_manager.place_order(order("A", type=OrderType.MARKET, limit_price=None))
            await asyncio.sleep(3)
            assert "the venue's positions are not known" in caplog.text
            assert book(system).exposure("NQ") == (4, 4)
        await until(lambda: book(system).holdings["NQ"].reported == 4)


async def test_a_lock_for_the_day_is_durable_at_once(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    config = RiskConfig.read({"rules": {"daily_realized_loss": {"amount": 5}}, "check_interval_s": 600})
    async with guarded(stage, config) as system:
        for number, side, price in ((1, OrderSide.BUY, 100), (2, OrderSide.SELL, 90)):
            fill = Fill(f"f{number}", "order9", "NQ", side, Decimal(1), Decimal(price))
            await system.state_manager.apply(fill)
        await asyncio.sleep(0.1)
        assert "daily_realized_loss" in str(system.state_manager.get("risk", "saved"))


async def test_a_close_that_would_open_by_the_time_it_is_sent_is_not_sent(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with guarded(stage) as system:
        assert system.guard is not None
        await system.order_manager.place_order(order("A", type=OrderType.MARKET, limit_price=None))
        await until(lambda: book(system).holdings["NQ"].reported == 4)
        with faultline.inject(StatusStorm(on="POST /orders", status=429, retry_after_s=3, first=1)):
            flat = asyncio.create_task(system.guard.flatten(wait_s=60))
            await until(lambda: stage.arrivals("POST /orders")[1:])
            # The position is gone before the second try.
            fill = Fill("elsewhere", "order99", "NQ", OrderSide.SELL, Decimal(4), Decimal(100))
            await system.state_manager.apply(fill)
            await asyncio.sleep(4)
        assert len(stage.arrivals("POST /orders")) == 2
        flat.cancel()


async def test_a_restart_counts_what_may_be_live_before_anything_is_sent(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none", fill_delay_s=60)
    limit = risk(max_contracts={"quantity_max": 6})
    async with guarded(stage, limit) as system:
        with faultline.inject(LostRequest(on="POST /orders")):
            placing = asyncio.create_task(system.order_manager.place_order(order("A")))
            await asyncio.sleep(3)
    with suppress(APIError):
        await placing
    async with guarded(stage, limit) as system:
        with pytest.raises(RiskRejectedError):
            await system.order_manager.place_order(order("B"))
        await until(lambda: system.state_manager.orders["A"].settled)
    assert len(stage.orders) == 1


async def test_the_days_result_and_the_position_survive_a_restart_exactly(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    market = {"type": OrderType.MARKET, "limit_price": None}
    limit = risk(daily_realized_loss={"amount": 10_000})
    async with guarded(stage, limit) as system:
        await system.order_manager.place_order(order("A", 4, **market))
        await system.order_manager.place_order(order("B", 1, side=OrderSide.SELL, **market))
        await until(lambda: len(system.state_manager.fills) == 2)
        await asyncio.sleep(1)
        before = book(system).realized, book(system).holdings["NQ"].average_price
        # A fill that was stored, and the process died before the engine's count of it was.
        saved = system.state_manager.get("risk", "saved")
        late = Fill("late", "order9", "NQ", OrderSide.SELL, Decimal(1), before[1] - 7)
        await system.state_manager.apply(late)
        await asyncio.sleep(0.5)
        assert book(system).realized == before[0] - 7
        assert saved is not None
        await system.state_manager.put("risk", "saved", saved)
        assert book(system).holdings["NQ"].filled == 2
        # Another fill is taken back: it never counted, also for the next process.
        for voided in (False, True):
            bust = Fill("bust", "order8", "NQ", OrderSide.BUY, Decimal(3), Decimal(50), voided=voided)
            await system.state_manager.apply(bust)
    async with guarded(stage, limit) as system:
        assert book(system).realized == before[0] - 7
        assert (book(system).holdings["NQ"].filled, book(system).holdings["NQ"].average_price) == (2, before[1])


async def test_a_position_that_no_fill_explains_is_adopted_after_two_sweeps(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    market = {"type": OrderType.MARKET, "limit_price": None}
    async with guarded(stage) as system:
        await system.order_manager.place_order(order("A", 4, **market))
        await until(lambda: book(system).holdings.get("NQ") and book(system).holdings["NQ"].reported == 4)
        # Our own arithmetic goes wrong by a contract.
        await system.state_manager.apply(Fill("ghost", "order77", "NQ", OrderSide.BUY, Decimal(1), Decimal(100)))
        assert book(system).exposure("NQ") == (4, 5)
        # A disk that refuses the correction puts it off, and ends nothing.
        adopt, tried = system.state_manager.adopt_positions, []

        async def full_at_first(positions: Any) -> None:
            tried.append(faultline.now_s())
            if len(tried) == 1:
                raise StateUnavailableError("disk full")
            await adopt(positions)

        system.state_manager.adopt_positions = full_at_first  # type: ignore[method-assign]
        await asyncio.sleep(5)
        assert system.state_manager.positions["NQ"] == 5, "fills may be merely late"
        await until(lambda: system.state_manager.positions["NQ"] == 4, within_s=10)
        assert book(system).exposure("NQ") == (4, 4)
        assert system.alerts is not None
        assert "position/NQ" in system.alerts.active
        assert len(tried) == 2
        assert system.state_manager.verify_state_consistency()
    async with guarded(stage) as system:
        assert book(system).exposure("NQ") == (4, 4)


async def test_a_stale_state_and_a_closed_account_open_nothing(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with guarded(stage, risk(stale_state_guard={}, auth_loss_guard={})) as system:
        assert (await system.order_manager.place_order(order("A", 1))).success
        with faultline.inject(Disconnect(at_s=0.0), Refuse(on="stream", during_s=(0.0, 8.0))):
            await asyncio.sleep(5)
            with pytest.raises(RiskRejectedError, match="stale_state_guard"):
                await system.order_manager.place_order(order("B", 1))
            await until(lambda: not system.state_reconciler.stale)
        assert (await system.order_manager.place_order(order("B", 1))).success
        await until(lambda: len(system.state_manager.fills) == 2)
        account = await system.guard._venue.account()  # type: ignore[union-attr]

        async def closed() -> Any:
            return replace(account, can_trade=False)

        system.guard._venue.account = closed  # type: ignore[union-attr,method-assign]
        await asyncio.sleep(4)
        with pytest.raises(RiskRejectedError, match="auth_loss_guard"):
            await system.order_manager.place_order(order("C", 1))


async def test_a_part_of_the_guard_that_dies_is_loud(
    faultline: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with guarded(stage) as system:
        system.guard._compare = None  # type: ignore[union-attr,method-assign,assignment]
        await asyncio.sleep(3)
        assert "a part of the guard died" in caplog.text


async def test_complete_trading_workflow(faultline: Session, tmp_path: Path) -> None:
    """From the start, over a trade made elsewhere that breaks a rule, to its enforcement and the shutdown."""
    stage = await on_stage(faultline, tmp_path)
    elsewhere = replace_store(stage, tmp_path / "elsewhere.db")
    async with guarded(stage, risk(max_contracts={"quantity_max": 3})) as system, running(elsewhere) as platform:
        assert system.is_running()
        assert (await system.health_check()).is_healthy
        await platform.order_manager.place_order(order("by hand", type=OrderType.MARKET, limit_price=None))
        await until(lambda: system.state_manager.positions.get("NQ") == 4, within_s=30)
        await until(lambda: system.state_manager.positions["NQ"] == 0, within_s=30)
        assert system.alerts is not None
        await until(lambda: "breach/max_contracts/" not in system.alerts.active, within_s=30)  # type: ignore[union-attr]
        assert await system.state_manager.get_positions() == {"NQ": 0}
    assert not system.is_running()
    assert [(each.side, each.quantity) for each in stage.orders] == [("buy", "4"), ("sell", "4")]


def replace_store(stage: Stage, store: Path) -> Stage:
    return Stage(stage.session, stage.venue, store)

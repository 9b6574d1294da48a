"""The engine: the kill switch, locks, flattening, restarts; on virtual time."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from faultline.session import Session
from targets.resilience.alerts import Alert, AlertConfig, AlertManager, CallbackChannel
from targets.resilience.errors import APIError, StateUnavailableError
from targets.resilience.risk import (
    AccountEvent,
    OrderEvent,
    PositionEvent,
    Proposal,
    QuoteEvent,
    RiskConfig,
    RiskEngine,
    RiskRejectedError,
    TradeEvent,
)

CHICAGO = ZoneInfo("America/Chicago")


class Market:
    """Fills closes at once unless told otherwise, and remembers what it was asked."""

    def __init__(self) -> None:
        self.engine: RiskEngine
        self.asked: list[str] = []
        self.closes: list[Proposal] = []
        self.answers: list[str] = []
        self.cancel_fails = 0
        self.fills = 0

    async def cancel(self, intent: str) -> None:
        self.asked.append(f"cancel {intent}")
        if self.cancel_fails:
            self.cancel_fails -= 1
            raise APIError("busy", 503)
        await self.engine.handle_order_event(OrderEvent(intent, "ended"))

    async def close(self, order: Proposal) -> None:
        self.asked.append(f"{order.side} {order.quantity} {order.symbol}")
        self.closes.append(order)
        answer = self.answers.pop(0) if self.answers else "filled"
        if answer == "declined":
            raise APIError("no", 400)
        if answer == "lost":
            raise APIError("no answer")
        if answer == "filled":
            await self.fill(order)

    async def fill(self, order: Proposal, price: int = 100) -> None:
        self.fills += 1
        await self.engine.handle_trade_event(
            TradeEvent(f"X{self.fills}", order.symbol, order.side, order.quantity, Decimal(price), intent=order.intent)
        )


class Memory:
    def __init__(self) -> None:
        self.text: str | None = None
        self.full = False
        self.saves = 0

    async def load(self) -> str | None:
        return self.text

    async def save(self, text: str) -> None:
        if self.full:
            raise StateUnavailableError("disk full")
        self.saves += 1
        self.text = text


class Clock:
    def __init__(self, at: datetime) -> None:
        self.at_s = at.timestamp()

    def __call__(self) -> float:
        return self.at_s

    def set(self, *at: int) -> None:
        self.at_s = datetime(*at, tzinfo=CHICAGO).timestamp()  # type: ignore[misc,arg-type]


def config(**rules: object) -> RiskConfig:
    return RiskConfig.read({"rules": rules})


def engine_of(market: Market, chosen: RiskConfig | None = None, **more: object) -> RiskEngine:
    market.engine = RiskEngine(chosen or RiskConfig(), market, **more)  # type: ignore[arg-type]
    return market.engine


def buy(intent: str, quantity: int = 1, symbol: str = "NQ") -> Proposal:
    return Proposal(intent, symbol, "buy", Decimal(quantity))


def bought(number: int, quantity: int, price: int = 100) -> TradeEvent:
    return TradeEvent(f"T{number}", "NQ", "buy", Decimal(quantity), Decimal(price))


def sold(number: int, quantity: int, price: int = 100) -> TradeEvent:
    return TradeEvent(f"T{number}", "NQ", "sell", Decimal(quantity), Decimal(price))


async def test_an_admitted_order_is_live_and_the_next_one_is_judged_with_it(faultline: Session) -> None:
    engine = engine_of(Market(), config(max_contracts={"quantity_max": 3}))
    engine.admit(buy("A", 2))
    assert engine.check(buy("A", 2)).allowed
    with pytest.raises(RiskRejectedError, match="max_contracts: could reach 4") as caught:
        engine.admit(buy("B", 2))
    assert caught.value.decision.rule == "max_contracts"
    await engine.handle_order_event(OrderEvent("A", "unknown"))
    assert not engine.check(buy("B", 2)).allowed
    await engine.handle_order_event(OrderEvent("A", "ended"))
    assert engine.check(buy("B", 2)).allowed


async def test_the_kill_switch_stops_opening_orders_retries_included_and_lets_closing_ones_through(
    faultline: Session,
) -> None:
    market = Market()
    engine = engine_of(market)
    waiting = buy("waiting")
    engine.admit(waiting)
    await engine.handle_trade_event(bought(1, 3))
    market.answers = ["lost"]
    await engine.kill("the operator said so")
    assert engine.check(waiting).rule == "kill_switch"
    assert engine.check(buy("new")).rule == "kill_switch"
    await asyncio.sleep(0.1)
    assert market.asked == ["cancel waiting", "sell 3 NQ"]
    assert engine.check(Proposal("x", "NQ", "sell", Decimal(1))).rule == "kill_switch"
    await engine.resume()
    assert engine.check(buy("new")).allowed
    await engine.stop()


async def test_what_only_closes_is_let_through_by_the_switch_and_by_a_lock(faultline: Session) -> None:
    engine = engine_of(Market(), config(daily_realized_loss={"amount": 10}))
    await engine.handle_trade_event(bought(1, 3))
    await engine.kill("now")
    sell = Proposal("by hand", "NQ", "sell", Decimal(3))
    assert engine.check(sell).allowed
    assert engine.check(Proposal("turn", "NQ", "sell", Decimal(4))).rule == "kill_switch"
    await engine.resume()
    await engine.handle_trade_event(sold(2, 1, 80))
    assert engine.locked
    assert engine.check(Proposal("by hand", "NQ", "sell", Decimal(2))).allowed


async def test_flattening_cancels_closes_and_ends_when_nothing_is_left(faultline: Session) -> None:
    market = Market()
    engine = engine_of(market)
    await engine.handle_trade_event(bought(1, 3))
    await engine.handle_position_event(PositionEvent("ES", Decimal(-2)))
    engine.admit(buy("open"))
    market.cancel_fails = 1
    closing = asyncio.create_task(engine.flatten())
    await asyncio.sleep(0)
    await asyncio.sleep(0.5)
    assert not closing.done()
    await engine.handle_position_event(PositionEvent("ES", Decimal(0)))
    await closing
    assert market.asked == ["buy 2 ES", "cancel open", "sell 3 NQ", "cancel open"]


async def test_a_close_whose_fate_is_unknown_is_not_sent_again(faultline: Session) -> None:
    market = Market()
    engine = engine_of(market)
    await engine.handle_trade_event(bought(1, 3))
    market.answers = ["lost"]
    closing = asyncio.create_task(engine.flatten("NQ"))
    await asyncio.sleep(20)
    assert market.asked == ["sell 3 NQ"]
    # It turns out to have been filled in part, and then to be over: the rest is closed, and only the rest.
    (order,) = market.closes
    await engine.handle_trade_event(TradeEvent("late", "NQ", "sell", Decimal(2), Decimal(100), intent=order.intent))
    await asyncio.sleep(20)
    assert len(market.closes) == 1
    await engine.handle_order_event(OrderEvent(order.intent, "ended"))
    await closing
    assert market.asked == ["sell 3 NQ", "sell 1 NQ"]
    assert engine.book.exposure("NQ") == (0, 0)


async def test_a_declined_close_is_sent_again_under_a_new_id(faultline: Session) -> None:
    market = Market()
    engine = engine_of(market)
    await engine.handle_trade_event(bought(1, 3))
    market.answers = ["declined", "declined"]
    await engine.flatten()
    assert market.asked == ["sell 3 NQ"] * 3
    assert len({order.intent for order in market.closes}) == 3


async def test_a_second_flattening_widens_the_first(faultline: Session) -> None:
    market = Market()
    engine = engine_of(market)
    await engine.handle_trade_event(bought(1, 1))
    await engine.handle_position_event(PositionEvent("ES", Decimal(2)))
    market.answers = ["lost"]
    first = asyncio.create_task(engine.flatten("NQ"))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(engine.flatten("ES"))
    await asyncio.sleep(0.1)
    assert "sell 2 ES" in market.asked
    third = asyncio.create_task(engine.flatten())
    await asyncio.sleep(0)
    narrower = asyncio.create_task(engine.flatten("ES"))
    await asyncio.sleep(0.1)
    await engine.handle_position_event(PositionEvent("ES", Decimal(0)))
    await market.fill(market.closes[0])
    await asyncio.gather(first, second, third, narrower)


async def test_a_day_rule_closes_everything_and_locks_until_the_next_trading_day(faultline: Session) -> None:
    market, clock = Market(), Clock(datetime(2026, 3, 2, 10, tzinfo=CHICAGO))
    engine = engine_of(market, config(daily_realized_loss={"amount": 10}), wall_s=clock)
    await engine.handle_trade_event(bought(1, 2))
    await engine.handle_trade_event(sold(2, 1, 90))
    await asyncio.sleep(0.1)
    assert market.asked == ["sell 1 NQ"]
    assert engine.check(buy("new")).rule == "locked_for_today"
    assert engine.locked.startswith("daily_realized_loss")
    clock.set(2026, 3, 2, 16, 59)
    assert not engine.check(buy("new")).allowed
    clock.set(2026, 3, 2, 17, 0)
    assert engine.check(buy("new")).allowed
    clock.set(2026, 3, 2, 10, 0)
    assert engine.check(buy("new")).allowed, "a clock that is set back does not begin another day"


@pytest.mark.parametrize(
    ("begins", "before", "after"),
    [
        ("17:00", (2026, 3, 7, 16, 59), (2026, 3, 7, 17, 0)),
        ("00:00", (2026, 3, 7, 23, 59), (2026, 3, 8, 0, 0)),
        # The night of the change to daylight saving time: 02:00 does not exist.
        ("02:30", (2026, 3, 8, 1, 59), (2026, 3, 8, 3, 0)),
    ],
)
async def test_a_trading_day_begins_at_its_hour_in_its_zone(
    faultline: Session, begins: str, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    clock = Clock(datetime(2026, 3, 7, 12, tzinfo=CHICAGO))
    clock.set(*before)
    engine = engine_of(Market(), RiskConfig.read({"day_begins": begins}), wall_s=clock)
    await engine.handle_trade_event(bought(1, 1, 100))
    await engine.handle_trade_event(sold(2, 1, 90))
    assert engine.book.realized == -10
    clock.set(*after)
    engine.check(buy("x"))
    assert engine.book.realized == 0


async def test_locks_the_switch_and_the_days_count_survive_a_restart(faultline: Session) -> None:
    store, clock = Memory(), Clock(datetime(2026, 3, 2, 10, tzinfo=CHICAGO))
    chosen = config(daily_realized_loss={"amount": 10}, trade_frequency_limit={"trades_max": 1, "window_s": 1e6})
    first = engine_of(Market(), chosen, store=store, wall_s=clock)
    await first.start()
    await first.handle_trade_event(bought(1, 1))
    await first.handle_trade_event(sold(2, 1, 90))
    await first.kill("enough")
    await first.stop()

    market = Market()
    second = engine_of(market, chosen, store=store, wall_s=clock)
    await second.start([PositionEvent("NQ", Decimal(2), Decimal(100))])
    await asyncio.sleep(0.1)
    assert market.asked == ["sell 2 NQ"], "a switch that is still on goes on closing"
    assert (second.killed, second.book.realized) == ("enough", -10)
    await second.resume()
    assert second.check(buy("new")).rule == "locked_for_today"
    await second.stop()

    clock.set(2026, 3, 3, 18, 0)
    third = engine_of(Market(), chosen, store=store, wall_s=clock)
    await third.start()
    assert third.check(buy("new")).allowed
    assert third.book.realized == 0
    await third.stop()


async def test_the_same_intent_is_never_used_by_two_processes(faultline: Session) -> None:
    store, intents = Memory(), []
    for _ in range(3):
        market = Market()
        engine = engine_of(market, store=store)
        await engine.start([PositionEvent("NQ", Decimal(2))])
        await engine.flatten()
        await engine.stop()
        intents += [order.intent for order in market.closes]
        await asyncio.sleep(1)
    assert len(set(intents)) == len(intents) == 3


async def test_nothing_is_written_when_nothing_changed(faultline: Session) -> None:
    store = Memory()
    engine = engine_of(Market(), store=store)
    await engine.start()
    await engine.stop()
    await engine.handle_quote_event(QuoteEvent("NQ", Decimal(1)))
    saves = store.saves
    for _ in range(10):
        await engine.handle_quote_event(QuoteEvent("NQ", Decimal(2)))
    assert store.saves == saves == 1


async def test_guarding_goes_on_without_a_disk_and_says_so(faultline: Session) -> None:
    store, market = Memory(), Market()
    store.full = True
    alerts = AlertManager(AlertConfig(), {})
    engine = engine_of(market, config(max_contracts={"quantity_max": 1}), store=store, alerts=alerts)
    await engine.start()
    await engine.handle_trade_event(bought(1, 3))
    await asyncio.sleep(3)
    assert market.asked == ["sell 3 NQ"]
    assert "risk_state" in alerts.active
    with pytest.raises(StateUnavailableError):
        await engine.kill("now")
    assert engine.check(buy("x")).rule == "kill_switch", "on in memory at least"
    await engine.stop()


async def test_the_clock_alone_breaks_a_rule_and_somebody_is_called_when_it_is_not_mended(faultline: Session) -> None:
    told: list[Alert] = []

    async def note(alert: Alert) -> None:
        told.append(alert)

    alerts = AlertManager(AlertConfig(), {"list": CallbackChannel(note)})
    await alerts.start()
    market = Market()
    market.answers = ["lost"]
    engine = engine_of(market, config(no_stop_loss_grace={"grace_s": 10}), alerts=alerts)
    await engine.start()
    await engine.handle_trade_event(bought(1, 1))
    await asyncio.sleep(9)
    assert market.asked == []
    await asyncio.sleep(3)
    assert market.asked == ["sell 1 NQ"]
    await asyncio.sleep(60)
    assert {alert.key for alert in told} == {"breach/no_stop_loss_grace/NQ", "flatten"}
    assert all(alert.level == "critical" for alert in told)
    await engine.stop()
    await alerts.stop()


async def test_a_guarded_account_opens_nothing_and_an_alert_is_not_a_flattening(faultline: Session) -> None:
    market = Market()
    alerts = AlertManager(AlertConfig(), {})
    engine = engine_of(market, config(auth_loss_guard={}), alerts=alerts)
    await engine.handle_trade_event(bought(1, 1))
    await engine.handle_account_event(AccountEvent(can_trade=False))
    await asyncio.sleep(1)
    assert market.asked == []
    assert alerts.active == ("breach/auth_loss_guard/",)
    assert engine.check(buy("x")).rule == "auth_loss_guard"
    await engine.kill("gone")
    await engine.resume()
    assert "kill_switch" not in alerts.active


async def test_a_watch_that_dies_is_loud(faultline: Session, caplog: pytest.LogCaptureFixture) -> None:
    engine = engine_of(Market())
    engine._judge = None  # type: ignore[assignment,method-assign]
    await engine.start()
    await asyncio.sleep(2)
    assert "nothing is guarded any more" in caplog.text
    await engine.stop()

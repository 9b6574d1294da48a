"""Witnesses of risk and alerts: a desk that asks a risk engine before it trades, and somebody who is to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, cast

from faultline.faults import LostRequest, LostResponse, StatusStorm
from faultline.history.event import Answer, Intent
from faultline.session import Session
from targets.mutants.drives import SYMBOL, Venue
from targets.resilience.alerts import Alert, AlertConfig, AlertManager, CallbackChannel
from targets.resilience.errors import APIError
from targets.resilience.risk import OrderEvent, Proposal, RiskConfig, RiskEngine, RiskRejectedError, TradeEvent
from targets.resilience.risk.model import Side
from targets.resilience.risk.rules import MaxContracts

RISK_LIMIT = Decimal(8)
WITHIN_S = 30.0
"""How soon an alert has to be told. What is believed is asked for when all is settled, so not too soon."""


# Risk


class Desk:
    """A risk engine in front of a venue: what it admits is sent, and what becomes of that is told to it.

    ``patience_s``: an order is sent again after so long when the venue said that it did nothing.
    """

    def __init__(self, session: Session, venue: Venue, config: RiskConfig) -> None:
        self.session = session
        self.venue = venue
        self.engine = RiskEngine(config, self)
        self.flatten = ""
        self._price = 100
        self._seen = 0

    async def order(self, side: str, quantity: int) -> None:
        """Ask the engine, then send; a refusal of the venue is retried, a refusal of the engine is not."""
        self._price += 1
        price = self._price
        order = Proposal(f"{price}", SYMBOL, cast("Side", side), Decimal(quantity), Decimal(price))
        with (
            suppress(RiskRejectedError, APIError),
            self.session.intent(side, quantity=quantity, price=price, symbol=SYMBOL),
        ):
            self.engine.admit(order)
            for _ in range(4):
                try:
                    await self.venue.order(side, quantity, price)
                    break
                except APIError as error:
                    if error.status_code != 429:
                        await self.engine.handle_order_event(OrderEvent(order.intent, "unknown"))
                        return
                await asyncio.sleep(1)
                if not self.engine.check(order).allowed:
                    return
            await self.engine.handle_order_event(OrderEvent(order.intent, "open"))

    async def hear(self) -> None:
        """Tell the engine of the fills that are new."""
        page = await self.venue.rest.fills(str(self._seen))
        for fill in page.fills:
            self._seen = fill.sequence or self._seen
            price = f"{fill.price:f}".split(".")[0]
            intent = price if fill.client_key.startswith(("buy", "sell")) else fill.client_key
            event = TradeEvent(fill.id, SYMBOL, fill.side.value, fill.size, fill.price, intent)
            await self.engine.handle_trade_event(event)

    async def cancel(self, intent: str) -> None:
        """As the engine asks."""

    async def close(self, order: Proposal) -> None:
        """As the engine asks. The venue knows the close by the intent that it is for."""
        await self.venue.order(order.side, order.quantity, "", key=self.flatten or order.intent)

    def say(self, op: str, intent: str) -> Intent:
        """Write down that the caller wants something that is no order."""
        wanted = Intent(self.session.now_s(), intent, op)
        self.session._shared.attribution.announce(wanted)
        self.session.history.append(wanted)
        return wanted

    def answer(self, intent: str) -> None:
        """Write down that it is done."""
        self.session.history.append(Answer(self.session.now_s(), intent, "ok", 1))


async def _desk(session: Session, **settings: Any) -> Desk:
    venue = Venue(await session.venue("generic", **settings))
    desk = Desk(session, venue, RiskConfig(rules=(MaxContracts(RISK_LIMIT),), flatten_retry_s=1.0))
    await desk.engine.start()
    return desk


async def _leave(session: Session, desk: Desk) -> None:
    await session.settle()
    await desk.engine.stop()
    await desk.venue.close()


async def an_order_is_in_doubt(session: Session) -> None:
    """Three orders of half the limit, and the answer to the first is lost."""
    desk = await _desk(session, fill_delay_s=60.0)
    with session.inject(LostResponse(on="POST /orders", nth=1)):
        for _ in range(3):
            await desk.order("buy", 4)
            await asyncio.sleep(0.5)
    await _leave(session, desk)


async def a_retry_meets_the_kill_switch(session: Session) -> None:
    """The switch is turned while an order waits for its second attempt."""
    desk = await _desk(session)
    await desk.order("buy", 1)
    with session.inject(StatusStorm(on="POST /orders", status=429, first=1)):
        ordering = asyncio.create_task(desk.order("buy", 4))
        await asyncio.sleep(0.3)
        desk.say("kill", "K1")
        await desk.engine.kill("by hand")
        desk.answer("K1")
        await ordering
    await _leave(session, desk)


async def a_close_is_in_doubt(session: Session) -> None:
    """A position is closed, and the answer to the close is lost."""
    desk = await _desk(session, fill_delay_s=0.2, idempotency="none")
    await desk.order("buy", 4)
    await asyncio.sleep(1)
    await desk.hear()
    desk.flatten = desk.say("flatten", "F1").id
    closing = asyncio.create_task(desk.engine.flatten())
    with session.inject(LostResponse(on="POST /orders", nth=1), LostRequest(on="GET /fills")):
        for _ in range(10):
            await asyncio.sleep(0.3)
            with suppress(APIError):
                await desk.hear()
    await desk.hear()
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            await closing
    await _leave(session, desk)


# Alerts


async def _alerting(session: Session, send: Callable[[Alert], Awaitable[None]] | None = None) -> AlertManager:
    told: list[dict[str, object]] = []

    async def tell(alert: Alert) -> None:
        told.append({"key": alert.key, "level": alert.level, "resolved": alert.resolved})

    session.observe(lambda: {"alerts": told})
    manager = AlertManager(AlertConfig(dedupe_window_s=60.0), {"people": CallbackChannel(send or tell)})
    await manager.start()
    return manager


async def _order_and_alert(session: Session, venue: Venue, alerts: AlertManager, price: int) -> None:
    with suppress(APIError), session.intent("buy", quantity=1, price=price, symbol=SYMBOL):
        try:
            await venue.order("buy", 1, price)
        except APIError as error:
            alerts.raise_alert("warning", f"order/{error.status_code or 'unanswered'}", str(error))
            raise


async def two_incidents(session: Session) -> None:
    """An order is declined, and another one gets no answer."""
    venue = Venue(await session.venue("generic"))
    alerts = await _alerting(session)
    with session.inject(
        StatusStorm(on="POST /orders", status=422, nth=1), LostResponse(on="POST /orders", nth=2, how="rst")
    ):
        for number in range(3):
            await _order_and_alert(session, venue, alerts, 100 + number)
            await asyncio.sleep(1)
    await asyncio.sleep(1)
    await session.settle()
    await asyncio.sleep(WITHIN_S)
    await session.settle()
    await alerts.stop()
    await venue.close()


async def a_storm_of_one_incident(session: Session) -> None:
    """Ten orders are declined for the same reason."""
    venue = Venue(await session.venue("generic"))
    alerts = await _alerting(session)
    with session.inject(StatusStorm(on="POST /orders", status=422)):
        for number in range(10):
            await _order_and_alert(session, venue, alerts, 100 + number)
            await asyncio.sleep(1)
    await session.settle()
    await alerts.stop()
    await venue.close()


async def a_slow_channel(session: Session) -> None:
    """Whoever is to be told takes five seconds for it."""
    venue = Venue(await session.venue("generic"))

    async def slow(alert: Alert) -> None:
        await asyncio.sleep(5)

    alerts = await _alerting(session, slow)
    with session.inject(StatusStorm(on="POST /orders", status=422)):
        for number in range(3):
            await _order_and_alert(session, venue, alerts, 100 + number)
    await session.settle()
    await alerts.stop()
    await venue.close()

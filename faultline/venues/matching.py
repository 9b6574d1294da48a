"""When and how a trading venue fills, cancels and expires: the part that waits.

There is no counterparty and no book: a limit order is filled at its own price ``fill_delay`` after acceptance, a
market order at once. Faults may delay a fill or cut it into parts.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from faultline.faults.actions import Delay, FillPart
from faultline.faults.injector import Injector
from faultline.faults.points import Plane
from faultline.venues.base import Context
from faultline.venues.broker import STEP, Broker, Order, share
from faultline.venues.settings import TradingSettings

MARKET_PRICE: Final = Decimal(100)
"""Where a market order without a price of its own is filled."""


class Matching:
    """Does to orders what happens by itself. ``pending`` counts what is still to come."""

    def __init__(
        self,
        settings: TradingSettings,
        context: Context,
        broker: Broker,
        injector: Injector,
        new_id: Callable[[str], str],
        step: Decimal = STEP,
    ) -> None:
        self._settings = settings
        self._context = context
        self._broker = broker
        self._injector = injector
        self._new_id = new_id
        self._step = step
        self.pending = 0

    def accepted(self, order: Order, entity: str, nth: int) -> None:
        """Decide what becomes of a new order. ``entity`` and ``nth`` are those of its fault point."""
        if order.type == "market":
            self._match(order.order_id, entity, nth)
            return
        who = entity if entity != "-" else order.order_id
        if not self._context.chance("resting", who).hits(self._settings.resting):
            self._later(self._settings.fill_delay_s, lambda: self._match(order.order_id, entity, nth))
        if self._settings.order_life_s is not None:
            self._later(self._settings.order_life_s, lambda: self._expire(order.order_id))

    def cancel(self, order_id: str) -> Order:
        """Cancel an order, at once or after ``cancel_delay``. Raises Refused."""
        now = self._context.now_s()
        if not self._settings.cancel_delay_s:
            return self._broker.cancel(now, order_id)
        before = self._broker.order(order_id)
        order = self._broker.request_cancel(now, order_id)
        if order is not before:
            self._later(self._settings.cancel_delay_s, lambda: self._finish_cancel(order_id))
        return order

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        def run() -> None:
            self.pending -= 1
            act()

        self.pending += 1
        self._context.call_later(delay_s, run)

    def _open(self, order_id: str) -> Order | None:
        order = self._broker.order(order_id)
        return order if order is not None and order.open else None

    def _match(self, order_id: str, entity: str, nth: int) -> None:
        if self._open(order_id) is None:
            return
        parts, gap_s, delay_s = 1, 0.0, 0.0
        receipts: list[int] = []
        for receipt, action in self._injector.ask(Plane.VENUE, "match", entity, nth, "decide"):
            match action:
                case FillPart():
                    parts, gap_s = max(1, action.parts), action.gap_s
                    receipts.append(receipt)
                case Delay():
                    delay_s += action.delay_s
                    receipts.append(receipt)
                case _:
                    self._injector.resolve(receipt, "not_applied")
        if delay_s:
            self._later(delay_s, lambda: self._fill(order_id, parts, gap_s, receipts))
        else:
            self._fill(order_id, parts, gap_s, receipts)

    def _fill(self, order_id: str, parts_left: int, gap_s: float, receipts: list[int]) -> None:
        order = self._open(order_id)
        if order is not None:
            quantity = share(order.remaining, parts_left, self._step)
            price = order.price if order.price is not None else MARKET_PRICE
            self._broker.fill(self._context.now_s(), order_id, self._new_id("fill"), quantity, price)
        for receipt in receipts:
            # The first part decides: an order that was cancelled meanwhile was not struck.
            self._injector.resolve(receipt, "applied" if order is not None else "not_applied")
        if order is not None and quantity < order.remaining:
            self._later(gap_s, lambda: self._fill(order_id, parts_left - 1, gap_s, []))

    def _finish_cancel(self, order_id: str) -> None:
        if self._open(order_id) is not None:
            self._broker.cancel(self._context.now_s(), order_id)

    def _expire(self, order_id: str) -> None:
        order = self._open(order_id)
        if order is not None and order.status != "pending_cancel":
            self._broker.expire(self._context.now_s(), order_id)

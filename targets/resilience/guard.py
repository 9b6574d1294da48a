"""The risk engine in the composition: between the order manager, the state, and what the venue says of the account.

* **Asked**: the order manager asks :meth:`Guard.admit` when an order is requested, and again at the moment of sending.
* **Told**: every fill and every change of a live order, in the same step in which the state believes them. An order
  is live until it is ended *and* all its fills have arrived; one whose fate is unknown is live.
* **The second witness**: the venue's positions are asked for at the start, in every sweep, after fills, and while
  something is being closed. What neither fills nor time explain is adopted, and told of.
* **After a restart** the book is made from the state, before anything is sent: all fills, and every order that may be
  live. What was gained and lost today was saved by the engine; fills that came after that are counted again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from typing import Final, Protocol, TypeVar

from targets.resilience.alerts import AlertManager
from targets.resilience.order_manager import OrderManager, OrderRequest
from targets.resilience.records import OrderRecord
from targets.resilience.risk import (
    AccountEvent,
    OrderEvent,
    PositionEvent,
    Proposal,
    QuoteEvent,
    RiskConfig,
    RiskEngine,
    TradeEvent,
)
from targets.resilience.risk.book import Book
from targets.resilience.risk.model import Event, Side
from targets.resilience.risk.rules import AuthLossGuard
from targets.resilience.settlement import Failure
from targets.resilience.state_manager import StateManager
from targets.resilience.venue import ZERO, Fill, OrderSide, OrderType, Position, Venue

log = logging.getLogger(__name__)
T = TypeVar("T")

SECTION: Final = "risk"
SKIPS_MAX: Final = 3
"""So many readings in a row may be thrown away because fills came meanwhile."""


class Asking(Protocol):
    """Sends one query through the error handler."""

    async def execute(
        self, call: Callable[[], Awaitable[T]], *, endpoint: str = "", attempts_max: int | None = None
    ) -> T:
        """The result of ``call``."""
        ...


class Guard:
    """Guards one account. Give it the order manager with ``trade_with``, then ``start`` it, then the order manager,
    then ``go``."""

    def __init__(
        self,
        config: RiskConfig,
        state: StateManager,
        venue: Venue,
        asking: Asking,
        alerts: AlertManager | None,
        *,
        sweep_s: float,
        account_id: str = "",
    ) -> None:
        self.engine = RiskEngine(config, self, store=self, alerts=alerts)
        self._config = config
        self._state = state
        self._venue = venue
        self._asking = asking
        self._alerts = alerts
        self._sweep_s = sweep_s
        self._account_id = account_id
        self._orders: OrderManager
        self._stale: Callable[[], bool] = lambda: False
        self._can_trade = True
        self._account = AccountEvent(can_trade=True)
        self._off: dict[str, Decimal] = {}
        self._off_since = 0.0
        self._trading = asyncio.Event()
        self._look_now = asyncio.Event()
        self._unsaved = asyncio.Event()
        self._requests: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def trade_with(self, orders: OrderManager, stale: Callable[[], bool]) -> None:
        """Close and cancel through ``orders``; ``stale`` says whether the state may be behind."""
        self._orders = orders
        self._stale = stale

    # Life

    async def start(self) -> None:
        """Make the book from the state. Sends nothing. The state has to be open."""
        book = self.engine.book
        saved = json.loads(self._state.get(SECTION, "saved") or '{"fills": 0}')
        fills = list(self._state.history())
        before = Book(multipliers=dict(self._config.multipliers))
        for fill in fills[: saved["fills"]]:
            before.apply(_trade(fill), self.engine.now())
        for contract_id, size in self._state.corrections.items():
            before.correct(contract_id, size)
        for record in self._state.orders.values():
            if not _over(record):
                asked = self._asked(record)
                book.resume(_proposal(record, asked), _remaining(record, asked), certain=record.settled)
        positions = (PositionEvent(name, held.filled, held.average_price) for name, held in before.holdings.items())
        await self.engine.start(positions)
        self.engine.tell(*map(_trade, fills[saved["fills"] :]))
        self._state.on_fills.append(self._filled)
        self._state.on_change.append(self._changed)

    def go(self) -> None:
        """The order manager has started: close what has to be closed, and look at the venue's positions."""
        self._trading.set()
        self._tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._save())]
        for task in self._tasks:
            task.add_done_callback(_report)

    async def stop(self) -> None:
        """End all work."""
        tasks = [*self._tasks, *self._requests.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.engine.stop()

    # Orders

    def admit(self, record: OrderRecord) -> None:
        """Whether an order may be sent. Raises RiskRejectedError."""
        self._tell_account()
        self.engine.admit(_proposal(record, record.size))

    async def kill(self, reason: str, *, label: str = "") -> None:
        """Open nothing from here on, and close everything. Raises StateUnavailableError when that is not durable."""
        await self.engine.kill(reason, label=label)

    async def flatten(self, *, label: str = "", wait_s: float | None = None) -> bool:
        """Close everything; whether that is done within ``wait_s``. It goes on if it is not."""
        task = self.engine.begin_flattening(label=label)
        await asyncio.wait({task}, timeout=wait_s)
        return task.done() and not task.cancelled()

    async def cancel(self, intent: str) -> None:
        """Begin to cancel an order; what becomes of that is told as an event."""
        self._begin(f"cancel {intent}", lambda: self._cancelled(intent))

    async def close(self, order: Proposal) -> None:
        """Begin to send a market order; what becomes of it is told as an event."""
        self._begin(order.intent, lambda: self._closed(order))

    def _begin(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        if name not in self._requests:
            task = self._requests[name] = asyncio.ensure_future(work())
            task.add_done_callback(lambda done: self._requests.pop(name, None))

    async def _cancelled(self, intent: str) -> None:
        await self._trading.wait()
        attempts = sum(a.outcome == "rejected" for a in self._state.amendments_of(intent))
        # A cancel that was declined is over; another try is another request.
        with suppress(*Failure):
            await self._orders.cancel_order(intent, id=f"cancel {intent}" + f" {attempts}" * bool(attempts))

    async def _closed(self, order: Proposal) -> None:
        await self._trading.wait()
        request = OrderRequest(
            account_id=self._account_id,
            contract_id=order.symbol,
            size=order.quantity,
            type=OrderType.MARKET,
            side=OrderSide(order.side),
            id=order.intent,
            client_key=order.intent,
        )
        try:
            await self._orders.place_order(request)
        except Failure as error:
            log.warning("%s %s %s: %s", order.side, order.quantity, order.symbol, error)
        self._end_unsent({order.intent})

    # What happens

    def _filled(self, fills: Iterable[Fill]) -> None:
        for fill in fills:
            self._tell(_trade(fill), QuoteEvent(fill.contract_id, fill.price))
        self._look_now.set()

    def _changed(self) -> None:
        events: list[OrderEvent] = []
        for intent, working in self.engine.book.working.items():
            record = self._state.orders.get(intent)
            if record is None:
                continue
            # A replacement counts from when it is admitted, and until the venue has declined it.
            asked = min(working.proposal.quantity, self._asked(record))
            remaining = _remaining(record, asked)
            if _over(record):
                events.append(OrderEvent(intent, "ended"))
            elif asked < working.proposal.quantity:
                self.engine.book.resume(_proposal(record, asked), remaining, certain=record.settled)
            elif (remaining, record.settled) != (working.remaining, working.certain):
                events.append(OrderEvent(intent, "open" if record.settled else "unknown", remaining))
        if events:
            self._tell(*events)

    def _tell(self, *events: Event) -> None:
        # Counts need no commit of their own: a restart counts the fills again. A lock does.
        locked = self.engine.locked
        self.engine.tell(*events)
        if self.engine.locked != locked:
            self._unsaved.set()

    def _end_unsent(self, intents: Iterable[str]) -> None:
        """Orders that are written down nowhere, and that nobody works on, were never sent and will not be."""
        gone = [each for each in intents if each not in self._state.orders and not self._orders.at_work(each)]
        if gone:
            self.engine.tell(*(OrderEvent(intent, "ended") for intent in gone))

    def _asked(self, record: OrderRecord) -> Decimal:
        """The largest size that it has or may have: a replacement that may have been carried out counts."""
        changes = self._state.amendments_of(record.request_id)
        return max(record.size, *(a.size or ZERO for a in changes if a.outcome != "rejected"), ZERO)

    # The account, as the venue has it

    async def _look(self) -> None:
        skips = 0
        while True:
            counted = self._state.fills_counting
            try:
                positions = await self._asking.execute(
                    self._venue.positions, endpoint="Position/search", attempts_max=1
                )
                await self._look_at_account()
                skips = skips + 1 if counted != self._state.fills_counting else 0
                if skips in (0, SKIPS_MAX):
                    skips = 0
                    await self._compare(positions)
            except Failure as error:
                log.warning("the venue's positions are not known: %s", error)
            self._end_unsent(self.engine.book.working.keys() - self._requests.keys())
            await self._pause(again=bool(skips))

    async def _pause(self, *, again: bool) -> None:
        await asyncio.sleep(self._config.flatten_retry_s)
        if again or self.engine.flattening:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._sweep_s):
                await self._look_now.wait()
        self._look_now.clear()

    async def _look_at_account(self) -> None:
        if any(isinstance(rule, AuthLossGuard) for rule in self._config.rules):
            account = await self._asking.execute(self._venue.account, endpoint="Account/search", attempts_max=1)
            self._can_trade = account.can_trade
        self._tell_account()

    def _tell_account(self) -> None:
        account = AccountEvent(self._can_trade, self._stale())
        if account != self._account:
            self._account = account
            self.engine.tell(account)

    async def _compare(self, told: Iterable[Position]) -> None:
        positions = {position.contract_id: position for position in told}
        book, held = self.engine.book, self._state.positions
        contracts = {*positions, *book.holdings, *held}
        new = contracts - book.holdings.keys()
        book.adopt((PositionEvent(name, held.get(name, ZERO)) for name in new), self.engine.now())
        events = [_reported(name, positions.get(name)) for name in sorted(contracts)]
        self.engine.tell(*events)
        off = {event.symbol: event.quantity for event in events if event.quantity != held.get(event.symbol, ZERO)}
        now = time.monotonic()
        if off != self._off or self._stale():
            self._off, self._off_since = off, now
        elif off and now - self._off_since > self._venue.rules.query_lag_s + 2 * self._sweep_s:
            await self._adopt(positions, events)

    async def _adopt(self, positions: dict[str, Position], events: list[PositionEvent]) -> None:
        """Two sweeps have found no fill that would explain the difference: somebody else traded, or before us."""
        await self._state.adopt_positions(positions.values())
        for event in events:
            if event.symbol in self._off:
                self.engine.book.adopt([event], self.engine.now())
                if self._alerts is not None:
                    text = f"{event.symbol}: {event.quantity} are held, which no fill of ours explains"
                    self._alerts.raise_alert("warning", f"position/{event.symbol}", text)
        self.engine.tell(*events)
        self._off = {}

    # What survives

    async def load(self) -> str | None:
        """What the engine saved last."""
        saved = self._state.get(SECTION, "saved")
        return None if saved is None else str(json.loads(saved)["engine"])

    async def save(self, text: str) -> None:
        """Keep what the engine knows, and how many fills that takes into account."""
        await self._state.put(SECTION, "saved", json.dumps({"fills": self._state.fills_counting, "engine": text}))

    async def _save(self) -> None:
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            await self.engine.save()


def _over(record: OrderRecord) -> bool:
    """Whether nothing can come of an order any more: a missing fill still can."""
    return record.ended and record.reported <= record.filled


def _remaining(record: OrderRecord, asked: Decimal) -> Decimal:
    # Of an ended order, only the fills that are missing can still come.
    return max(ZERO, (record.reported if record.ended else asked) - record.filled)


def _proposal(record: OrderRecord, size: Decimal) -> Proposal:
    stop = record.type in (OrderType.STOP, OrderType.STOP_LIMIT)
    side: Side = "buy" if record.side == OrderSide.BUY else "sell"
    return Proposal(record.request_id, record.contract_id, side, size, record.limit_price, stop)


def _trade(fill: Fill) -> TradeEvent:
    # What is left of its order is told by the order's own record, which also knows of fills that nobody claimed.
    side: Side = "buy" if fill.side == OrderSide.BUY else "sell"
    return TradeEvent(fill.id, fill.contract_id, side, fill.size, fill.price, voided=fill.voided)


def _reported(contract_id: str, position: Position | None) -> PositionEvent:
    if position is None:
        return PositionEvent(contract_id, ZERO)
    return PositionEvent(contract_id, position.size, position.average_price or ZERO)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a part of the guard died", exc_info=error)

"""What is at risk: positions, and every order that may still add to them.

An order whose fate is unknown counts as live until somebody knows better, because it may be. A position has two
witnesses, the sum of our fills and what the venue reports; while they differ, exposure is reckoned with the worse and
closing with the smaller, so that neither a limit nor a flat position is overshot by what is merely late.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from targets.resilience.risk.model import (
    ZERO,
    Event,
    OrderEvent,
    PositionEvent,
    Proposal,
    QuoteEvent,
    Side,
    TradeEvent,
    sign,
)

TRADES_REMEMBERED_MAX: Final = 100_000
"""Ids of fills kept to recognise one that is told twice."""


@dataclass(frozen=True, slots=True)
class Working:
    """An order that may still fill by ``remaining``."""

    proposal: Proposal
    remaining: Decimal
    certain: bool


@dataclass(slots=True)
class Holding:
    """One symbol's position, by both witnesses. ``reported`` is None until the venue has said something."""

    filled: Decimal = ZERO
    reported: Decimal | None = None
    average_price: Decimal = ZERO
    opened: datetime | None = None
    """When the position was last opened from flat; None while flat."""

    @property
    def witnesses(self) -> tuple[Decimal, ...]:
        """The position as each of the witnesses has it."""
        return (self.filled,) if self.reported is None else (self.filled, self.reported)

    @property
    def certain(self) -> Decimal:
        """What both agree on: the smaller of the two, zero if they differ in direction."""
        low, high = min(self.witnesses), max(self.witnesses)
        return low if low > 0 else high if high < 0 else ZERO


@dataclass(frozen=True, slots=True)
class Applied:
    """What one fill changed, so that it can be taken back: signed quantity, net profit, the average price before."""

    symbol: str
    change: Decimal
    net: Decimal
    average_before: Decimal


@dataclass(slots=True)
class Book:
    """Folded from events; the rules read it. ``multipliers`` are the money value of one point, per symbol."""

    multipliers: dict[str, Decimal] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    working: dict[str, Working] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)
    realized: Decimal = ZERO
    """Since the trading day began, fees deducted."""
    peak: Decimal = ZERO
    """The highest total profit of the day so far."""
    last_loss: datetime | None = None
    entries: deque[datetime] = field(default_factory=deque)
    """When positions were opened or added to today."""
    can_trade: bool = True
    stale: bool = False
    _applied: OrderedDict[str, Applied] = field(default_factory=OrderedDict)
    _voided: set[str] = field(default_factory=set)

    # What is asked

    def exposure(self, symbol: str) -> tuple[Decimal, Decimal]:
        """The worst that can become of ``symbol``: (lowest, highest) position if everything live on one side fills."""
        holding = self.holdings.get(symbol, Holding())
        buys, sells = self._live(symbol, "buy"), self._live(symbol, "sell")
        return min(holding.witnesses) - sells, max(holding.witnesses) + buys

    def worst(self, symbol: str, more: Proposal | None = None) -> Decimal:
        """The largest position in either direction that ``symbol`` can reach, with ``more`` sent as well."""
        low, high = self.exposure(symbol)
        if more is not None and more.symbol == symbol:
            added = more.quantity - self._asked(more.intent)
            if added > 0:
                low, high = (low, high + added) if more.side == "buy" else (low - added, high)
        return max(abs(low), abs(high))

    def _asked(self, intent: str) -> Decimal:
        """For how much a live order was sent; a replacement may ask for more."""
        working = self.working.get(intent)
        return ZERO if working is None else working.proposal.quantity

    def symbols(self) -> set[str]:
        """All symbols with a position or a live order."""
        return set(self.holdings) | {working.proposal.symbol for working in self.working.values()}

    def closable(self, symbol: str, *, but: str = "") -> tuple[Side, Decimal]:
        """Side and quantity of an order that closes what certainly is held and no live order, ``but`` one, closes."""
        held = self.holdings.get(symbol, Holding()).certain
        side: Side = "sell" if held > 0 else "buy"
        return side, max(ZERO, abs(held) - self._live(symbol, side, but=but))

    def opens(self, order: Proposal) -> bool:
        """Whether any part of ``order`` could open or add to a position."""
        side, quantity = self.closable(order.symbol, but=order.intent)
        return order.side != side or order.quantity > quantity

    def unrealized(self, symbol: str) -> Decimal:
        """Profit of the open position at the last price; zero where no price is known."""
        holding, price = self.holdings.get(symbol), self.prices.get(symbol)
        if holding is None or price is None:
            return ZERO
        return (price - holding.average_price) * holding.filled * self._multiplier(symbol)

    def unrealized_total(self) -> Decimal:
        """Of all open positions."""
        return sum((self.unrealized(symbol) for symbol in self.holdings), ZERO)

    def notional(self, symbol: str, quantity: Decimal, price: Decimal | None) -> Decimal | None:
        """The money value of ``quantity``; None where no price is known."""
        price = self.prices.get(symbol) if price is None else price
        return None if price is None else abs(quantity * price * self._multiplier(symbol))

    def _multiplier(self, symbol: str) -> Decimal:
        return self.multipliers.get(symbol, Decimal(1))

    def _live(self, symbol: str, side: Side, *, but: str = "") -> Decimal:
        live = (
            working.remaining
            for intent, working in self.working.items()
            if (working.proposal.symbol, working.proposal.side) == (symbol, side) and intent != but
        )
        return sum(live, ZERO)

    # What is told

    def sent(self, order: Proposal) -> None:
        """``order`` is about to be sent: from here on it may be live. One that is live already only ever grows."""
        known = self.working.get(order.intent)
        if known is None:
            self.working[order.intent] = Working(order, order.quantity, certain=False)
        elif order.quantity > known.proposal.quantity:
            remaining = known.remaining + order.quantity - known.proposal.quantity
            self.working[order.intent] = replace(known, proposal=order, remaining=remaining)

    def resume(self, order: Proposal, remaining: Decimal, *, certain: bool) -> None:
        """``order`` was sent, or may have been, by an earlier process, and may still fill by ``remaining``."""
        self.working[order.intent] = Working(order, remaining, certain)

    def apply(self, event: Event, now: datetime) -> None:
        """Take in what has happened. A fill that is told twice counts once."""
        match event:
            case TradeEvent():
                self._trade(event, now)
            case PositionEvent():
                self._reported(event, now)
            case OrderEvent():
                self._order(event)
            case QuoteEvent():
                self.prices[event.symbol] = event.price
            case _:
                self.can_trade, self.stale = event.can_trade, event.stale
        self.peak = max(self.peak, self.realized + self.unrealized_total())

    def new_day(self) -> None:
        """The trading day is over: what is counted per day begins anew. Positions stay."""
        self.realized, self.peak, self.last_loss = ZERO, self.unrealized_total(), None
        self.entries.clear()

    def adopt(self, positions: Iterable[PositionEvent], now: datetime) -> None:
        """Begin with ``positions``, the sum of earlier fills. What the venue reports comes later."""
        for event in positions:
            opened = now if event.quantity else None
            self.holdings[event.symbol] = Holding(event.quantity, None, event.average_price, opened)

    def correct(self, symbol: str, change: Decimal) -> None:
        """A part of the position that no fill explains. What it was bought at, nobody knows."""
        self.holdings.setdefault(symbol, Holding()).filled += change

    def _order(self, event: OrderEvent) -> None:
        working = self.working.get(event.intent)
        if working is None:
            return
        if event.status == "ended":
            del self.working[event.intent]
        else:
            remaining = working.remaining if event.remaining is None else event.remaining
            self.working[event.intent] = replace(working, remaining=remaining, certain=event.status == "open")

    def _reported(self, event: PositionEvent, now: datetime) -> None:
        known = event.symbol in self.holdings
        holding = self.holdings.setdefault(event.symbol, Holding())
        holding.reported = event.quantity
        if not known:
            # Held before we came: there are no fills to compare with.
            holding.filled = event.quantity
        if event.quantity and event.average_price and event.quantity == holding.filled:
            holding.average_price = event.average_price
        _date(holding, now)

    def _trade(self, event: TradeEvent, now: datetime) -> None:
        if event.voided:
            self._void(event.trade_id, now)
        elif event.trade_id not in self._applied and event.trade_id not in self._voided:
            self._settle_working(event)
            self._fill(event, now)

    def _settle_working(self, event: TradeEvent) -> None:
        working = self.working.get(event.intent)
        if working is None:
            return
        remaining = working.remaining - event.quantity
        if remaining > 0:
            self.working[event.intent] = replace(working, remaining=remaining)
        else:
            del self.working[event.intent]

    def _fill(self, event: TradeEvent, now: datetime) -> None:
        holding = self.holdings.setdefault(event.symbol, Holding())
        before, average = holding.filled, holding.average_price
        change = sign(event.side) * event.quantity
        gross = event.profit
        if gross is None:
            closed = min(abs(before), abs(change)) if before * change < 0 else ZERO
            per_lot = event.price - average if before > 0 else average - event.price
            gross = per_lot * closed * self._multiplier(event.symbol)
        holding.filled = before + change
        _reprice(holding, before, change, event.price)
        _date(holding, now)
        net = gross - event.fees
        self.realized += net
        if gross < 0:
            self.last_loss = now
        if before * change >= 0 or abs(change) > abs(before):
            self.entries.append(now)
        self._applied[event.trade_id] = Applied(event.symbol, change, net, average)
        if len(self._applied) > TRADES_REMEMBERED_MAX:
            self._applied.popitem(last=False)

    def _void(self, trade_id: str, now: datetime) -> None:
        """The venue takes a fill back. Told before the fill itself, it makes that count for nothing."""
        applied = None if trade_id in self._voided else self._applied.get(trade_id)
        self._voided.add(trade_id)
        if applied is None:
            return
        holding = self.holdings[applied.symbol]
        holding.filled -= applied.change
        holding.average_price = applied.average_before if holding.filled else ZERO
        self.realized -= applied.net
        _date(holding, now)


def _reprice(holding: Holding, before: Decimal, change: Decimal, price: Decimal) -> None:
    """Average cost: adding mixes the prices, reducing keeps the average, turning round starts at the new price."""
    after = holding.filled
    if after == 0:
        holding.average_price = ZERO
    elif before * after <= 0:
        holding.average_price = price
    elif abs(after) > abs(before):
        holding.average_price = (holding.average_price * before + price * change) / after


def _date(holding: Holding, now: datetime) -> None:
    if not any(holding.witnesses):
        holding.opened = None
    elif holding.opened is None:
        holding.opened = now

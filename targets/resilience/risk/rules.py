"""The rules. Each looks at a proposed order, at what has happened, or at both, and owns no state: it reads the book.

A rule that is about opening positions lets through what only closes one: a client that may not reduce its risk because
it has too much of it would be absurd. ``RULES`` is the table by which a configuration file names them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import ClassVar, Final

from targets.resilience.risk.book import Book
from targets.resilience.risk.model import ZERO, Breach, Proposal


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that has nothing to say. Others override what they are about."""

    name: ClassVar[str] = ""

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Why ``order`` must not be sent, or the empty string."""
        return ""

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """What is wrong with what has happened already."""
        return []


# How much


@dataclass(frozen=True, slots=True)
class MaxOrderSize(Rule):
    """No single order over ``quantity_max``: the slip of a finger."""

    name: ClassVar[str] = "max_order_size"
    quantity_max: Decimal

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Judge the order alone."""
        return f"{order.quantity} is over {self.quantity_max}" if order.quantity > self.quantity_max else ""


@dataclass(frozen=True, slots=True)
class MaxContracts(Rule):
    """The worst that all live orders can make of all positions together stays within ``quantity_max``."""

    name: ClassVar[str] = "max_contracts"
    quantity_max: Decimal

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Count the order as filled."""
        if not book.opens(order):
            return ""
        total = sum((book.worst(symbol, order) for symbol in book.symbols() | {order.symbol}), ZERO)
        return f"could reach {total} in all, over {self.quantity_max}" if total > self.quantity_max else ""

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """Positions that are held for certain, however they came about."""
        held = sum((abs(holding.certain) for holding in book.holdings.values()), ZERO)
        return (
            [Breach(self.name, f"{held} held, over {self.quantity_max}", "flatten")] if held > self.quantity_max else []
        )


@dataclass(frozen=True, slots=True)
class MaxContractsPerInstrument(Rule):
    """As :class:`MaxContracts`, for one symbol; ``by_symbol`` overrides ``quantity_max``."""

    name: ClassVar[str] = "max_contracts_per_instrument"
    quantity_max: Decimal
    by_symbol: tuple[tuple[str, Decimal], ...] = ()

    def limit(self, symbol: str) -> Decimal:
        """The limit that holds for ``symbol``."""
        return dict(self.by_symbol).get(symbol, self.quantity_max)

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Count the order as filled."""
        worst, limit = book.worst(order.symbol, order), self.limit(order.symbol)
        return f"{order.symbol} could reach {worst}, over {limit}" if worst > limit and book.opens(order) else ""

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """Positions that are held for certain."""
        return [
            Breach(self.name, f"{symbol}: {holding.certain} held", "flatten_symbol", symbol)
            for symbol, holding in book.holdings.items()
            if abs(holding.certain) > self.limit(symbol)
        ]


@dataclass(frozen=True, slots=True)
class MaxOpenOrders(Rule):
    """No more than ``orders_max`` live orders, the unknown ones included."""

    name: ClassVar[str] = "max_open_orders"
    orders_max: int

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Count what is live."""
        full = len(book.working) >= self.orders_max and order.intent not in book.working
        return f"{len(book.working)} orders are live already" if full and book.opens(order) else ""


@dataclass(frozen=True, slots=True)
class MaxNotional(Rule):
    """The money value of the worst position of a symbol stays within ``value_max``. Without a price, nothing opens."""

    name: ClassVar[str] = "max_notional"
    value_max: Decimal

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Count the order as filled, at its own price or the last one."""
        if not book.opens(order):
            return ""
        value = book.notional(order.symbol, book.worst(order.symbol, order), order.price)
        if value is None:
            return f"no price of {order.symbol} is known"
        return f"{order.symbol} could be worth {value}, over {self.value_max}" if value > self.value_max else ""


@dataclass(frozen=True, slots=True)
class PriceCollar(Rule):
    """A limit price may be worse than the last price by ``share_max`` of it at most (0.05 is 5 %)."""

    name: ClassVar[str] = "price_collar"
    share_max: Decimal

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Only the expensive side is a mistake; a far better price just rests."""
        last = book.prices.get(order.symbol)
        if order.price is None or not last or order.stop:
            return ""
        worse = (order.price - last if order.side == "buy" else last - order.price) / last
        return f"{order.price} is {worse:.1%} worse than {last}" if worse > self.share_max else ""


@dataclass(frozen=True, slots=True)
class SymbolBlocks(Rule):
    """Nothing is opened in ``symbols``, and what is there is closed."""

    name: ClassVar[str] = "symbol_blocks"
    symbols: frozenset[str]

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Look the symbol up."""
        return f"{order.symbol} is blocked" if order.symbol in self.symbols and book.opens(order) else ""

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """A position in a blocked symbol."""
        held = sorted(symbol for symbol in self.symbols & set(book.holdings) if book.holdings[symbol].certain)
        return [Breach(self.name, f"{symbol} is held and blocked", "flatten_symbol", symbol) for symbol in held]


# How much money


@dataclass(frozen=True, slots=True)
class _DayRule(Rule):
    """Something about today's money: once broken, everything is closed and nothing opened until the day is over."""

    amount: Decimal

    def reason(self, book: Book) -> str:
        """Why the day is over, or the empty string."""
        return ""

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """The engine knows when the day ends."""
        reason = self.reason(book)
        return [Breach(self.name, reason, "flatten", for_today=True)] if reason else []


@dataclass(frozen=True, slots=True)
class DailyRealizedLoss(_DayRule):
    """Realized losses of the day stay under ``amount``."""

    name: ClassVar[str] = "daily_realized_loss"

    def reason(self, book: Book) -> str:
        """Realized only."""
        return f"{book.realized} realized today" if book.realized <= -self.amount else ""


@dataclass(frozen=True, slots=True)
class DailyTotalLoss(_DayRule):
    """Realized and unrealized losses of the day together stay under ``amount``."""

    name: ClassVar[str] = "daily_total_loss"

    def reason(self, book: Book) -> str:
        """Realized, and what closing now would realize."""
        total = book.realized + book.unrealized_total()
        return f"{total} in all today" if total <= -self.amount else ""


@dataclass(frozen=True, slots=True)
class DailyProfitTarget(_DayRule):
    """``amount`` realized is enough for a day."""

    name: ClassVar[str] = "daily_profit_target"

    def reason(self, book: Book) -> str:
        """Realized only."""
        return f"{book.realized} realized today" if book.realized >= self.amount else ""


@dataclass(frozen=True, slots=True)
class MaxDrawdown(_DayRule):
    """Today's total profit falls no more than ``amount`` below its highest."""

    name: ClassVar[str] = "max_drawdown"

    def reason(self, book: Book) -> str:
        """From the peak of the day."""
        fall = book.peak - book.realized - book.unrealized_total()
        return f"{fall} below the day's peak" if fall >= self.amount else ""


@dataclass(frozen=True, slots=True)
class MaxUnrealizedLoss(Rule):
    """No position loses ``amount`` or more before it is closed."""

    name: ClassVar[str] = "max_unrealized_loss"
    amount: Decimal

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """Position by position."""
        return _beyond(self.name, book, lambda profit: profit <= -self.amount)


@dataclass(frozen=True, slots=True)
class MaxUnrealizedProfit(Rule):
    """A position that has won ``amount`` is closed: take it."""

    name: ClassVar[str] = "max_unrealized_profit"
    amount: Decimal

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """Position by position."""
        return _beyond(self.name, book, lambda profit: profit >= self.amount)


# When


@dataclass(frozen=True, slots=True)
class TradeFrequencyLimit(Rule):
    """No more than ``trades_max`` entries within any ``window_s`` seconds."""

    name: ClassVar[str] = "trade_frequency_limit"
    trades_max: int
    window_s: float

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Entries that were made, and those that live orders may make at any moment."""
        since = now - timedelta(seconds=self.window_s)
        made = sum(entry > since for entry in book.entries)
        live = sum(book.opens(w.proposal) for intent, w in book.working.items() if intent != order.intent)
        if made + live < self.trades_max or not book.opens(order):
            return ""
        return f"{made} entries and {live} live orders within {self.window_s:g} s"


@dataclass(frozen=True, slots=True)
class CooldownAfterLoss(Rule):
    """After a losing trade nothing is opened for ``pause_s`` seconds."""

    name: ClassVar[str] = "cooldown_after_loss"
    pause_s: float

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Count from the last loss."""
        if book.last_loss is None or not book.opens(order):
            return ""
        left_s = self.pause_s - (now - book.last_loss).total_seconds()
        return f"{left_s:g} s left after a loss" if left_s > 0 else ""


@dataclass(frozen=True, slots=True)
class SessionHours(Rule):
    """Positions are opened from ``begins`` to ``ends`` only (the account's time zone), and none is held outside.

    ``ends`` before ``begins`` means a session over midnight.
    """

    name: ClassVar[str] = "session_hours"
    begins: time
    ends: time

    def within(self, now: datetime) -> bool:
        """Whether ``now`` is in the session; its end is not."""
        at = now.time()
        if self.begins <= self.ends:
            return self.begins <= at < self.ends
        return at >= self.begins or at < self.ends

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """Look at the clock."""
        return f"{now:%H:%M} is outside the session" if not self.within(now) and book.opens(order) else ""

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """What is still held or open when the session is over."""
        left = any(holding.certain for holding in book.holdings.values()) or bool(book.working)
        return [Breach(self.name, f"still at risk at {now:%H:%M}", "flatten")] if left and not self.within(now) else []


@dataclass(frozen=True, slots=True)
class NoStopLossGrace(Rule):
    """A position has a live protective order within ``grace_s`` seconds of being opened."""

    name: ClassVar[str] = "no_stop_loss_grace"
    grace_s: float

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """Protection that is not certain to be live protects nobody."""
        return [
            Breach(self.name, f"{symbol} is not protected", "flatten_symbol", symbol)
            for symbol, holding in book.holdings.items()
            if holding.certain
            and holding.opened is not None
            and (now - holding.opened).total_seconds() > self.grace_s
            and not _protected(book, symbol, holding.certain)
        ]


# Whether at all


@dataclass(frozen=True, slots=True)
class AuthLossGuard(Rule):
    """Nothing is opened while the venue does not let the account trade, and somebody is told."""

    name: ClassVar[str] = "auth_loss_guard"

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """As the venue last said."""
        return "the account may not trade" if not book.can_trade and book.opens(order) else ""

    def broken(self, book: Book, now: datetime) -> list[Breach]:
        """As the venue last said."""
        return [] if book.can_trade else [Breach(self.name, "the account may not trade", "alert")]


@dataclass(frozen=True, slots=True)
class StaleStateGuard(Rule):
    """Nothing is opened on a state that is known to be behind."""

    name: ClassVar[str] = "stale_state_guard"

    def forbids(self, order: Proposal, book: Book, now: datetime) -> str:
        """As the reconciler last said."""
        return "the state is stale" if book.stale and book.opens(order) else ""


def _beyond(name: str, book: Book, too_far: Callable[[Decimal], bool]) -> list[Breach]:
    found = [(symbol, book.unrealized(symbol)) for symbol, holding in book.holdings.items() if holding.certain]
    return [
        Breach(name, f"{symbol}: {profit} unrealized", "flatten_symbol", symbol)
        for symbol, profit in found
        if too_far(profit)
    ]


def _protected(book: Book, symbol: str, held: Decimal) -> bool:
    side = "sell" if held > 0 else "buy"
    stops = (
        working.remaining
        for working in book.working.values()
        if working.certain
        and working.proposal.stop
        and (working.proposal.symbol, working.proposal.side) == (symbol, side)
    )
    return sum(stops, ZERO) >= abs(held)


RULES: Final[dict[str, type[Rule]]] = {
    rule.name: rule
    for rule in (
        MaxOrderSize, MaxContracts, MaxContractsPerInstrument, MaxOpenOrders, MaxNotional, PriceCollar, SymbolBlocks,
        DailyRealizedLoss, DailyTotalLoss, DailyProfitTarget, MaxDrawdown, MaxUnrealizedLoss, MaxUnrealizedProfit,
        TradeFrequencyLimit, CooldownAfterLoss, SessionHours, NoStopLossGrace, AuthLossGuard, StaleStateGuard,
    )
}  # fmt: skip

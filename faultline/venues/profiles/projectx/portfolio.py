"""The one account as clients see it: its orders, trades, positions and balance, now or at an earlier time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from faultline.venues.broker import Broker, Fill, Order
from faultline.venues.profiles.journal import Journal
from faultline.venues.profiles.projectx.positions import Books, Position, after, books
from faultline.venues.profiles.projectx.settings import ProjectXSettings
from faultline.venues.profiles.projectx.wire import LONG, SHORT, Window, contract_id, iso, order_json, trade_json

Json = Mapping[str, Any]


class Portfolio:
    """Words what the ledger holds. ``as_of`` is a time in the past; None is now."""

    def __init__(self, settings: ProjectXSettings, broker: Broker, journal: Journal) -> None:
        self._settings = settings
        self._account = settings.account
        self._broker = broker
        self._journal = journal
        self._booked = 0
        self._books = books(())
        self._earned = Decimal(0)
        """Profits less fees of the fills that are booked."""

    def _now(self) -> Books:
        """What all fills come to. Each is booked once: the stream asks after every one."""
        fills = self._broker.fills()
        for fill in fills[self._booked :]:
            before = self._books.positions.get(fill.symbol, Position())
            self._books.positions[fill.symbol], profit = after(before, fill)
            self._books.profits[fill.fill_id] = profit
            self._earned += (profit or Decimal(0)) - fill.fee
        self._booked = len(fills)
        return self._books

    def account(self) -> Json:
        """The account with its balance: what it began with, profits, and fees."""
        self._now()
        return {
            "id": self._account,
            "name": f"SIM-{self._account}",
            "balance": self._settings.balance + self._earned,
            "canTrade": True,
            "isVisible": True,
            "simulated": True,
        }

    def order(self, order: Order, as_of: float | None = None) -> Json:
        """One order."""
        return order_json(order, self._account, self._journal, as_of)

    def orders(self, wanted: Window, as_of: float | None = None) -> list[Json]:
        """The orders that were made in a window."""
        created = self._journal.times
        orders = self._broker.orders(as_of=as_of)
        return [self.order(order, as_of) for order in orders if wanted.has(created(order.order_id).created_ms)]

    def open_orders(self, as_of: float | None = None) -> list[Json]:
        """The orders that are open."""
        return [self.order(order, as_of) for order in self._broker.open_orders(as_of)]

    def trade(self, fill: Fill) -> Json:
        """The half-turn that has just been made."""
        profit = self._now().profits[fill.fill_id]
        return trade_json(fill, self._account, self._journal.filled_ms(fill.fill_id), profit)

    def trades(self, wanted: Window, as_of: float | None = None) -> list[Json]:
        """The half-turns of a window, the newest first."""
        fills = self._broker.fills(as_of=as_of)
        profits = books(fills).profits
        timed = [(fill, self._journal.filled_ms(fill.fill_id)) for fill in reversed(fills)]
        return [trade_json(fill, self._account, t, profits[fill.fill_id]) for fill, t in timed if wanted.has(t)]

    def position(self, symbol: str) -> Json:
        """The position in one contract; its size is 0 when it is closed."""
        return self._position(symbol, self._now().positions[symbol])

    def positions(self, as_of: float | None = None) -> list[Json]:
        """Every position that is open."""
        held = books(self._broker.fills(as_of=as_of)).positions
        return [self._position(symbol, position) for symbol, position in held.items() if position.size]

    def _position(self, symbol: str, position: Position) -> Json:
        at_ms = self._journal.filled_ms(position.opened_by) if position.opened_by else self._journal.ms(0.0)
        return {
            "id": 1 + self._settings.symbols.index(symbol),
            "accountId": self._account,
            "contractId": contract_id(symbol),
            "creationTimestamp": iso(at_ms),
            "type": LONG if position.size >= 0 else SHORT,
            "size": int(abs(position.size)),
            "averagePrice": position.price,
        }

"""The balances of the one account: what it began with, what its fills changed, and what its open orders hold.

Fees are charged in the quote currency, as the ledger has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from faultline.venues.broker import Broker, Order, Placement
from faultline.venues.matching import MARKET_PRICE
from faultline.venues.profiles.market import Instrument


class Balance(NamedTuple):
    """What is free, and what open orders hold."""

    free: Decimal
    locked: Decimal


class Account:
    """Balances by asset, computed from the ledger whenever somebody asks."""

    def __init__(self, funds: Mapping[str, int], instruments: Mapping[str, Instrument], broker: Broker) -> None:
        self._funds = funds
        self._instruments = instruments
        self._broker = broker

    def balances(self, as_of: float | None = None) -> dict[str, Balance]:
        """All of them, at a time in the past or now."""
        total = {asset: Decimal(amount) for asset, amount in self._funds.items()}
        locked: dict[str, Decimal] = {}
        for instrument in self._instruments.values():
            for asset in (instrument.base, instrument.quote):
                total.setdefault(asset, Decimal(0))
        for fill in self._broker.fills(as_of=as_of):
            instrument = self._instruments[fill.symbol]
            sign = 1 if fill.side == "buy" else -1
            total[instrument.base] += sign * fill.quantity
            total[instrument.quote] -= sign * fill.quantity * fill.price + fill.fee
        for order in self._broker.open_orders(as_of):
            asset, amount = self._cost(order, order.remaining)
            locked[asset] = locked.get(asset, Decimal(0)) + amount
        return {
            asset: Balance(amount - locked.get(asset, Decimal(0)), locked.get(asset, Decimal(0)))
            for asset, amount in total.items()
        }

    def affords(self, placement: Placement) -> bool:
        """Whether enough is free for an order."""
        asset, amount = self._cost(placement, placement.quantity)
        return self.balances()[asset].free >= amount

    def _cost(self, order: Order | Placement, quantity: Decimal) -> tuple[str, Decimal]:
        instrument = self._instruments[order.symbol]
        if order.side == "sell":
            return instrument.base, quantity
        return instrument.quote, quantity * (order.price or MARKET_PRICE)

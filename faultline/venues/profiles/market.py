"""What is traded: instruments with their steps, and an order book that moves by itself.

There is no counterparty, so the book is scenery: levels around one price, of which some change size at each update.
What matters is that its updates are numbered as the venue numbers them, and that every snapshot and every update fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from faultline.faults.chance import Chance
from faultline.venues.base import Context
from faultline.venues.broker import plain
from faultline.venues.matching import MARKET_PRICE

LEVELS: Final = 20
"""Levels of each side of a book."""
CHANGES_MAX: Final = 4
"""The most levels that one update changes."""


class Instrument(msgspec.Struct, frozen=True):
    """A pair such as BTC/USDT. Prices are multiples of ``tick``, quantities of ``step``; ``joint`` is what the venue
    writes between the two names."""

    base: str
    quote: str
    tick: Decimal
    step: Decimal
    notional_min: Decimal
    joint: str = ""

    @property
    def symbol(self) -> str:
        """Its name at the venue."""
        return f"{self.base}{self.joint}{self.quote}"

    def misfit(self, quantity: Decimal, price: Decimal | None) -> str:
        """Which rule an order breaks: ``price``, ``quantity`` or ``notional``; empty when it keeps them all."""
        if price is not None and price % self.tick:
            return "price"
        if quantity % self.step:
            return "quantity"
        return "notional" if quantity * (price or MARKET_PRICE) < self.notional_min else ""


def decimals(step: Decimal) -> int:
    """Digits after the point that a step of this size needs."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


Level = tuple[str, str]
"""Price and size; a size of ``0`` deletes the level."""


class Update(NamedTuple):
    """What changed, numbered ``first`` to ``last``."""

    first: int
    last: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Book:
    """The book of one instrument. ``last`` numbers the latest change."""

    def __init__(self, instrument: Instrument, chance: Chance) -> None:
        self._chance = chance
        self._updates = 0
        self.last = 1
        near = [MARKET_PRICE + instrument.tick * n for n in range(1, LEVELS + 1)]
        self.bids = {MARKET_PRICE * 2 - price: Decimal(n) for n, price in enumerate(near, 1)}
        self.asks = {price: Decimal(n) for n, price in enumerate(near, 1)}

    def step(self) -> Update:
        """Change one to :data:`CHANGES_MAX` levels."""
        self._updates += 1
        draw = self._chance.child("update", self._updates)
        first = self.last + 1
        changed: dict[bool, dict[Decimal, Decimal]] = {True: {}, False: {}}
        for _ in range(1 + int(draw.random() * CHANGES_MAX)):
            bid = draw.hits(0.5)
            side = self.bids if bid else self.asks
            price = draw.chosen(list(side))
            side[price] = changed[bid][price] = Decimal(int(draw.uniform(0, 100))) / 10
            self.last += 1
        return Update(first, self.last, _levels(changed[True].items()), _levels(changed[False].items()))

    def levels(self, limit: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Bids and asks that are there now, the best first."""
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        return tuple(_there(bids, limit)), tuple(_there(asks, limit))


def _levels(changes: Iterable[tuple[Decimal, Decimal]]) -> tuple[Level, ...]:
    return tuple((plain(price), plain(size)) for price, size in changes)


def _there(levels: Iterable[tuple[Decimal, Decimal]], limit: int) -> list[Level]:
    return [(plain(price), plain(size)) for price, size in levels if size][:limit]


class Market:
    """All books of a venue. ``every_s`` apart they move, as long as ``watched`` says that anybody looks.

    ``moved(instrument, book, update)`` hears of each update.
    """

    def __init__(
        self,
        context: Context,
        instruments: Iterable[Instrument],
        every_s: float,
        *,
        watched: Callable[[str], bool],
        moved: Callable[[Instrument, Book, Update], None],
    ) -> None:
        self.instruments: Mapping[str, Instrument] = {instrument.symbol: instrument for instrument in instruments}
        self.books = {
            symbol: Book(instrument, context.chance("book", symbol)) for symbol, instrument in self.instruments.items()
        }
        self._context = context
        self._every_s = every_s
        self._watched = watched
        self._moved = moved
        self._moving: set[str] = set()

    def watch(self, symbol: str) -> None:
        """Somebody looks at this book from now on."""
        if symbol in self.books and symbol not in self._moving:
            self._moving.add(symbol)
            self._context.call_later(self._every_s, lambda: self._move(symbol))

    def _move(self, symbol: str) -> None:
        if not self._watched(symbol):
            self._moving.discard(symbol)
            return
        book = self.books[symbol]
        self._moved(self.instruments[symbol], book, book.step())
        self._context.call_later(self._every_s, lambda: self._move(symbol))

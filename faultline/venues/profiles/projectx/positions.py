"""What fills come to: the position in each contract at its average price, and what each half-turn made."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from faultline.venues.broker import Fill
from faultline.venues.profiles.projectx.wire import TICK_SIZE, TICK_VALUE

_PER_POINT = TICK_VALUE / TICK_SIZE
_NOTHING = Decimal(0)


class Position(NamedTuple):
    """Signed size, the average price it was opened at, and the fill that opened it."""

    size: Decimal = _NOTHING
    price: Decimal = _NOTHING
    opened_by: str = ""


def after(position: Position, fill: Fill) -> tuple[Position, Decimal | None]:
    """The position after a fill, and the profit of what it closed (None: it closed nothing)."""
    signed = fill.quantity if fill.side == "buy" else -fill.quantity
    size = position.size + signed
    if not position.size or (position.size > 0) == (signed > 0):
        value = abs(position.size) * position.price + fill.quantity * fill.price
        return Position(size, value / abs(size), position.opened_by or fill.fill_id), None
    closed = min(abs(position.size), fill.quantity)
    direction = 1 if position.size > 0 else -1
    profit = (fill.price - position.price) * closed * direction * _PER_POINT
    if not size:
        return Position(), profit
    if (size > 0) == (position.size > 0):
        return Position(size, position.price, position.opened_by), profit
    return Position(size, fill.price, fill.fill_id), profit  # through zero: the rest opens anew


class Books(NamedTuple):
    """All positions by symbol, and the profit of each fill by its id."""

    positions: dict[str, Position]
    profits: dict[str, Decimal | None]


def books(fills: Iterable[Fill]) -> Books:
    """What these fills, the oldest first, come to."""
    made = Books({}, {})
    for fill in fills:
        before = made.positions.get(fill.symbol, Position())
        made.positions[fill.symbol], made.profits[fill.fill_id] = after(before, fill)
    return made

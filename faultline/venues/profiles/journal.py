"""When things happened, for payloads that carry times: the ledger's engine keeps states and no clock of the wall."""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from typing import NamedTuple

from faultline.venues.broker import Entry, Fill


class Times(NamedTuple):
    """Of one order, in milliseconds since 1970: when it came and when it last changed."""

    created_ms: int
    updated_ms: int


class Executed(NamedTuple):
    """What the fills of one order come to: notional value, fees, and the last of them."""

    value: Decimal
    fee: Decimal
    last: Fill | None


class Journal:
    """Notes each line of the ledger as it is entered. ``start_wall_s`` is the wall clock when the run began."""

    def __init__(self, start_wall_s: float) -> None:
        self._start_wall_s = start_wall_s
        self._changes: dict[str, list[float]] = {}
        self._fills: dict[str, list[tuple[float, Fill]]] = {}
        self._filled: dict[str, float] = {}

    def enter(self, entry: Entry) -> None:
        """Note one line."""
        self._changes.setdefault(entry.order.order_id, []).append(entry.t)
        if entry.fill is not None:
            self._fills.setdefault(entry.order.order_id, []).append((entry.t, entry.fill))
            self._filled[entry.fill.fill_id] = entry.t

    def ms(self, t: float) -> int:
        """A time of the run as milliseconds since 1970."""
        return round((self._start_wall_s + t) * 1000)

    def times(self, order_id: str, as_of: float | None = None) -> Times:
        """Of an order that exists (or did at ``as_of``)."""
        changes = self._changes[order_id]
        last = len(changes) if as_of is None else bisect_right(changes, as_of)
        return Times(self.ms(changes[0]), self.ms(changes[max(0, last - 1)]))

    def filled_ms(self, fill_id: str) -> int:
        """When a fill was made."""
        return self.ms(self._filled[fill_id])

    def fills(self, order_id: str, as_of: float | None = None) -> list[Fill]:
        """The fills of an order, the oldest first."""
        return [fill for t, fill in self._fills.get(order_id, ()) if as_of is None or t <= as_of]

    def executed(self, order_id: str, as_of: float | None = None) -> Executed:
        """What its fills come to."""
        fills = self.fills(order_id, as_of)
        value = sum((fill.quantity * fill.price for fill in fills), Decimal(0))
        return Executed(value, sum((fill.fee for fill in fills), Decimal(0)), fills[-1] if fills else None)

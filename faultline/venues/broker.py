"""The order engine and its ledger: pure, exact, without clock, wire or chance.

Time and ids are passed in, so the engine can be driven by a property test as well as by a venue. Every change makes
a new version of the order and one :class:`Entry`; versions are kept, so that a read can be answered as the ledger
stood at an earlier time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_DOWN, Context, Decimal
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from faultline.history.contract import OPEN_STATES, IdempotencyScope

Side = Literal["buy", "sell"]
OrderType = Literal["limit", "market"]
What = Literal["order", "reject", "fill", "cancel", "replace", "expire"]

STEP: Final = Decimal("1e-8")
"""The smallest quantity, price and fee."""
_DIGITS_MAX: Final = 12
_EXACT: Final = Context(prec=60)
_KEY: Final = re.compile(r"[!-+\--~]{1,64}")
_SYMBOL: Final = re.compile(r"[!-~]{1,32}")


class Refused(Exception):
    """The engine does not do that. ``code`` says why: ``duplicate_client_order_id``, ``order_not_found``,
    ``not_cancelable``, ``not_replaceable`` or ``rejected``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@lru_cache(maxsize=4096)
def plain(number: Decimal) -> str:
    """A decimal as text: no exponent, no trailing zeros."""
    return f"{_EXACT.normalize(number) if number else Decimal(0):f}"


def check_amount(name: str, number: Decimal) -> None:
    """Raises ValueError unless ``number`` is positive, with at most 12 digits before and 8 after the point."""
    if not number.is_finite() or number <= 0:
        raise ValueError(f"{name} must be a positive decimal")
    if number.adjusted() >= _DIGITS_MAX or _EXACT.normalize(number).as_tuple().exponent < -8:  # type: ignore[operator]
        raise ValueError(f"{name} may have {_DIGITS_MAX} digits before and 8 after the decimal point")


class Placement(msgspec.Struct, frozen=True):
    """What a client asks for. Raises ValueError for values that no order can have."""

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    client_order_id: str | None = None

    def __post_init__(self) -> None:
        if not _SYMBOL.fullmatch(self.symbol):
            raise ValueError("symbol must be 1 to 32 printable characters without spaces")
        if self.client_order_id is not None and not _KEY.fullmatch(self.client_order_id):
            raise ValueError("client_order_id must be 1 to 64 printable characters without spaces and commas")
        check_amount("quantity", self.quantity)
        if self.price is not None:
            check_amount("price", self.price)
        elif self.type == "limit":
            raise ValueError("a limit order needs a price")


class Order(msgspec.Struct, frozen=True):
    """One version of an order."""

    order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    filled: Decimal = Decimal(0)
    status: str = "new"
    reason: str | None = None

    @property
    def open(self) -> bool:
        """Whether it can still be filled."""
        return self.status in OPEN_STATES

    @property
    def remaining(self) -> Decimal:
        """What is not filled yet."""
        return self.quantity - self.filled


class Fill(msgspec.Struct, frozen=True):
    """A trade. ``sequence`` counts all fills from 1."""

    fill_id: str
    order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    sequence: int


class Entry(NamedTuple):
    """One line of the ledger: the order as it is afterwards, its state before, and the fill if there was one."""

    t: float
    what: What
    before: str
    order: Order
    fill: Fill | None = None


class _Version(NamedTuple):
    t: float
    order: Order


class Broker:
    """Orders, fills and positions of one account.

    ``scope`` says what a repeated client order id gets. A rejected order does not use up its id, except under
    ``first_result``, where the first answer counts whatever it was. ``fee`` is a fraction of the notional value.
    ``on_entry`` hears of every change, after it is made. Times passed in must not go backwards.
    """

    def __init__(self, scope: IdempotencyScope, fee: Decimal, on_entry: Callable[[Entry], None]) -> None:
        self.scope = scope
        self._fee = fee
        self._on_entry = on_entry
        self._orders: dict[str, Order] = {}
        self._versions: dict[str, list[_Version]] = {}
        self._by_key: dict[str, list[str]] = {}
        self._open: dict[str, None] = {}
        self._fills: list[Fill] = []
        self._fill_times: list[float] = []
        self._positions: dict[str, Decimal] = {}

    # Changes

    def repeated(self, key: str | None) -> Order | None:
        """The order that ``key`` was used for, if the scope makes that matter now."""
        earlier = self._by_key.get(key) if key is not None else None
        if not earlier or self.scope == "none":
            return None
        if self.scope == "first_result":
            return self._orders[earlier[0]]
        orders = (self._orders[order_id] for order_id in reversed(earlier))
        if self.scope == "unique_while_pending":
            return next((order for order in orders if order.open), None)
        return next((order for order in orders if order.status != "rejected"), None)

    def place(self, t: float, order_id: str, placement: Placement) -> Order:
        """Accept an order. Raises Refused for a repeated key, whose answer the caller knows from :meth:`repeated`."""
        return self._create(t, order_id, placement, "order", "new", None)

    def reject(self, t: float, order_id: str, placement: Placement, reason: str) -> Order:
        """Refuse an order for a business reason; it exists from then on, ``rejected``. Raises as :meth:`place`."""
        return self._create(t, order_id, placement, "reject", "rejected", reason)

    def fill(self, t: float, order_id: str, fill_id: str, quantity: Decimal, price: Decimal) -> Fill:
        """Fill part of an open order. Raises Refused, ValueError when ``quantity`` is more than what remains."""
        order = self._must_be_open(order_id, "not_fillable")
        if not 0 < quantity <= order.remaining:
            raise ValueError(f"cannot fill {quantity} of {order.remaining} that remain of {order_id}")
        fee = _EXACT.multiply(_EXACT.multiply(quantity, price), self._fee).quantize(STEP, context=_EXACT)
        fill = Fill(
            fill_id=fill_id,
            order_id=order_id,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price=price,
            fee=fee,
            sequence=len(self._fills) + 1,
        )
        self._fills.append(fill)
        self._fill_times.append(t)
        signed = quantity if order.side == "buy" else -quantity
        self._positions[order.symbol] = self._positions.get(order.symbol, Decimal(0)) + signed
        filled = order.filled + quantity
        status = "filled" if filled == order.quantity else "partially_filled"
        self._change(t, "fill", order, replace(order, filled=filled, status=status), fill)
        return fill

    def request_cancel(self, t: float, order_id: str) -> Order:
        """Note that a cancel is on its way; fills may still win the race. Raises Refused."""
        order = self._must_be_open(order_id, "not_cancelable")
        if order.status == "pending_cancel":
            return order
        return self._change(t, "cancel", order, replace(order, status="pending_cancel"))

    def cancel(self, t: float, order_id: str) -> Order:
        """Cancel what remains of an open order. Raises Refused."""
        order = self._must_be_open(order_id, "not_cancelable")
        return self._change(t, "cancel", order, replace(order, status="canceled"))

    def expire(self, t: float, order_id: str) -> Order:
        """End an open order because its time is over. Raises Refused; a cancel on its way goes first."""
        order = self._must_be_open(order_id, "not_expirable")
        if order.status == "pending_cancel":
            raise Refused("not_expirable", f"order {order_id} is being canceled")
        return self._change(t, "expire", order, replace(order, status="expired"))

    def replace(self, t: float, order_id: str, quantity: Decimal, price: Decimal) -> Order:
        """New size and price for an open limit order, which keeps its id and what is filled. Raises Refused."""
        order = self._must_be_open(order_id, "not_replaceable")
        if order.type != "limit" or order.status == "pending_cancel":
            raise Refused("not_replaceable", f"order {order_id} is a {order.type} order, {order.status}")
        if quantity <= order.filled:
            raise Refused("rejected", f"{plain(order.filled)} of order {order_id} are already filled")
        return self._change(t, "replace", order, replace(order, quantity=quantity, price=price))

    # Reads. ``as_of`` is a time in the past; None is now.

    def order(self, order_id: str, as_of: float | None = None) -> Order | None:
        """An order, or None when it does not exist (or did not then)."""
        if as_of is None:
            return self._orders.get(order_id)
        versions = self._versions.get(order_id, ())
        index = bisect_right(versions, as_of, key=lambda version: version.t)
        return versions[index - 1].order if index else None

    def orders(self, keys: Iterable[str] | None = None, *, as_of: float | None = None) -> list[Order]:
        """All orders, or those with one of these client order ids; the newest last."""
        if keys is None:
            ids: Iterable[str] = self._orders
        else:
            wanted = {order_id for key in keys for order_id in self._by_key.get(key, ())}
            ids = [order_id for order_id in self._orders if order_id in wanted] if len(wanted) > 1 else wanted
        found = (self.order(order_id, as_of) for order_id in ids)
        return [order for order in found if order is not None]

    def open_orders(self, as_of: float | None = None) -> list[Order]:
        """Every open order, the newest last."""
        if as_of is None:
            return [self._orders[order_id] for order_id in self._open]
        return [order for order in self.orders(as_of=as_of) if order.open]

    def fills(self, since: int = 0, limit: int | None = None, *, as_of: float | None = None) -> list[Fill]:
        """Fills after sequence ``since``, in order."""
        end = self.last_fill(as_of)
        return self._fills[since : end if limit is None else min(end, since + limit)]

    def last_fill(self, as_of: float | None = None) -> int:
        """Sequence of the latest fill; 0 when there is none."""
        return len(self._fills) if as_of is None else bisect_right(self._fill_times, as_of)

    def positions(self, as_of: float | None = None) -> Mapping[str, Decimal]:
        """Signed quantity held of each symbol that was ever traded."""
        if as_of is None:
            return self._positions
        positions: dict[str, Decimal] = {}
        for fill in self.fills(as_of=as_of):
            signed = fill.quantity if fill.side == "buy" else -fill.quantity
            positions[fill.symbol] = positions.get(fill.symbol, Decimal(0)) + signed
        return positions

    # Inside

    def _create(
        self, t: float, order_id: str, placement: Placement, what: What, status: str, reason: str | None
    ) -> Order:
        key = placement.client_order_id
        if self.repeated(key) is not None:
            raise Refused("duplicate_client_order_id", f"client_order_id {key} is in use")
        order = Order(
            order_id=order_id,
            client_order_id=key,
            symbol=placement.symbol,
            side=placement.side,
            type=placement.type,
            quantity=placement.quantity,
            price=placement.price,
            status=status,
            reason=reason,
        )
        if key is not None:
            self._by_key.setdefault(key, []).append(order_id)
        return self._change(t, what, None, order)

    def _must_be_open(self, order_id: str, code: str) -> Order:
        order = self._orders.get(order_id)
        if order is None:
            raise Refused("order_not_found", f"there is no order {order_id}")
        if not order.open:
            raise Refused(code, f"order {order_id} is {order.status}")
        return order

    def _change(self, t: float, what: What, before: Order | None, after: Order, fill: Fill | None = None) -> Order:
        order_id = after.order_id
        self._orders[order_id] = after
        self._versions.setdefault(order_id, []).append(_Version(t, after))
        if after.open:
            self._open[order_id] = None
        else:
            self._open.pop(order_id, None)
        self._on_entry(Entry(t, what, before.status if before is not None else "", after, fill))
        return after


def share(remaining: Decimal, parts_left: int, step: Decimal = STEP) -> Decimal:
    """The next of ``parts_left`` fills of ``remaining``: equal parts, whole steps, the last one takes the rest."""
    if parts_left <= 1:
        return remaining
    part = _EXACT.divide(remaining, Decimal(parts_left)).quantize(step, ROUND_DOWN, context=_EXACT)
    return part or remaining

"""What the client knows of orders and fills, and what it accepts as such from the venue.

Everything that comes off the wire passes through the readers at the end of this file. A payload that is not what
the venue documents is :class:`Unreadable`, never half an order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Final

ENDED: Final = frozenset({"filled", "canceled", "rejected", "expired"})
"""Statuses after which nothing more happens to an order."""

_STAGE: Final = {"pending": 0, "unknown": 0, "new": 1, "partially_filled": 2, "pending_cancel": 3}
_STATUSES: Final = ENDED | {"new", "partially_filled", "pending_cancel"}


class Unreadable(ValueError):
    """A payload that is not what the venue documents."""


@dataclass(frozen=True, slots=True)
class WireOrder:
    """An order as the venue tells it. ``key`` is our idempotency key, empty for orders of somebody else."""

    order_id: str
    key: str
    status: str
    filled: Decimal
    quantity: Decimal
    price: Decimal | None

    @property
    def ended(self) -> bool:
        """Nothing more can happen to it."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class WireFill:
    """A fill as the venue tells it. ``sequence`` is None where the venue does not number its fills."""

    fill_id: str
    order_id: str
    key: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Order:
    """One intent to trade, and what became of it.

    ``order_id`` is empty until the venue is known to have the order. ``filled`` is the sum of the fills applied and
    nothing else; ``reported`` is what the venue says was filled. Where it is more, fills are missing.
    """

    intent: str
    key: str
    symbol: str
    side: str
    order_type: str
    quantity: str
    price: str
    order_id: str = ""
    status: str = "pending"
    filled: Decimal = Decimal(0)
    reported: Decimal = Decimal(0)

    @property
    def ended(self) -> bool:
        """Nothing more can happen to it."""
        return self.status in ENDED

    @property
    def settled(self) -> bool:
        """Whether the venue has it is known for certain."""
        return bool(self.order_id) or self.ended

    @property
    def answer(self) -> str:
        """What the caller of ``place`` is told."""
        if not self.settled:
            return "unknown"
        return "accepted" if self.order_id and self.status != "rejected" else "rejected"

    def told(self, wire: WireOrder) -> Order:
        """This order after hearing ``wire``. Old news changes nothing: nothing follows an end, fills never shrink."""
        if self.order_id:
            known = (self.ended, self.reported, _STAGE.get(self.status, 0))
            if (wire.ended, wire.filled, _STAGE.get(wire.status, 0)) <= known:
                return self
        return replace(self, order_id=wire.order_id, status=wire.status, reported=max(self.reported, wire.filled))

    def with_fill(self, fill: WireFill, *, amended: bool) -> Order:
        """This order after a fill that it has not seen before.

        A fill proves that the order exists. The last one also ends it, unless a replacement was asked for
        (``amended``): then only the venue knows how large the order is.
        """
        filled = self.filled + fill.quantity
        status = self.status
        if status not in ENDED:
            if not amended and filled >= Decimal(self.quantity):
                status = "filled"
            elif status != "pending_cancel":
                status = "partially_filled"
        reported = max(self.reported, filled)
        return replace(self, order_id=fill.order_id, status=status, filled=filled, reported=reported)


@dataclass(frozen=True, slots=True)
class Amendment:
    """An intent to cancel or to replace the order of intent ``of``. ``outcome`` is empty until it is settled."""

    intent: str
    kind: str
    of: str
    quantity: str = ""
    price: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Sequence:
    """Which numbers of a topic were taken in: all up to ``contiguous``, and those in ``ahead``.

    A restart resumes after ``contiguous``. The largest number would do as long as nothing is ever missing, and
    would skip every gap otherwise.
    """

    contiguous: int = 0
    ahead: frozenset[int] = frozenset()

    def with_numbers(self, *numbers: int) -> Sequence:
        """The sequence after taking in ``numbers``."""
        contiguous, ahead = self.contiguous, {*self.ahead, *numbers}
        while contiguous + 1 in ahead:
            contiguous += 1
        return Sequence(contiguous, frozenset(number for number in ahead if number > contiguous))

    def up_to(self, number: int) -> Sequence:
        """The sequence when everything up to ``number`` is known by other means."""
        return Sequence(max(self.contiguous, number), self.ahead).with_numbers()


def read_order(data: object) -> WireOrder:
    """The order in a payload. Raises Unreadable."""
    fields = _fields(data, "order")
    status = _text(fields, "status")
    if status not in _STATUSES:
        raise Unreadable(f"an order has the unknown status {status!r}")
    price = fields.get("price")
    return WireOrder(
        order_id=_text(fields, "order_id"),
        key=str(fields.get("client_order_id") or ""),
        status=status,
        filled=_number(fields.get("filled"), "filled"),
        quantity=_number(fields.get("quantity"), "quantity"),
        price=None if price is None else _number(price, "price"),
    )


def read_fill(data: object) -> WireFill:
    """The fill in a payload. Raises Unreadable."""
    fields = _fields(data, "fill")
    side = _text(fields, "side")
    if side not in ("buy", "sell"):
        raise Unreadable(f"a fill has the unknown side {side!r}")
    return WireFill(
        fill_id=_text(fields, "fill_id"),
        order_id=_text(fields, "order_id"),
        key=str(fields.get("client_order_id") or ""),
        symbol=_text(fields, "symbol"),
        side=side,
        quantity=_number(fields.get("quantity"), "quantity"),
        price=_number(fields.get("price"), "price"),
        sequence=read_sequence(fields.get("sequence")),
    )


def read_sequence(value: object) -> int | None:
    """A sequence number; None where the venue gives none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def read_list(data: object, name: str) -> list[object]:
    """The list called ``name`` in a payload. Raises Unreadable."""
    found = _fields(data, "answer").get(name)
    if not isinstance(found, list):
        raise Unreadable(f"an answer has no list {name!r}")
    return found


def _fields(data: object, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Unreadable(f"expected an object for an {what}, got {type(data).__name__}")
    return data


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{name!r} is missing")
    return value


def _number(value: object, name: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise Unreadable(f"{name!r} is not a number: {value!r}") from error
    if not number.is_finite():
        raise Unreadable(f"{name!r} is not a number: {value!r}")
    return number

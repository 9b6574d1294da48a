"""What OKX's private stream tells: orders, with the fill that each message is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from targets.resilience.channel_model import News
from targets.resilience.order_channels import fill_delta, order_delta
from targets.resilience.venue import Fill, Order, OrderSide, OrderStatus
from targets.resilience.venues.spot import joined
from targets.resilience.wire import read_choice, read_decimal, read_list, read_object, read_text

ORDERS: Final = "orders"
_STATES: Final = {
    "live": OrderStatus.OPEN,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "mmp_canceled": OrderStatus.CANCELED,
}
_SIDES: Final = {side.value: side for side in OrderSide}


class OkxReading:
    """Both orders and fills are in the orders channel."""

    events: tuple[str, ...] = (ORDERS,)

    def orders(self, event: str, *arguments: object) -> Iterable[News]:
        """News of orders."""
        return tuple(order_delta(read_order(line)) for line in _lines(arguments))

    def fills(self, event: str, *arguments: object) -> Iterable[News]:
        """News of fills: a message that is about none has no trade id."""
        return tuple(fill_delta(read_fill(line)) for line in _lines(arguments) if line.get("tradeId"))


def _lines(arguments: tuple[object, ...]) -> tuple[Mapping[str, Any], ...]:
    return read_list(arguments[0], "data", lambda item: read_object(item, "an order"))


def read_fill(data: object) -> Fill:
    """The fill in an answer, or in an order's message that is about one. Raises UnreadableError."""
    fields = read_object(data, "a fill")
    symbol = read_text(fields, "instId")
    return Fill(
        id=joined(symbol, read_text(fields, "tradeId")),
        order_id=joined(symbol, read_text(fields, "ordId")),
        contract_id=symbol,
        side=read_choice(fields, "side", _SIDES),
        size=read_decimal(fields, "fillSz"),
        price=read_decimal(fields, "fillPx"),
        client_key=str(fields.get("clOrdId") or ""),
    )


def read_order(data: object) -> Order:
    """The order in a payload. Raises UnreadableError."""
    fields = read_object(data, "an order")
    symbol = read_text(fields, "instId")
    return Order(
        id=joined(symbol, read_text(fields, "ordId")),
        status=read_choice(fields, "state", _STATES),
        client_key=str(fields.get("clOrdId") or ""),
        contract_id=symbol,
        side=read_choice(fields, "side", _SIDES),
        size=read_decimal(fields, "sz"),
        filled=read_decimal(fields, "accFillSz"),
        price=read_decimal(fields, "px") if fields.get("px") else None,
    )

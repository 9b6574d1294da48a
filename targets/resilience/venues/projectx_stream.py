"""What ProjectX's user hub tells of orders and trades. Nothing is numbered, and nothing is told twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from targets.resilience.channel_model import News
from targets.resilience.order_channels import fill_delta, order_delta
from targets.resilience.venue import Fill, Order, OrderSide, OrderStatus
from targets.resilience.wire import read_choice, read_decimal, read_decimal_or_none, read_object, read_text

ORDER: Final = "GatewayUserOrder"
TRADE: Final = "GatewayUserTrade"
_STATUSES: Final = {
    1: OrderStatus.OPEN,
    2: OrderStatus.FILLED,
    3: OrderStatus.CANCELED,
    4: OrderStatus.EXPIRED,
    5: OrderStatus.REJECTED,
    6: OrderStatus.OPEN,
}
"""Open, filled, cancelled, expired, rejected, pending."""
_SIDES: Final = {0: OrderSide.BUY, 1: OrderSide.SELL}


class ProjectXReading:
    """Orders and trades, each in an event of its own."""

    events: tuple[str, ...] = (ORDER, TRADE)

    def orders(self, event: str, *arguments: object) -> Iterable[News]:
        """News of orders."""
        return (order_delta(read_order(_told(arguments))),) if event == ORDER else ()

    def fills(self, event: str, *arguments: object) -> Iterable[News]:
        """News of trades."""
        return (fill_delta(read_fill(_told(arguments))),) if event == TRADE else ()


def _told(arguments: tuple[object, ...]) -> Mapping[str, Any]:
    """The order or trade in an event, which some gateways wrap as ``{action, data}``."""
    fields = read_object(arguments[0] if arguments else None, "an event")
    inner = fields.get("data")
    return inner if isinstance(inner, dict) else fields


def read_order(data: object) -> Order:
    """The order in a payload. Raises UnreadableError."""
    fields = read_object(data, "an order")
    filled = read_decimal(fields, "fillVolume")
    status = read_choice(fields, "status", _STATUSES)
    # A partial fill shows in the volume alone.
    return Order(
        id=str(read_decimal(fields, "id")),
        status=OrderStatus.PARTIALLY_FILLED if status == OrderStatus.OPEN and filled else status,
        client_key=str(fields.get("customTag") or ""),
        contract_id=str(fields.get("contractId") or ""),
        side=read_choice(fields, "side", _SIDES),
        size=read_decimal(fields, "size"),
        filled=filled,
        price=read_decimal_or_none(fields, "limitPrice"),
    )


def read_fill(data: object) -> Fill:
    """The trade in a payload. Raises UnreadableError."""
    fields = read_object(data, "a trade")
    return Fill(
        id=str(read_decimal(fields, "id")),
        order_id=str(read_decimal(fields, "orderId")),
        contract_id=read_text(fields, "contractId"),
        side=read_choice(fields, "side", _SIDES),
        size=read_decimal(fields, "size"),
        price=read_decimal(fields, "price"),
        voided=fields.get("voided") is True,
    )

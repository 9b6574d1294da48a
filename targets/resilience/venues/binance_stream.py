"""Binance's account stream on the WebSocket API: one signed subscription per connection, no numbers, no replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from targets.resilience.channel_model import News
from targets.resilience.order_channels import fill_delta, order_delta
from targets.resilience.plain_dialect import PlainDialect, write
from targets.resilience.signalr_protocol import ProtocolError
from targets.resilience.stream_dialect import Answer, Event, Goodbye, Heard, Question
from targets.resilience.venue import Fill, Order, OrderSide, OrderStatus
from targets.resilience.venues.spot import joined
from targets.resilience.wire import read_choice, read_decimal, read_decimal_or_none, read_object, read_text

EXECUTION: Final = "executionReport"
_TIME_CODE: Final = -1021
STATUSES: Final = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "PENDING_CANCEL": OrderStatus.PENDING_CANCEL,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "PARTIALLY_CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
SIDES: Final = {"BUY": OrderSide.BUY, "SELL": OrderSide.SELL}


def account_stream(proof: Callable[[], Mapping[str, Any]], *, distrust: Callable[[], None]) -> PlainDialect:
    """``proof`` makes the signed parameters of a subscription, ``distrust`` hears that their time was refused."""

    def question(number: int, topic: str, arguments: tuple[object, ...]) -> Question:
        call = {"id": str(number), "method": "userDataStream.subscribe.signature", "params": dict(proof())}
        return Question(str(number), write(call))

    def reading(message: Mapping[str, Any]) -> Iterable[Heard]:
        if "id" in message:
            error = message.get("error")
            if isinstance(error, dict) and error.get("code") == _TIME_CODE:
                distrust()
            return (Answer(str(message["id"]), message.get("result"), "" if error is None else write(error)),)
        event = message.get("event")
        name = event.get("e") if isinstance(event, dict) else None
        if not isinstance(name, str):
            raise ProtocolError("a stream message has no event type")
        return (Goodbye("the server is about to shut down"),) if name == "serverShutdown" else (Event(name, (event,)),)

    return PlainDialect(subscription=question, reading=reading)


class BinanceReading:
    """Both orders and trades are in the execution reports."""

    events: tuple[str, ...] = (EXECUTION,)

    def orders(self, event: str, *arguments: object) -> Iterable[News]:
        """News of orders."""
        fields = read_object(arguments[0], "an execution")
        # Of a cancel, "c" is the cancel's own id and "C" the order's.
        order = Order(
            id=joined(read_text(fields, "s"), read_decimal(fields, "i")),
            status=read_choice(fields, "X", STATUSES),
            client_key=str(fields.get("C") or fields.get("c") or ""),
            contract_id=read_text(fields, "s"),
            side=read_choice(fields, "S", SIDES),
            size=read_decimal(fields, "q"),
            filled=read_decimal(fields, "z"),
            price=read_decimal_or_none(fields, "p"),
        )
        return (order_delta(order),)

    def fills(self, event: str, *arguments: object) -> Iterable[News]:
        """News of trades."""
        fields = read_object(arguments[0], "an execution")
        if fields.get("x") != "TRADE":
            return ()
        symbol = read_text(fields, "s")
        fill = Fill(
            id=joined(symbol, read_decimal(fields, "t")),
            order_id=joined(symbol, read_decimal(fields, "i")),
            contract_id=symbol,
            side=read_choice(fields, "S", SIDES),
            size=read_decimal(fields, "l"),
            price=read_decimal(fields, "L"),
            client_key=str(fields.get("c") or ""),
        )
        return (fill_delta(fill),)


def read_order(data: object) -> Order:
    """The order in an answer. Raises UnreadableError."""
    fields = read_object(data, "an order")
    symbol = read_text(fields, "symbol")
    return Order(
        id=joined(symbol, fields.get("orderId")),
        status=read_choice(fields, "status", STATUSES),
        # The answer to a cancel shows the cancel's own id under the usual name.
        client_key=str(fields.get("origClientOrderId") or fields.get("clientOrderId") or ""),
        contract_id=symbol,
        side=read_choice(fields, "side", SIDES),
        size=read_decimal(fields, "origQty"),
        filled=read_decimal(fields, "executedQty"),
        price=read_decimal_or_none(fields, "price"),
    )


def read_trade(data: object) -> Fill:
    """The trade in an answer. Raises UnreadableError."""
    fields = read_object(data, "a trade")
    symbol = read_text(fields, "symbol")
    return Fill(
        id=joined(symbol, fields.get("id")),
        order_id=joined(symbol, fields.get("orderId")),
        contract_id=symbol,
        side=OrderSide.BUY if fields.get("isBuyer") is True else OrderSide.SELL,
        size=read_decimal(fields, "qty"),
        price=read_decimal(fields, "price"),
        client_key=str(fields.get("clientOrderId") or ""),
    )

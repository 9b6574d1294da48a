"""What Gate's private channels tell of orders and trades, and how orders and trades are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from targets.resilience.channel_model import News
from targets.resilience.order_channels import fill_delta, order_delta
from targets.resilience.plain_dialect import PlainDialect, write
from targets.resilience.signalr_protocol import ProtocolError
from targets.resilience.stream_dialect import Answer, Event, Heard, Question
from targets.resilience.venue import Fill, Order, OrderSide, OrderStatus
from targets.resilience.venues.spot import joined
from targets.resilience.wire import read_choice, read_decimal, read_list, read_object, read_text

ORDERS: Final = "spot.orders"
TRADES: Final = "spot.usertrades"
TEXT_MAX: Final = 28
_PREFIX: Final = "t-"
_SIDES: Final = {side.value: side for side in OrderSide}
_STATUSES: Final = {"open": OrderStatus.OPEN, "closed": OrderStatus.FILLED, "cancelled": OrderStatus.CANCELED}


@dataclass(frozen=True, slots=True)
class Proof:
    """Who subscribes, and when, in seconds since 1970."""

    at: int
    key: str
    signature: str = field(repr=False)


def account_stream(prove: Callable[[str], Proof]) -> PlainDialect:
    """``prove`` signs the subscription to a channel."""

    def question(number: int, topic: str, arguments: tuple[object, ...]) -> Question:
        proof = prove(topic)
        auth = {"method": "api_key", "KEY": proof.key, "SIGN": proof.signature}
        call = {"id": number, "time": proof.at, "channel": topic, "event": "subscribe", "payload": list(arguments)}
        return Question(str(number), write({**call, "auth": auth}))

    return PlainDialect(subscription=question, reading=_read, probe='{"channel":"spot.ping"}')


def _read(message: Mapping[str, Any]) -> Iterable[Heard]:
    channel, event = message.get("channel"), message.get("event")
    if not isinstance(channel, str):
        raise ProtocolError("a stream message names no channel")
    if message.get("error") is not None and message.get("id") is None:
        raise ProtocolError(f"error on {channel}: {write(message['error'])[:100]}")
    if event == "subscribe":
        error = message.get("error")
        return (Answer(str(message.get("id")), message.get("result"), "" if error is None else write(error)),)
    return (Event(channel, (message,)),) if event == "update" else ()


class GateReading:
    """Orders and trades, each in a channel of its own."""

    events: tuple[str, ...] = (ORDERS, TRADES)

    def orders(self, event: str, *arguments: object) -> Iterable[News]:
        """News of orders."""
        return map(order_delta, read_list(arguments[0], "result", read_order)) if event == ORDERS else ()

    def fills(self, event: str, *arguments: object) -> Iterable[News]:
        """News of trades."""
        return map(fill_delta, read_list(arguments[0], "result", read_trade)) if event == TRADES else ()


def text_of(client_key: str) -> str:
    """A key as the venue takes it."""
    return _PREFIX + client_key


def _key_of(text: object) -> str:
    """The key in a ``text``. What the venue wrote itself, such as ``apiv4``, is none."""
    return text.removeprefix(_PREFIX) if isinstance(text, str) and text.startswith(_PREFIX) else ""


def read_order(data: object) -> Order:
    """The order in a payload. Raises UnreadableError."""
    fields = read_object(data, "an order")
    symbol = read_text(fields, "currency_pair")
    size, left = read_decimal(fields, "amount"), read_decimal(fields, "left")
    status = read_choice(fields, "status", _STATUSES)
    filled = read_decimal(fields, "filled_amount") if fields.get("filled_amount") is not None else size - left
    if status == OrderStatus.OPEN and filled:
        status = OrderStatus.PARTIALLY_FILLED
    elif status == OrderStatus.FILLED and fields.get("finish_as") in ("ioc", "expired"):
        status = OrderStatus.EXPIRED
    return Order(
        id=joined(symbol, read_text(fields, "id")),
        status=status,
        client_key=_key_of(fields.get("text")),
        contract_id=symbol,
        side=read_choice(fields, "side", _SIDES),
        size=size,
        filled=filled,
        price=read_decimal(fields, "price"),
    )


def read_trade(data: object) -> Fill:
    """The trade in a payload. Raises UnreadableError."""
    fields = read_object(data, "a trade")
    symbol = read_text(fields, "currency_pair")
    return Fill(
        id=joined(symbol, read_text(fields, "id")),
        order_id=joined(symbol, read_text(fields, "order_id")),
        contract_id=symbol,
        side=read_choice(fields, "side", _SIDES),
        size=read_decimal(fields, "amount"),
        price=read_decimal(fields, "price"),
        client_key=_key_of(fields.get("text")),
    )

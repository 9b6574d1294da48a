"""The JSON of Gate v4: strings for amounts, seconds and milliseconds side by side. No behaviour."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, cast

import msgspec

from faultline.history.attribution import Identity
from faultline.venues.broker import Fill, Order, OrderType, Placement, Side, plain
from faultline.venues.matching import MARKET_PRICE
from faultline.venues.profiles.account import Balance
from faultline.venues.profiles.journal import Journal
from faultline.venues.profiles.market import Instrument, decimals
from faultline.venues.wire import Json

TEXT: Final = re.compile(r"t-[0-9A-Za-z_.-]{1,28}")
_FINISHED: Final = {"filled": "filled", "canceled": "cancelled", "expired": "ioc"}


class Problem(Exception):
    """A request that cannot be obeyed: HTTP status, the venue's label, and its message."""

    def __init__(self, status: int, label: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.label = label


class NewOrder(msgspec.Struct, frozen=True):
    """Body of a new order, as it was sent."""

    currency_pair: str
    side: str
    amount: str
    type: str = "limit"
    price: str = ""
    text: str = ""
    time_in_force: str = "gtc"
    account: str = "spot"


class Amendment(msgspec.Struct, frozen=True):
    """Body of a change: a new size, a new price, or both."""

    amount: str = ""
    price: str = ""


_read_order = msgspec.json.Decoder(NewOrder).decode
_read_amendment = msgspec.json.Decoder(Amendment).decode


@lru_cache(maxsize=16)
def new_order(body: bytes) -> NewOrder:
    """A new order. Raises Problem."""
    try:
        return _read_order(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Problem(400, "INVALID_REQUEST_BODY", "Invalid request body") from None


def amendment(body: bytes) -> Amendment:
    """A change of an order. Raises Problem."""
    try:
        return _read_amendment(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Problem(400, "INVALID_REQUEST_BODY", "Invalid request body") from None


def key_of(text: str) -> str:
    """The client's own id: a ``text`` without the prefix that every one has."""
    return text.removeprefix("t-")


def identity_of_new(order: NewOrder) -> Identity:
    """What a new order shows of itself."""
    fields = (("price", order.price), ("quantity", order.amount), ("symbol", order.currency_pair), ("side", order.side))
    return Identity(key_of(order.text), fields=fields, op="place")


def amount(name: str, text: str) -> Decimal:
    """A positive amount. Raises Problem."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise Problem(400, "INVALID_PARAM_VALUE", f"Invalid {name}")
    return number


def placement(order: NewOrder, instruments: Mapping[str, Instrument]) -> Placement:
    """Read a new order. The size of a market buy is what to spend. Raises Problem."""
    instrument = instruments.get(order.currency_pair)
    if instrument is None:
        raise Problem(400, "INVALID_CURRENCY_PAIR", f"Invalid currency pair {order.currency_pair}")
    market = order.type == "market"
    if order.side not in ("buy", "sell") or order.type not in ("limit", "market") or order.account != "spot":
        raise Problem(400, "INVALID_PARAM_VALUE", "Invalid side, type or account")
    if order.time_in_force not in (("ioc", "fok") if market else ("gtc", "ioc", "fok")):
        raise Problem(400, "INVALID_PARAM_VALUE", f"Invalid time_in_force {order.time_in_force}")
    if order.text and not TEXT.fullmatch(order.text):
        raise Problem(400, "INVALID_PARAM_VALUE", "Invalid text")
    size = amount("amount", order.amount)
    price = None if market else amount("price", order.price)
    if market and order.side == "buy":
        size = size / MARKET_PRICE // instrument.step * instrument.step
    misfit = instrument.misfit(size, price) if size else "notional"
    if misfit:
        text = {"notional": "Your order size is too small"}.get(misfit, f"Invalid {misfit} precision")
        raise Problem(400, "INVALID_PARAM_VALUE", text)
    kind = "limit" if order.time_in_force == "gtc" else "market"
    try:
        return Placement(
            order.currency_pair, cast("Side", order.side), cast("OrderType", kind), size, price, order.text or None
        )
    except ValueError:
        raise Problem(400, "INVALID_PARAM_VALUE", "Invalid amount") from None


class Teller:
    """Turns the ledger's values into the venue's JSON. ``as_of`` is a time in the past; None is now."""

    def __init__(self, journal: Journal, instruments: Mapping[str, Instrument]) -> None:
        self._journal = journal
        self._instruments = instruments

    def order(self, order: Order, as_of: float | None = None) -> dict[str, object]:
        """An order, in answers and on the stream."""
        times = self._journal.times(order.order_id, as_of)
        executed = self._journal.executed(order.order_id, as_of)
        quote = self._instruments[order.symbol].quote
        spends = order.price is None and order.side == "buy"
        size = order.quantity * MARKET_PRICE if spends else order.quantity
        left = size - (executed.value if spends else order.filled)
        return {
            "id": order.order_id,
            "text": order.client_order_id or "apiv4",
            "amend_text": "-",
            "create_time": str(times.created_ms // 1000),
            "update_time": str(times.updated_ms // 1000),
            "create_time_ms": times.created_ms,
            "update_time_ms": times.updated_ms,
            "status": "open" if order.open else "cancelled" if order.status == "canceled" else "closed",
            "currency_pair": order.symbol,
            "type": "market" if order.price is None else "limit",
            "account": "spot",
            "side": order.side,
            "amount": plain(size),
            "price": "0" if order.price is None else plain(order.price),
            "time_in_force": "gtc" if order.type == "limit" else "ioc",
            "iceberg": "0",
            "left": plain(left),
            "filled_amount": plain(order.filled),
            "fill_price": plain(executed.value),
            "filled_total": plain(executed.value),
            "avg_deal_price": plain(executed.value / order.filled) if order.filled else "",
            "fee": plain(executed.fee),
            "fee_currency": quote,
            "point_fee": "0",
            "gt_fee": "0",
            "gt_discount": False,
            "rebated_fee": "0",
            "rebated_fee_currency": self._instruments[order.symbol].base,
            "finish_as": "open" if order.open else _FINISHED[order.status],
        }

    def trade(self, fill: Fill, order: Order) -> Json:
        """A fill, in answers and on the stream."""
        at_ms = self._journal.filled_ms(fill.fill_id)
        return {
            "id": fill.fill_id,
            "create_time": str(at_ms // 1000),
            "create_time_ms": f"{at_ms}.0",
            "currency_pair": fill.symbol,
            "side": fill.side,
            "role": "maker" if order.type == "limit" else "taker",
            "amount": plain(fill.quantity),
            "price": plain(fill.price),
            "order_id": fill.order_id,
            "fee": plain(fill.fee),
            "fee_currency": self._instruments[fill.symbol].quote,
            "point_fee": "0",
            "gt_fee": "0",
            "amend_text": "-",
            "sequence_id": str(fill.sequence),
            "text": fill.client_order_id or "apiv4",
        }


def pair_json(instrument: Instrument, fee: float) -> Json:
    """An instrument; its fee is in percent."""
    return {
        "id": instrument.symbol,
        "base": instrument.base,
        "quote": instrument.quote,
        "fee": f"{fee * 100:g}",
        "min_base_amount": plain(instrument.step),
        "min_quote_amount": plain(instrument.notional_min),
        "amount_precision": decimals(instrument.step),
        "precision": decimals(instrument.tick),
        "trade_status": "tradable",
        "sell_start": 0,
        "buy_start": 0,
    }


def accounts_json(balances: Mapping[str, Balance], updates: int) -> list[Json]:
    """The balances."""
    return [
        {"currency": asset, "available": plain(one.free), "locked": plain(one.locked), "update_id": updates}
        for asset, one in balances.items()
    ]

"""The JSON of OKX v5: strings for all numbers, milliseconds for all times. No behaviour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, cast

import msgspec

from faultline.history.attribution import Identity
from faultline.venues.broker import Fill, Order, OrderType, Placement, Side, plain
from faultline.venues.matching import MARKET_PRICE
from faultline.venues.profiles.account import Balance
from faultline.venues.profiles.journal import Journal
from faultline.venues.profiles.market import Instrument, Level
from faultline.venues.wire import Json

STATES: Final = {
    "new": "live",
    "partially_filled": "partially_filled",
    "filled": "filled",
    "canceled": "canceled",
    "expired": "canceled",
}
KEY_MAX: Final = 32


class Problem(Exception):
    """A request that cannot be obeyed: the venue's code and message, with the HTTP status where it is not 200."""

    def __init__(self, code: str, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class NewOrder(msgspec.Struct, frozen=True):
    """Body of a new order, as it was sent."""

    instId: str  # noqa: N815 -- the venue's name
    side: str
    ordType: str  # noqa: N815
    sz: str
    tdMode: str = ""  # noqa: N815
    px: str = ""
    clOrdId: str = ""  # noqa: N815
    tgtCcy: str = ""  # noqa: N815


class Named(msgspec.Struct, frozen=True):
    """Body of a cancel or an amendment: which order, and its new size and price."""

    instId: str = ""  # noqa: N815
    ordId: str = ""  # noqa: N815
    clOrdId: str = ""  # noqa: N815
    newSz: str = ""  # noqa: N815
    newPx: str = ""  # noqa: N815


_read_orders = msgspec.json.Decoder(tuple[NewOrder, ...]).decode
_read_named = msgspec.json.Decoder(Named).decode


@lru_cache(maxsize=16)
def new_orders(body: bytes) -> tuple[NewOrder, ...]:
    """The orders of a body, one or a list. Raises Problem."""
    try:
        return _read_orders(body if body[:1] == b"[" else b"[%b]" % body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Problem("50002", "JSON syntax error", 400) from None


def named(body: bytes) -> Named:
    """The order that a body is about. Raises Problem."""
    try:
        return _read_named(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Problem("50002", "JSON syntax error", 400) from None


def identity_of_new(order: NewOrder) -> Identity:
    """What a new order shows of itself."""
    fields = (("price", order.px), ("quantity", order.sz), ("symbol", order.instId), ("side", order.side))
    return Identity(order.clOrdId, fields=fields, op="place")


def amount(name: str, text: str) -> Decimal:
    """A positive amount. Raises Problem."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise Problem("51000", f"Parameter {name} error")
    return number


def placement(order: NewOrder, instruments: Mapping[str, Instrument]) -> Placement:
    """Read a new order. Raises Problem."""
    instrument = instruments.get(order.instId)
    if instrument is None:
        raise Problem("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
    if order.side not in ("buy", "sell"):
        raise Problem("51000", "Parameter side error")
    if order.ordType not in ("limit", "market", "ioc", "fok"):
        raise Problem("51000", "Parameter ordType error")
    if order.tdMode != "cash":
        raise Problem("51000", "Parameter tdMode error")
    key = order.clOrdId
    if key and not (key.isascii() and key.isalnum() and len(key) <= KEY_MAX):
        raise Problem("51000", "Parameter clOrdId error")
    size = amount("sz", order.sz)
    price = None if order.ordType == "market" else amount("px", order.px)
    if order.ordType == "market" and order.side == "buy" and order.tgtCcy != "base_ccy":
        # By default the size of a market buy is what to spend.
        size = size / MARKET_PRICE // instrument.step * instrument.step
    if not size or size % instrument.step:
        raise Problem("51121", "Order quantity must be a multiple of the lot size.")
    misfit = instrument.misfit(size, price)
    if misfit == "price":
        raise Problem("51000", "Parameter px error")
    if misfit:
        raise Problem("51020", "Your order should meet or exceed the minimum order amount.")
    kind = "limit" if order.ordType == "limit" else "market"
    try:
        return Placement(order.instId, cast("Side", order.side), cast("OrderType", kind), size, price, key or None)
    except ValueError:
        raise Problem("51000", "Parameter sz error") from None


def _ms(ms: int) -> str:
    return str(ms)


class Teller:
    """Turns the ledger's values into the venue's JSON. ``as_of`` is a time in the past; None is now."""

    def __init__(self, journal: Journal, instruments: Mapping[str, Instrument]) -> None:
        self._journal = journal
        self._instruments = instruments
        self.kinds: dict[str, str] = {}
        """``ioc`` or ``fok``, by the ids of orders that were sent so."""

    def state(self, order: Order) -> str:
        """The state of an order in the venue's words; one that is being cancelled is still what it was."""
        if order.status == "pending_cancel":
            return "partially_filled" if order.filled else "live"
        return STATES[order.status]

    def kind(self, order: Order) -> str:
        """Its ``ordType``."""
        if order.type == "limit" or order.price is None:
            return order.type
        return self.kinds.get(order.client_order_id or "", "ioc")

    def order(self, order: Order, as_of: float | None = None, fill: Fill | None = None) -> dict[str, object]:
        """As queries answer, and, with the fill that it is about, as the orders channel tells."""
        times = self._journal.times(order.order_id, as_of)
        executed = self._journal.executed(order.order_id, as_of)
        last = fill or executed.last
        return {
            "instType": "SPOT",
            "instId": order.symbol,
            "ordId": order.order_id,
            "clOrdId": order.client_order_id or "",
            "tag": "",
            "px": "" if order.price is None else plain(order.price),
            "sz": plain(order.quantity),
            "ordType": self.kind(order),
            "side": order.side,
            "posSide": "net",
            "tdMode": "cash",
            "tgtCcy": "base_ccy" if self.kind(order) == "market" else "",
            "accFillSz": plain(order.filled),
            "avgPx": plain(executed.value / order.filled) if order.filled else "",
            "fillPx": "" if last is None else plain(last.price),
            "fillSz": "0" if last is None else plain(last.quantity),
            "tradeId": "" if last is None else last.fill_id,
            "fillTime": "" if last is None else _ms(self._journal.filled_ms(last.fill_id)),
            "state": self.state(order),
            "fee": plain(-executed.fee),
            "feeCcy": self._instruments[order.symbol].quote,
            "rebate": "0",
            "rebateCcy": self._instruments[order.symbol].base,
            "pnl": "0",
            "lever": "",
            "ccy": "",
            "category": "normal",
            "cancelSource": "",
            "cTime": _ms(times.created_ms),
            "uTime": _ms(times.updated_ms),
        }

    def told(self, order: Order, fill: Fill | None) -> Json:
        """As the orders channel tells it: the fill fields are those of this message, empty where it is about none."""
        about = self.order(order, None, fill)
        if fill is None:
            about |= {"fillPx": "", "fillSz": "0", "tradeId": "", "fillTime": "", "execType": ""}
        else:
            fee_ccy = self._instruments[order.symbol].quote
            about |= {"execType": self.role(order), "fillFee": plain(-fill.fee), "fillFeeCcy": fee_ccy}
        return {**about, "code": "0", "msg": "", "reqId": "", "amendResult": ""}

    @staticmethod
    def role(order: Order) -> str:
        """``M`` for an order that rested, ``T`` for one that took."""
        return "M" if order.type == "limit" else "T"

    def fill(self, fill: Fill, role: str) -> Json:
        """A fill, as ``fills`` lists it."""
        at_ms = _ms(self._journal.filled_ms(fill.fill_id))
        return {
            "instType": "SPOT",
            "instId": fill.symbol,
            "tradeId": fill.fill_id,
            "ordId": fill.order_id,
            "clOrdId": fill.client_order_id or "",
            "billId": fill.fill_id,
            "tag": "",
            "fillPx": plain(fill.price),
            "fillSz": plain(fill.quantity),
            "side": fill.side,
            "posSide": "net",
            "execType": role,
            "fee": plain(-fill.fee),
            "feeCcy": self._instruments[fill.symbol].quote,
            "ts": at_ms,
            "fillTime": at_ms,
        }


def accepted(order_id: str, key: str, at_ms: int, code: str = "0", message: str = "") -> Json:
    """What is said of each order of a request; ``code`` other than 0 says that it failed."""
    return {"ordId": order_id, "clOrdId": key, "tag": "", "ts": _ms(at_ms), "sCode": code, "sMsg": message}


def instrument_json(instrument: Instrument) -> Json:
    """An instrument."""
    return {
        "instType": "SPOT",
        "instId": instrument.symbol,
        "uly": "",
        "instFamily": "",
        "baseCcy": instrument.base,
        "quoteCcy": instrument.quote,
        "settleCcy": "",
        "ctVal": "",
        "ctMult": "",
        "ctValCcy": "",
        "optType": "",
        "stk": "",
        "listTime": "1548133413000",
        "expTime": "",
        "lever": "",
        "tickSz": plain(instrument.tick),
        "lotSz": plain(instrument.step),
        "minSz": plain(instrument.step),
        "ctType": "",
        "alias": "",
        "state": "live",
    }


def balance_json(balances: Mapping[str, Balance], at_ms: int) -> Json:
    """The account."""
    details = []
    for asset, balance in balances.items():
        total, free, locked = plain(balance.free + balance.locked), plain(balance.free), plain(balance.locked)
        details.append(
            {
                "ccy": asset,
                "eq": total,
                "cashBal": total,
                "availBal": free,
                "availEq": free,
                "frozenBal": locked,
                "ordFrozen": locked,
                "uTime": _ms(at_ms),
            }
        )
    return {"uTime": _ms(at_ms), "totalEq": "", "details": details}


def book_json(levels: tuple[Iterable[Level], Iterable[Level]], at_ms: int, **numbers: int) -> Json:
    """A book or a change of one: price, size, a field that is always 0, and the number of orders."""
    bids, asks = ([[price, size, "0", "1"] for price, size in side] for side in levels)
    return {"asks": asks, "bids": bids, "ts": _ms(at_ms), **numbers}

"""Parameters of Binance and MEXC spot requests: read once, checked, in words that the dialect turns into errors."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, Literal, cast
from urllib.parse import parse_qsl

import msgspec

from faultline.history.attribution import Identity
from faultline.venues.base import Request
from faultline.venues.broker import OrderType, Placement, Side
from faultline.venues.matching import MARKET_PRICE
from faultline.venues.profiles.market import Instrument

ResponseType = Literal["ACK", "RESULT", "FULL"]
_DEPTH_CLASSES: Final = (100, 500, 1000)
_IDS: Final = frozenset({"GET", "DELETE"})


class Problem(Exception):
    """A request that cannot be obeyed: ``reason`` is one that the dialect has an error for, ``what`` its detail."""

    def __init__(self, reason: str, what: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.what = what


class Wanted(msgspec.Struct, frozen=True):
    """An order as asked for. ``time_in_force`` IOC and FOK are filled at once or never."""

    placement: Placement
    time_in_force: str = "GTC"
    response_type: ResponseType = "FULL"


def params_of(request: Request) -> Mapping[str, str]:
    """All parameters, of query and form; the query wins where both have one."""
    return {**_form(request.body), **request.query} if request.body else request.query


@lru_cache(maxsize=64)
def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def endpoint_of(method: str, path: str, params: Mapping[str, str]) -> str:
    """The endpoint in fault points. Where a parameter changes what a request weighs it is part of the name."""
    endpoint = f"{method} {path}"[:120]
    match endpoint:
        case "GET /api/v3/depth":
            limit = int(params["limit"]) if params.get("limit", "").isdigit() else 100
            size = next((size for size in _DEPTH_CLASSES if limit <= size), 5000)
            return endpoint if size == _DEPTH_CLASSES[0] else f"{endpoint}?limit={size}"
        case "GET /api/v3/openOrders" if "symbol" in params:
            return f"{endpoint}?symbol"
        case "GET /api/v3/myTrades" if "orderId" in params:
            return f"{endpoint}?orderId"
    return endpoint


def identity_of(request: Request) -> Identity:
    """What a request shows of itself."""
    params = params_of(request)
    if request.path != "/api/v3/order":
        return Identity(order=params.get("orderId", ""))
    if request.method in _IDS:
        op = "cancel" if request.method == "DELETE" else ""
        return Identity(params.get("origClientOrderId", ""), params.get("orderId", ""), op=op)
    fields = tuple((name, params.get(name, "")) for name in ("price", "quantity", "symbol"))
    side = params.get("side", "").lower()
    return Identity(params.get("newClientOrderId", ""), fields=(*fields, ("side", side)), op="place")


def needed(params: Mapping[str, str], name: str) -> str:
    """A parameter that must be there. Raises Problem."""
    value = params.get(name, "")
    if not value:
        raise Problem("parameter", name)
    return value


def whole(params: Mapping[str, str], name: str, default: int) -> int:
    """A whole number. Raises Problem."""
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem("parameter", name)
    return int(text)


def _amount(params: Mapping[str, str], name: str) -> Decimal:
    try:
        number = Decimal(needed(params, name))
    except InvalidOperation:
        raise Problem("parameter", name) from None
    if not number.is_finite() or number <= 0:
        raise Problem("parameter", name)
    return number


def wanted(params: Mapping[str, str], instruments: Mapping[str, Instrument], default_key: str) -> Wanted:
    """Read a new order. ``default_key`` is the client order id of one that names none. Raises Problem."""
    instrument = instruments.get(needed(params, "symbol"))
    if instrument is None:
        raise Problem("symbol")
    side, kind = needed(params, "side").lower(), needed(params, "type").lower()
    if side not in ("buy", "sell"):
        raise Problem("side")
    if kind not in ("limit", "market"):
        raise Problem("type")
    time_in_force = "GTC"
    price = None
    if kind == "limit":
        time_in_force = params.get("timeInForce", "GTC")
        price = _amount(params, "price")
        if time_in_force not in ("GTC", "IOC", "FOK"):
            raise Problem("time_in_force")
    if kind == "market" and "quoteOrderQty" in params and "quantity" not in params:
        quantity = _amount(params, "quoteOrderQty") / MARKET_PRICE // instrument.step * instrument.step
    else:
        quantity = _amount(params, "quantity")
    misfit = instrument.misfit(quantity, price)
    if misfit:
        raise Problem(misfit)
    # What is filled at once is a market order to the engine; an IOC order has its own price.
    engine_type = kind if time_in_force == "GTC" else "market"
    key = params.get("newClientOrderId") or default_key
    try:
        placement = Placement(
            instrument.symbol, cast("Side", side), cast("OrderType", engine_type), quantity, price, key
        )
    except ValueError:
        raise Problem("parameter", "newClientOrderId" if key != default_key else "quantity") from None
    response_type = params.get("newOrderRespType", "FULL")
    if response_type not in ("ACK", "RESULT", "FULL"):
        raise Problem("parameter", "newOrderRespType")
    return Wanted(placement, time_in_force, cast("ResponseType", response_type))

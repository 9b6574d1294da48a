"""ProjectX as JSON: what its requests look like, its enumerations and error codes, and what it says. No behaviour.

Money and prices are JSON numbers, ids are whole numbers, times are ISO 8601 with an offset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from faultline.history.attribution import Identity
from faultline.venues.base import Request, Response
from faultline.venues.broker import Fill, Order, Placement
from faultline.venues.profiles.journal import Journal

T = TypeVar("T")

LIMIT, MARKET = 1, 2
SIDES: Final = {"buy": 0, "sell": 1}
STATUSES: Final = {
    "new": 1,
    "partially_filled": 1,
    "pending_cancel": 1,
    "filled": 2,
    "canceled": 3,
    "expired": 4,
    "rejected": 5,
}
"""Open 1, Filled 2, Cancelled 3, Expired 4, Rejected 5. A partial fill shows in ``fillVolume`` alone."""
LONG, SHORT = 1, 2

TICK_SIZE: Final = Decimal("0.25")
TICK_VALUE: Final = Decimal("0.5")
_JSON: Final = msgspec.json.Encoder(decimal_format="number")


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    """Base of request bodies: camel case, and what is not known is ignored."""


class LoginKey(_Body, frozen=True):
    """Auth/loginKey."""

    user_name: str
    api_key: str


class OfAccount(_Body, frozen=True):
    """What names an account and nothing else."""

    account_id: int


class Place(_Body, frozen=True):
    """Order/place."""

    account_id: int
    contract_id: str
    type: int
    side: int
    size: int
    limit_price: Decimal | None = None
    custom_tag: str | None = None


class OfOrder(_Body, frozen=True):
    """Order/cancel and Order/modify."""

    account_id: int
    order_id: int
    size: int | None = None
    limit_price: Decimal | None = None


class OfContract(_Body, frozen=True):
    """Position/closeContract and Position/partialCloseContract."""

    account_id: int
    contract_id: str
    size: int | None = None


class Window(_Body, frozen=True):
    """Order/search and Trade/search."""

    account_id: int
    start_timestamp: datetime | None = None
    end_timestamp: datetime | None = None

    def has(self, at_ms: int) -> bool:
        """Whether a time is in the window, ends included. A time without zone is in UTC."""
        after = self.start_timestamp is None or _ms(self.start_timestamp) <= at_ms
        return after and (self.end_timestamp is None or at_ms <= _ms(self.end_timestamp))


class SearchContracts(_Body, frozen=True):
    """Contract/search, Contract/searchById and Contract/available."""

    live: bool = False
    search_text: str = ""
    contract_id: str = ""


class Bars(_Body, frozen=True):
    """History/retrieveBars."""

    contract_id: str
    start_time: datetime
    end_time: datetime
    unit: int
    unit_number: int = 1
    limit: int = 20_000


class Unreadable(ValueError):
    """A body that cannot be understood."""


def read(kind: type[T], body: bytes) -> T:
    """A request's body. Raises Unreadable."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise Unreadable(str(problem)) from None


def _ms(time: datetime) -> int:
    return round((time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp() * 1000)


def iso(at_ms: int) -> str:
    """Milliseconds since 1970 as the gateway writes times."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


# Contracts


def contract_id(symbol: str) -> str:
    """The id of the contract in ``symbol``."""
    return f"CON.F.US.{symbol}.Z26"


def symbol_id(symbol: str) -> str:
    """What all contracts of ``symbol`` have in common."""
    return f"F.US.{symbol}"


def contract_json(symbol: str) -> Mapping[str, object]:
    """A contract as clients see it."""
    return {
        "id": contract_id(symbol),
        "name": f"{symbol}Z6",
        "description": f"{symbol}: December 2026",
        "tickSize": TICK_SIZE,
        "tickValue": TICK_VALUE,
        "activeContract": True,
        "symbolId": symbol_id(symbol),
    }


# What shows of a request

_ACTS: Final = {"/api/Order/cancel": "cancel", "/api/Order/modify": "replace"}


def identity_of(request: Request, symbol_of: Callable[[str], str | None]) -> Identity:
    """What a request shows of itself. A body that cannot be read shows nothing."""
    try:
        if request.path == "/api/Order/place":
            return placed_identity(read(Place, request.body), symbol_of)
        if request.path in _ACTS:
            return Identity(order=str(read(OfOrder, request.body).order_id), op=_ACTS[request.path])
    except Unreadable:
        pass
    return Identity(op="place" if request.path == "/api/Order/place" else _ACTS.get(request.path, ""))


def placed_identity(place: Place, symbol_of: Callable[[str], str | None]) -> Identity:
    """What an order shows of itself."""
    fields = (
        ("price", "" if place.limit_price is None else str(place.limit_price)),
        ("quantity", str(place.size)),
        ("symbol", symbol_of(place.contract_id) or ""),
        ("side", "buy" if place.side == SIDES["buy"] else "sell"),
    )
    return Identity(key=place.custom_tag or "", fields=fields, op="place")


def placement(place: Place, symbol: str) -> Placement:
    """The order that is asked for. Raises ValueError for one that cannot be."""
    if place.type not in (LIMIT, MARKET):
        raise ValueError("only limit (1) and market (2) orders are traded here")
    if place.side not in SIDES.values():
        raise ValueError("side is 0 (bid) or 1 (ask)")
    return Placement(
        symbol=symbol,
        side="buy" if place.side == SIDES["buy"] else "sell",
        type="limit" if place.type == LIMIT else "market",
        quantity=Decimal(place.size),
        price=place.limit_price if place.type == LIMIT else None,
        client_order_id=place.custom_tag or None,
    )


# What clients see


def answer(**body: object) -> Response:
    """A success."""
    return Response(200, _JSON.encode({**body, "success": True, "errorCode": 0, "errorMessage": None}))


def failure(code: int, message: str | None = None, **body: object) -> Response:
    """An error: a 200 all the same."""
    return Response(200, _JSON.encode({**body, "success": False, "errorCode": code, "errorMessage": message}))


def bad_request(problem: str) -> Response:
    """A body that cannot be bound, as ASP.NET Core answers it."""
    body = {"title": "One or more validation errors occurred.", "status": 400, "errors": {"$": [problem]}}
    return Response(400, _JSON.encode(body), (("Content-Type", "application/problem+json"),))


def order_json(order: Order, account: int, journal: Journal, as_of: float | None = None) -> Mapping[str, Any]:
    """An order as clients see it."""
    times = journal.times(order.order_id, as_of)
    value = journal.executed(order.order_id, as_of).value
    return {
        "id": int(order.order_id),
        "accountId": account,
        "contractId": contract_id(order.symbol),
        "symbolId": symbol_id(order.symbol),
        "creationTimestamp": iso(times.created_ms),
        "updateTimestamp": iso(times.updated_ms),
        "status": STATUSES[order.status],
        "type": LIMIT if order.type == "limit" else MARKET,
        "side": SIDES[order.side],
        "size": int(order.quantity),
        "limitPrice": order.price,
        "stopPrice": None,
        "fillVolume": int(order.filled),
        "filledPrice": value / order.filled if order.filled else None,
        "customTag": order.client_order_id,
    }


def trade_json(fill: Fill, account: int, at_ms: int, profit: Decimal | None) -> Mapping[str, Any]:
    """A half-turn as clients see it: one that opens a position has no profit."""
    return {
        "id": int(fill.fill_id),
        "accountId": account,
        "contractId": contract_id(fill.symbol),
        "creationTimestamp": iso(at_ms),
        "price": fill.price,
        "profitAndLoss": profit,
        "fees": fill.fee,
        "side": SIDES[fill.side],
        "size": int(fill.quantity),
        "voided": False,
        "orderId": int(fill.order_id),
    }

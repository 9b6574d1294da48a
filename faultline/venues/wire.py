"""The generic venue's JSON: what its requests look like, and what it says. No behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from faultline.history.attribution import Identity
from faultline.venues.base import Request, Response
from faultline.venues.broker import Fill, Order, Placement, check_amount, plain
from faultline.venues.ratelimit import Headers

T = TypeVar("T")
Json = Mapping[str, object]

ENDPOINTS: Final = (
    "POST /auth/token",
    "POST /auth/refresh",
    "GET /time",
    "GET /health",
    "POST /orders",
    "GET /orders",
    "GET /orders/{id}",
    "DELETE /orders/{id}",
    "PUT /orders/{id}",
    "GET /fills",
    "GET /positions",
)
PUBLIC: Final = frozenset(ENDPOINTS[:4])
"""Endpoints that need no token."""
TEMPLATES: Final = frozenset(endpoint.partition(" ")[2] for endpoint in ENDPOINTS)
_OP: Final = {"POST /orders": "place", "DELETE /orders/{id}": "cancel", "PUT /orders/{id}": "replace"}
_JSON: Final = ("Content-Type", "application/json")
_ENDPOINT_MAX: Final = 120

encode = msgspec.json.Encoder().encode


class Login(msgspec.Struct, frozen=True):
    """Body of ``POST /auth/token``."""

    client_id: str
    client_secret: str


class Refresh(msgspec.Struct, frozen=True):
    """Body of ``POST /auth/refresh``."""

    refresh_token: str


class Replacement(msgspec.Struct, frozen=True):
    """Body of ``PUT /orders/{id}``. Raises ValueError as a placement does."""

    quantity: Decimal
    price: Decimal

    def __post_init__(self) -> None:
        check_amount("quantity", self.quantity)
        check_amount("price", self.price)


class Command(msgspec.Struct, frozen=True):
    """A message from a client on the stream."""

    op: str
    topics: tuple[str, ...] = ()


class Unreadable(ValueError):
    """A body, a query or a stream message that cannot be understood. Its text is for the client."""


def _reader(kind: type[T]) -> Callable[[bytes | str], T]:
    decode = msgspec.json.Decoder(kind).decode

    def read(text: bytes | str) -> T:
        try:
            return decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
            # RecursionError: brackets nested some thousand deep, in a field that nobody asked for.
            raise Unreadable(str(problem)) from None

    return read


# Asked for twice: whose request it is, and what it wants.
read_placement = lru_cache(maxsize=16)(_reader(Placement))
read_login = _reader(Login)
read_refresh = _reader(Refresh)
read_replacement = _reader(Replacement)
read_command = _reader(Command)


class Located(msgspec.Struct, frozen=True):
    """Where a request goes: ``template`` is its path with the id replaced, ``order`` the id.

    ``endpoint`` is as fault points have it. ``route`` is the endpoint that answers it: a HEAD is a GET whose body is
    not sent.
    """

    template: str
    order: str
    endpoint: str
    route: str


def locate(request: Request) -> Located:
    """Find the endpoint of any request, also of one that goes nowhere."""
    return _located(request.method, request.path)


@lru_cache(maxsize=1024)
def _located(method: str, path: str) -> Located:
    template, order = path, ""
    if path.startswith("/orders/") and path != "/orders/" and "/" not in path[8:]:
        template, order = "/orders/{id}", path[8:]
    endpoint = f"{method} {template}"[:_ENDPOINT_MAX]
    return Located(template, order, endpoint, f"{'GET' if method == 'HEAD' else method} {template}")


def identity_of(request: Request) -> Identity:
    """What a request shows of itself. A body that cannot be read shows nothing."""
    located = locate(request)
    op = _OP.get(located.endpoint, "")
    if located.order:
        return Identity(order=located.order, op=op)
    if op == "place":
        try:
            return placed_identity(read_placement(request.body))
        except Unreadable:
            return Identity(op=op)
    return Identity(key=request.query.get("client_order_id", ""))


def placed_identity(placement: Placement) -> Identity:
    """What an order shows of itself."""
    fields = (
        ("price", "" if placement.price is None else str(placement.price)),
        ("quantity", str(placement.quantity)),
        ("symbol", placement.symbol),
        ("side", placement.side),
    )
    return Identity(key=placement.client_order_id or "", fields=fields, op="place")


def order_json(order: Order) -> Json:
    """An order as clients see it."""
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type,
        "quantity": plain(order.quantity),
        "price": None if order.price is None else plain(order.price),
        "filled": plain(order.filled),
        "status": order.status,
        "reason": order.reason,
    }


def fill_json(fill: Fill, *, sequence: bool = True) -> Json:
    """A fill as clients see it; on a stream without sequences it does not tell its own."""
    seen: dict[str, object] = {
        "fill_id": fill.fill_id,
        "order_id": fill.order_id,
        "client_order_id": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side,
        "quantity": plain(fill.quantity),
        "price": plain(fill.price),
        "fee": plain(fill.fee),
    }
    if sequence:
        seen["sequence"] = fill.sequence
    return seen


def answer(status: int, body: Json, headers: Headers = ()) -> Response:
    """A response with a JSON body."""
    return Response(status, encode(body), (_JSON, *headers))


def error(status: int, code: str, message: str, headers: Headers = (), **more: object) -> Response:
    """An error as clients see it."""
    return answer(status, {"error": code, "message": message, **more}, headers)

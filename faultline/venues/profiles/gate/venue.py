"""Gate v4: REST signed with SHA-512 over five lines, orders by id or by the client's ``text``.

The traps that this profile is for: a ``text`` protects from nothing (the same one makes another order), the size of a
market buy is in quote currency, and a book may be sent whole again at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from faultline.history.attribution import Identity
from faultline.venues import signing
from faultline.venues.base import Connection, Request, Response
from faultline.venues.broker import Entry, Order, Refused
from faultline.venues.profiles.channels import POLICY_VIOLATION
from faultline.venues.profiles.gate import wire
from faultline.venues.profiles.gate.settings import ENDPOINTS, PUBLIC, GateSettings, limit_headers
from faultline.venues.profiles.gate.streams import PATH, Streams
from faultline.venues.profiles.gate.wire import Problem
from faultline.venues.profiles.market import Book, Instrument, Update
from faultline.venues.profiles.spot import KEY, SECRET
from faultline.venues.profiles.venue import SpotVenue, Surroundings
from faultline.venues.ratelimit import RateLimiter
from faultline.venues.wire import Json, answer, encode

ORDERS: Final = "/api/v4/spot/orders"
WINDOW_S: Final = 60.0
PAGE: Final = 100
PAGE_MAX: Final = 1000
_OPS: Final = {"POST": "place", "DELETE": "cancel", "PATCH": "replace"}
Body = Json | list[Json]
Read = Callable[[Request, float | None], Body]
T = TypeVar("T")


def written_id(kind: str, number: int) -> str:
    """Ids as Gate writes them: digits, in a string."""
    return str(number + (50_000_000_000 if kind == "order" else 30_000_000))


class GateVenue(SpotVenue):
    """Implements :class:`faultline.venues.profile.SimulatedVenue`."""

    def __init__(self, settings: GateSettings, around: Surroundings) -> None:
        super().__init__(settings, around, life_s=None, write_id=written_id)
        headers = limit_headers(around.context.wall_s)
        self._limiter = RateLimiter(settings.buckets(), headers=headers, retry_after=False)
        self._teller = wire.Teller(self._journal, self._market.instruments)
        self._streams = Streams(
            around.context, self._channels, self._market, self._teller, full_every=settings.full_every
        )
        self._reads: dict[str, Read] = {
            "GET /api/v4/spot/orders": self._list,
            "GET /api/v4/spot/orders/{id}": self._order,
            "GET /api/v4/spot/open_orders": self._open,
            "GET /api/v4/spot/accounts": self._accounts,
            "GET /api/v4/spot/my_trades": self._trades,
        }
        self._changes: dict[str, Callable[[Request], tuple[int, Body]]] = {
            "POST /api/v4/spot/orders": self._place,
            "DELETE /api/v4/spot/orders": self._cancel_all,
            "DELETE /api/v4/spot/orders/{id}": self._cancel,
            "PATCH /api/v4/spot/orders/{id}": self._amend,
        }

    # What the interceptor asks

    def identify(self, request: Request) -> Identity:
        """What a request shows of itself."""
        if not request.path.startswith(ORDERS):
            return Identity(order=request.query.get("order_id", ""))
        name, op = _order_in(request), _OPS.get(request.method, "")
        if name:
            return Identity(wire.key_of(name), op=op) if name.startswith("t-") else Identity(order=name, op=op)
        if op != "place":
            return Identity(op=op)
        try:
            return wire.identity_of_new(wire.new_order(request.body))
        except Problem:
            return Identity(op=op)

    def endpoint(self, request: Request) -> str:
        """The request's endpoint in fault points."""
        path = f"{ORDERS}/{{id}}" if _order_in(request) else request.path
        return f"{'GET' if request.method == 'HEAD' else request.method} {path}"[:120]

    def handle(self, request: Request) -> Response:
        """Answer a request. Its effect is in the ledger when this returns. Never raises, whatever arrived."""
        endpoint = self.endpoint(request)
        if self._closed():
            return _no(Problem(503, "SERVER_ERROR", "Service is under maintenance"))
        status, headers = self._limiter.charge(self._context.now_s(), endpoint)
        if status:
            refusal = _no(Problem(429, "TOO_MANY_REQUESTS", "Request Rate Limit Exceeded"))
            return Response(429, refusal.body, (*refusal.headers, *headers))
        with self._trading.caused_by(request.number):
            try:
                response = self._answer(request, endpoint)
            except Problem as problem:
                response = _no(problem)
        return Response(response.status, response.body, (*response.headers, *headers))

    def _answer(self, request: Request, endpoint: str) -> Response:
        if endpoint not in ENDPOINTS:
            raise Problem(404, "URL_NOT_FOUND", f"{endpoint} is not served")
        if endpoint in PUBLIC:
            return _yes(self._public(request, endpoint))
        self._check(request)
        read = self._reads.get(endpoint)
        if read is not None:
            return self._trading.read(self.identify(request), lambda as_of: _looked(read, request, as_of))
        try:
            status, body = self._changes[endpoint](request)
        except Refused as refused:
            if refused.code == "order_not_found":
                raise _not_found() from None
            raise Problem(400, "ORDER_CLOSED", str(refused)) from None
        return Response(status, encode(body))

    def _check(self, request: Request) -> None:
        """Who signed it, and when. Raises Problem."""
        names = ("key", "timestamp", "sign")
        key, timestamp, sign = (request.headers.get(name, "") for name in names)
        if not (key and timestamp and sign):
            raise Problem(401, "MISSING_REQUIRED_HEADER", "Missing required header: KEY, Timestamp or SIGN")
        if not signing.same(key, KEY):
            raise Problem(401, "INVALID_KEY", "Invalid key provided")
        try:
            late = not abs(self._context.wall_s() - float(timestamp)) <= WINDOW_S
        except ValueError:
            late = True
        if late:
            raise Problem(401, "REQUEST_EXPIRED", "gap between request Timestamp and server time exceeds 60")
        payload = signing.gate_payload(
            request.method, request.target.partition("?")[0], request.raw_query, request.body, timestamp
        )
        if not signing.same(sign, signing.hex_hmac(SECRET, payload, "sha512")):
            raise Problem(401, "INVALID_SIGNATURE", "Signature mismatch")

    def _public(self, request: Request, endpoint: str) -> Body:
        if endpoint.endswith("/spot/time"):
            return {"server_time": self._now_ms()}
        if endpoint.endswith("/margin/currency_pairs"):
            return []
        if endpoint.endswith("/spot/currency_pairs"):
            return [wire.pair_json(instrument, self._terms.fee) for instrument in self._market.instruments.values()]
        book = self._market.books.get(request.query.get("currency_pair", ""))
        if book is None:
            raise Problem(400, "INVALID_CURRENCY_PAIR", "Invalid currency pair")
        bids, asks = book.levels(_whole(request, "limit", 10))
        numbered = {"id": book.last} if request.query.get("with_id") == "true" else {}
        return {**numbered, "current": self._now_ms(), "update": self._now_ms(), "asks": asks, "bids": bids}

    # Orders

    def _place(self, request: Request) -> tuple[int, Body]:
        order = wire.new_order(request.body)
        placement = wire.placement(order, self._market.instruments)
        refusal = None if self._account.affords(placement) else "insufficient_funds"
        placed = self._trading.place(placement, wire.identity_of_new(order), refusal)
        if placed.status == "rejected":
            if placed.reason == "insufficient_funds":
                raise Problem(400, "BALANCE_NOT_ENOUGH", "Not enough balance")
            raise Problem(400, "INVALID_PARAM_VALUE", placed.reason or "rejected")
        return 201, self._teller.order(placed)

    def _find(self, request: Request, as_of: float | None = None) -> Order:
        """The order of a path, by its id or, of several with one ``text``, the newest. Raises Problem."""
        name = _order_in(request)
        orders = (
            self._broker.orders([name], as_of=as_of) if name.startswith("t-") else [self._broker.order(name, as_of)]
        )
        pair = request.query.get("currency_pair")
        for order in reversed(orders):
            if order is not None and order.status != "rejected" and pair in (None, order.symbol):
                return order
        raise _not_found()

    def _cancel(self, request: Request) -> tuple[int, Body]:
        return 200, self._teller.order(self._trading.cancel(self._find(request).order_id))

    def _cancel_all(self, request: Request) -> tuple[int, Body]:
        pair = request.query.get("currency_pair")
        orders = [order for order in self._broker.open_orders() if pair in (None, order.symbol)]
        return 200, [self._teller.order(self._trading.cancel(order.order_id)) for order in orders]

    def _amend(self, request: Request) -> tuple[int, Body]:
        change, order = wire.amendment(request.body), self._find(request)
        size = wire.amount("amount", change.amount) if change.amount else order.quantity
        price = wire.amount("price", change.price) if change.price else order.price
        if price is None:
            raise Problem(400, "ORDER_CLOSED", "a market order cannot be amended")
        return 200, self._teller.order(self._trading.replace(order.order_id, size, price))

    # Reads

    def _order(self, request: Request, as_of: float | None) -> Json:
        return self._teller.order(self._find(request, as_of), as_of)

    def _list(self, request: Request, as_of: float | None) -> list[Json]:
        pair, open_ones = request.query.get("currency_pair"), request.query.get("status") != "finished"
        orders = [
            order
            for order in self._broker.orders(as_of=as_of)
            if order.status != "rejected" and order.open == open_ones and pair in (None, order.symbol)
        ]
        return [self._teller.order(order, as_of) for order in _page(orders, request)]

    def _open(self, request: Request, as_of: float | None) -> list[Json]:
        by_pair: dict[str, list[Json]] = {}
        for order in reversed(self._broker.open_orders(as_of)):
            by_pair.setdefault(order.symbol, []).append(self._teller.order(order, as_of))
        return [{"currency_pair": pair, "total": len(orders), "orders": orders} for pair, orders in by_pair.items()]

    def _accounts(self, request: Request, as_of: float | None) -> list[Json]:
        accounts = wire.accounts_json(self._account.balances(as_of), self._trading.effects)
        asset = request.query.get("currency")
        return [account for account in accounts if asset in (None, account["currency"])]

    def _trades(self, request: Request, as_of: float | None) -> list[Json]:
        pair, order_id = request.query.get("currency_pair"), request.query.get("order_id")
        begin_s, end_s = _whole(request, "from", 0), _whole(request, "to", 0)
        fills = []
        for fill in self._broker.fills(as_of=as_of):
            at_s = self._journal.filled_ms(fill.fill_id) / 1000
            wanted = pair in (None, fill.symbol) and order_id in (None, fill.order_id)
            if wanted and at_s >= begin_s and (not end_s or at_s <= end_s):
                fills.append(fill)
        return [
            self._teller.trade(fill, order)
            for fill in _page(fills, request)
            if (order := self._broker.order(fill.order_id)) is not None
        ]

    # Streams

    def connected(self, connection: Connection) -> None:
        """A stream connection was opened."""
        if self._opened(connection) and connection.request.path != PATH:
            self._channels.closed(connection)
            connection.close(POLICY_VIOLATION, "no such stream")

    def received(self, connection: Connection, text: str) -> None:
        """A message arrived from the client on a stream connection."""
        if connection in self._channels and (channel := self._streams.command(connection, text)):
            self._subscribed(connection, channel)

    def _tell(self, entry: Entry, entity: str) -> None:
        self._streams.entered(entry, entity)

    def _watched(self, symbol: str) -> bool:
        return self._streams.watched(symbol)

    def _moved(self, instrument: Instrument, book: Book, update: Update) -> None:
        self._streams.moved(instrument, book, update)

    def _notice(self, connection: Connection) -> None:
        """Nothing is announced."""


def _order_in(request: Request) -> str:
    path = request.path
    return path[len(ORDERS) + 1 :] if path.startswith(f"{ORDERS}/") and "/" not in path[len(ORDERS) + 1 :] else ""


def _page(found: list[T], request: Request) -> list[T]:
    """The newest first, one page of them."""
    limit = max(1, min(_whole(request, "limit", PAGE), PAGE_MAX))
    start = (max(1, _whole(request, "page", 1)) - 1) * limit
    return found[::-1][start : start + limit]


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise Problem(400, "INVALID_PARAM_VALUE", f"Invalid {name}")
    return int(text)


def _looked(read: Read, request: Request, as_of: float | None) -> Response:
    """A query's answer; what it does not find is one too, and may be different at another time."""
    try:
        return _yes(read(request, as_of))
    except Problem as problem:
        return _no(problem)


def _not_found() -> Problem:
    return Problem(404, "ORDER_NOT_FOUND", "Order not found")


def _yes(body: Body) -> Response:
    return Response(200, encode(body))


def _no(problem: Problem) -> Response:
    return answer(problem.status, {"label": problem.label, "message": str(problem)})

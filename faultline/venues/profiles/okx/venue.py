"""OKX v5: REST with four headers, answers that say no inside a 200, and orders by ``ordId`` or ``clOrdId``.

The traps that this profile is for: a ``clOrdId`` is unique among *pending* orders only, a query by it shows the latest
order and hides an earlier one, and an order that failed is a line of an answer whose HTTP status is 200.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from faultline.history.attribution import Identity
from faultline.venues import signing
from faultline.venues.base import Connection, Request, Response
from faultline.venues.broker import Entry, Fill, Order, Refused
from faultline.venues.profiles.channels import POLICY_VIOLATION
from faultline.venues.profiles.market import Book, Instrument, Update
from faultline.venues.profiles.okx import wire
from faultline.venues.profiles.okx.settings import ENDPOINTS, PASSPHRASE, PUBLIC, OkxSettings
from faultline.venues.profiles.okx.streams import Streams
from faultline.venues.profiles.okx.wire import Problem
from faultline.venues.profiles.spot import DAY_S, KEY, SECRET
from faultline.venues.profiles.venue import SpotVenue, Surroundings
from faultline.venues.ratelimit import RateLimiter
from faultline.venues.wire import Json, answer

WINDOW_S: Final = 30.0
PAGE_MAX: Final = 100
FILLS_KEPT_S: Final = 3 * DAY_S
BATCH_MAX: Final = 20
_HEADERS: Final = (
    ("ok-access-key", "50103", "OK-ACCESS-KEY"),
    ("ok-access-passphrase", "50104", "OK-ACCESS-PASSPHRASE"),
    ("ok-access-sign", "50106", "OK-ACCESS-SIGN"),
    ("ok-access-timestamp", "50107", "OK-ACCESS-TIMESTAMP"),
)
_ACTS: Final = {"POST /api/v5/trade/cancel-order": "cancel", "POST /api/v5/trade/amend-order": "replace"}
_PLACES: Final = ("POST /api/v5/trade/order", "POST /api/v5/trade/batch-orders")
_REFUSALS: Final = {
    "insufficient_funds": ("51008", "Order failed. Insufficient balance in account."),
}
T = TypeVar("T", Order, Fill)
Read = Callable[[Request, float | None], list[Json]]


def written_id(kind: str, number: int) -> str:
    """Ids as OKX writes them: digits, in a string."""
    return str(number + (710_000_000_000 if kind == "order" else 240_000_000))


class OkxVenue(SpotVenue):
    """Implements :class:`faultline.venues.profile.SimulatedVenue`."""

    going_away = (4001, "Service upgrade")

    def __init__(self, settings: OkxSettings, around: Surroundings) -> None:
        super().__init__(settings, around, life_s=None, write_id=written_id)
        self._settings = settings
        self._limiter = RateLimiter(settings.buckets(), headers=lambda usages: (), retry_after=False)
        self._teller = wire.Teller(self._journal, self._market.instruments)
        self._streams = Streams(around.context, self._channels, self._market, self._teller)
        self._reads: dict[str, Read] = {
            "GET /api/v5/trade/order": self._order,
            "GET /api/v5/trade/orders-pending": self._pending,
            "GET /api/v5/trade/orders-history": self._history_of,
            "GET /api/v5/trade/fills": self._fills,
            "GET /api/v5/trade/fills-history": self._fills,
            "GET /api/v5/account/balance": self._balance,
        }

    # What the interceptor asks

    def identify(self, request: Request) -> Identity:
        """What a request shows of itself."""
        endpoint = self.endpoint(request)
        try:
            if endpoint in _PLACES:
                orders = wire.new_orders(request.body)
                return wire.identity_of_new(orders[0]) if len(orders) == 1 else Identity(op="place")
            if endpoint in _ACTS:
                about = wire.named(request.body)
                return Identity(about.clOrdId, about.ordId, op=_ACTS[endpoint])
        except Problem:
            return Identity()
        return Identity(request.query.get("clOrdId", ""), request.query.get("ordId", ""))

    def endpoint(self, request: Request) -> str:
        """The request's endpoint in fault points."""
        return f"{'GET' if request.method == 'HEAD' else request.method} {request.path}"[:120]

    def handle(self, request: Request) -> Response:
        """Answer a request. Its effect is in the ledger when this returns. Never raises, whatever arrived."""
        endpoint = self.endpoint(request)
        if self._closed():
            return _no(Problem("50001", "Service temporarily unavailable. Try again later.", 503))
        status, _ = self._limiter.charge(self._context.now_s(), endpoint)
        if status:
            return _no(Problem("50011", "Too Many Requests", self._settings.too_many_status))
        with self._trading.caused_by(request.number):
            try:
                return self._answer(request, endpoint)
            except Problem as problem:
                return _no(problem)

    def _answer(self, request: Request, endpoint: str) -> Response:
        if endpoint not in ENDPOINTS:
            return _no(Problem("404", "Not Found", 404))
        if endpoint not in PUBLIC:
            self._check(request)
        read = self._reads.get(endpoint)
        if read is not None:
            return self._trading.read(self.identify(request), lambda as_of: _looked(read, request, as_of))
        if endpoint in _PLACES:
            self._check_deadline(request)
            return self._place(request)
        if endpoint in _ACTS:
            self._check_deadline(request)
            return self._act(request, _ACTS[endpoint])
        return _yes(self._public(request, endpoint))

    def _check(self, request: Request) -> None:
        """Who signed it, and when. Raises Problem."""
        for name, code, shown in _HEADERS:
            if not request.headers.get(name):
                raise Problem(code, f'Request header "{shown}" cannot be empty', 401)
        key, passphrase, sign, timestamp = (request.headers[name] for name, _, _ in _HEADERS)
        if not signing.same(key, KEY):
            raise Problem("50111", "Invalid OK-ACCESS-KEY", 401)
        age_s = signing.iso_age_s(timestamp, self._context.wall_s())
        if age_s is None:
            raise Problem("50112", "Invalid OK-ACCESS-TIMESTAMP", 401)
        if abs(age_s) > WINDOW_S:
            raise Problem("50102", "Timestamp request expired", 401)
        if not signing.same(passphrase, PASSPHRASE):
            raise Problem("50105", 'Request header "OK-ACCESS-PASSPHRASE" incorrect', 401)
        body = request.body.decode("utf-8", "replace")
        payload = signing.okx_payload(timestamp, request.method, request.target, body)
        if not signing.same(sign, signing.base64_hmac(SECRET, payload)):
            raise Problem("50113", "Invalid Sign", 401)

    def _check_deadline(self, request: Request) -> None:
        """``expTime``: from then on the venue discards the request. Raises Problem."""
        deadline = request.headers.get("exptime", "")
        if deadline and not (deadline.isascii() and deadline.isdigit() and self._now_ms() <= int(deadline)):
            raise Problem("51000", "Parameter expTime error")

    def _public(self, request: Request, endpoint: str) -> list[Json]:
        if endpoint == PUBLIC[0]:
            return [{"ts": str(self._now_ms())}]
        if endpoint == PUBLIC[1]:
            if request.query.get("instType") != "SPOT":
                return []
            asked = request.query.get("instId")
            there = self._market.instruments.values()
            return [wire.instrument_json(instrument) for instrument in there if asked in (None, instrument.symbol)]
        book = self._market.books.get(request.query.get("instId", ""))
        if book is None:
            raise Problem("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.", 400)
        limit = min(_whole(request, "sz", 1), 400)
        return [wire.book_json(book.levels(limit), self._now_ms(), seqId=book.last)]

    # Orders

    def _place(self, request: Request) -> Response:
        orders = wire.new_orders(request.body)
        if not 1 <= len(orders) <= BATCH_MAX:
            raise Problem("50025", f"Parameter args count exceeds the limit {BATCH_MAX}.", 400)
        lines = [self._place_one(order) for order in orders]
        failed = sum(line["sCode"] != "0" for line in lines)
        code = "0" if not failed else "1" if failed == len(lines) else "2"
        message = {"0": "", "1": "All operations failed", "2": "Bulk operation partially succeeded"}[code]
        return answer(200, {"code": code, "msg": message, "data": lines})

    def _place_one(self, order: wire.NewOrder) -> Json:
        try:
            placement = wire.placement(order, self._market.instruments)
            if order.ordType in ("ioc", "fok"):
                self._teller.kinds[order.clOrdId] = order.ordType
            refusal = None if self._account.affords(placement) else "insufficient_funds"
            placed = self._trading.place(placement, wire.identity_of_new(order), refusal)
            if placed.status == "rejected":
                reason = placed.reason or ""
                raise Problem(*_REFUSALS.get(reason, ("51000", reason)))
        except Problem as problem:
            return wire.accepted("", order.clOrdId, self._now_ms(), problem.code, str(problem))
        except Refused:
            return wire.accepted("", order.clOrdId, self._now_ms(), "51016", "Client order ID already exists.")
        return wire.accepted(placed.order_id, order.clOrdId, self._now_ms(), "0", "Order placed")

    def _act(self, request: Request, op: str) -> Response:
        about = wire.named(request.body)
        order_id = about.ordId
        try:
            order = self._find(about.instId, about.ordId, about.clOrdId)
            order_id = order.order_id if order is not None else order_id
            if op == "cancel":
                self._cancel(order)
            else:
                self._amend(order, about)
        except Problem as problem:
            line = wire.accepted(order_id, about.clOrdId, self._now_ms(), problem.code, str(problem))
            return answer(200, {"code": "1", "msg": "All operations failed", "data": [line]})
        return _yes([wire.accepted(order_id, about.clOrdId, self._now_ms())])

    def _cancel(self, order: Order | None) -> None:
        if order is not None and order.status == "pending_cancel":
            raise Problem("51410", "Cancellation failed as the order is already in canceling status.")
        try:
            if order is None:
                raise Refused("order_not_found", "")
            self._trading.cancel(order.order_id)
        except Refused:
            text = "Cancellation failed as the order has been filled, canceled or does not exist."
            raise Problem("51400", text) from None

    def _amend(self, order: Order | None, about: wire.Named) -> None:
        try:
            if order is None or order.price is None:
                raise Refused("order_not_found", "")
            size = wire.amount("newSz", about.newSz) if about.newSz else order.quantity
            price = wire.amount("newPx", about.newPx) if about.newPx else order.price
            self._trading.replace(order.order_id, size, price)
        except Refused:
            text = "Order modification failed as the order has been filled, canceled or does not exist."
            raise Problem("51503", text) from None

    def _find(self, symbol: str, order_id: str, key: str, as_of: float | None = None) -> Order | None:
        """The order that ``ordId`` names, or the latest with this ``clOrdId``."""
        if not order_id and not key:
            raise Problem("51003", "Either client order ID or order ID is required.")
        if order_id:
            order = self._broker.order(order_id, as_of)
        else:
            orders = self._broker.orders([key], as_of=as_of)
            order = next((order for order in reversed(orders) if order.status != "rejected"), None)
        return order if order is not None and order.symbol == symbol else None

    # Reads

    def _order(self, request: Request, as_of: float | None) -> list[Json]:
        query = request.query
        order = self._find(query.get("instId", ""), query.get("ordId", ""), query.get("clOrdId", ""), as_of)
        if order is None or order.status == "rejected":
            raise Problem("51603", "Order does not exist.")
        return [self._teller.order(order, as_of)]

    def _pending(self, request: Request, as_of: float | None) -> list[Json]:
        orders = _page(self._broker.open_orders(as_of), request, lambda order: order.order_id)
        return [self._teller.order(order, as_of) for order in orders]

    def _history_of(self, request: Request, as_of: float | None) -> list[Json]:
        orders = [order for order in self._broker.orders(as_of=as_of) if not order.open and order.status != "rejected"]
        state = request.query.get("state")
        chosen = [order for order in orders if state in (None, self._teller.state(order))]
        return [self._teller.order(order, as_of) for order in _page(chosen, request, lambda order: order.order_id)]

    def _fills(self, request: Request, as_of: float | None) -> list[Json]:
        oldest_ms = self._now_ms() - FILLS_KEPT_S * 1000 if request.path.endswith("/fills") else 0
        begin, end = max(oldest_ms, _whole(request, "begin", 0)), _whole(request, "end", 0)
        order_id = request.query.get("ordId")
        fills = []
        for fill in self._broker.fills(as_of=as_of):
            at_ms = self._journal.filled_ms(fill.fill_id)
            if at_ms >= begin and (not end or at_ms <= end) and order_id in (None, fill.order_id):
                fills.append(fill)
        return [
            self._teller.fill(fill, self._teller.role(order))
            for fill in _page(fills, request, lambda fill: fill.fill_id)
            if (order := self._broker.order(fill.order_id)) is not None
        ]

    def _balance(self, request: Request, as_of: float | None) -> list[Json]:
        return [wire.balance_json(self._account.balances(as_of), self._now_ms())]

    # Streams

    def connected(self, connection: Connection) -> None:
        """A stream connection was opened."""
        if self._opened(connection) and not self._streams.opened(connection):
            self._channels.closed(connection)
            connection.close(POLICY_VIOLATION, "no such stream")

    def disconnected(self, connection: Connection, code: int) -> None:
        """A stream connection is gone."""
        super().disconnected(connection, code)
        self._streams.closed(connection)

    def received(self, connection: Connection, text: str) -> None:
        """A message arrived from the client on a stream connection."""
        if connection not in self._channels:
            return
        self._channels.touch(connection)
        if added := self._streams.command(connection, text):
            self._subscribed(connection, *added)

    def _tell(self, entry: Entry, entity: str) -> None:
        self._streams.entered(entry, entity)

    def _watched(self, symbol: str) -> bool:
        return self._streams.watched(symbol)

    def _moved(self, instrument: Instrument, book: Book, update: Update) -> None:
        self._streams.moved(instrument, book, update)

    def _notice(self, connection: Connection) -> None:
        self._streams.notice(connection)


def _page(found: list[T], request: Request, id_of: Callable[[T], str]) -> list[T]:
    """The newest first: of one instrument if asked for, older than ``after``, newer than ``before``."""
    symbol = request.query.get("instId")
    after, before = _whole(request, "after", 0), _whole(request, "before", 0)
    chosen = [
        one
        for one in reversed(found)
        if symbol in (None, one.symbol) and (not after or int(id_of(one)) < after) and int(id_of(one)) > before
    ]
    return chosen[: max(1, min(_whole(request, "limit", PAGE_MAX), PAGE_MAX))]


def _looked(read: Read, request: Request, as_of: float | None) -> Response:
    """A query's answer; what it does not find is one too, and may be different at another time."""
    try:
        return _yes(read(request, as_of))
    except Problem as problem:
        return _no(problem)


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem("51000", f"Parameter {name} error", 400)
    return int(text)


def _yes(data: list[Json]) -> Response:
    return answer(200, {"code": "0", "msg": "", "data": data})


def _no(problem: Problem) -> Response:
    return answer(problem.status, {"code": problem.code, "msg": str(problem), "data": []})

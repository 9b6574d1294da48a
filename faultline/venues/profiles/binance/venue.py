"""Binance's and MEXC's spot REST: signatures, time windows, weights, orders and reads.

What the two say differently is in the dialect; the streams, in which they share nothing, are their own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from faultline.history.attribution import Identity
from faultline.venues import signing
from faultline.venues.base import Request, Response
from faultline.venues.broker import Order, Placement, Refused
from faultline.venues.profiles.binance import wire
from faultline.venues.profiles.binance.dialect import Dialect
from faultline.venues.profiles.binance.params import (
    Problem,
    endpoint_of,
    identity_of,
    needed,
    params_of,
    wanted,
    whole,
)
from faultline.venues.profiles.spot import KEY, SECRET, SpotSettings
from faultline.venues.profiles.venue import SpotVenue, Surroundings
from faultline.venues.ratelimit import Headers, RateLimiter
from faultline.venues.wire import Json, answer, encode

API: Final = "/api/v3"
WINDOW_MS: Final = 5_000.0
WINDOW_MAX_MS: Final = 60_000.0
LIST_MAX: Final = 1_000
LIST_DEFAULT: Final = 500
PUBLIC: Final = frozenset({"ping", "time", "exchangeInfo", "depth"})
Params = Mapping[str, str]
Route = Callable[[Request, Params], Json | list[Json]]
Look = Callable[[Params, float | None], Json | list[Json]]


class BinanceLike(SpotVenue):
    """REST of one account, whoever signs for it."""

    def __init__(
        self,
        settings: SpotSettings,
        around: Surroundings,
        dialect: Dialect,
        limiter: RateLimiter,
        *,
        life_s: float | None,
    ) -> None:
        super().__init__(settings, around, life_s=life_s, write_id=dialect.write_id)
        self._dialect = dialect
        self._limiter = limiter
        self._teller = wire.Teller(dialect, self._journal, self._market.instruments)
        self._made_keys = 0
        self._routes: dict[str, Route] = {
            "GET ping": lambda request, params: {},
            "GET time": lambda request, params: {"serverTime": self._now_ms()},
            "GET exchangeInfo": lambda request, params: self._exchange_info(),
            "GET depth": self._depth,
            "POST order": self._place,
            "DELETE order": self._cancel,
            "DELETE openOrders": self._cancel_all,
            **self._own_routes(),
        }
        self._reads: dict[str, Look] = {
            "GET order": self._order,
            "GET openOrders": self._open_orders,
            "GET allOrders": self._all_orders,
            "GET account": self._account_now,
            "GET myTrades": self._my_trades,
        }

    @abstractmethod
    def _own_routes(self) -> dict[str, Route]:
        """Routes that only this venue has."""

    @abstractmethod
    def _exchange_info(self) -> Json:
        """What is traded, and the limits."""

    def _charge_order(self, endpoint: str) -> tuple[Response | None, Headers]:
        """Count a new order, where orders are limited by themselves: the refusal, if it is one, and the headers."""
        return None, ()

    # What the interceptor asks

    def identify(self, request: Request) -> Identity:
        """What a request shows of itself."""
        return identity_of(request)

    def endpoint(self, request: Request) -> str:
        """The request's endpoint in fault points."""
        return endpoint_of(request.method, request.path, params_of(request))

    def handle(self, request: Request) -> Response:
        """Answer a request. Its effect is in the ledger when this returns. Never raises, whatever arrived."""
        if self._closed():
            return self._no("closed")
        endpoint = self.endpoint(request)
        status, headers = self._limiter.charge(self._context.now_s(), endpoint)
        if status:
            return self._refuse(status, headers)
        with self._trading.caused_by(request.number):
            try:
                response = self._answer(request, endpoint)
            except Problem as problem:
                response = self._no(problem.reason, problem.what)
        return Response(response.status, response.body, (*response.headers, *headers))

    def _refuse(self, status: int, headers: Headers) -> Response:
        if status == 429:
            return self._no("too_many", "the weight", headers)
        wait_s = next((int(value) for name, value in headers if name == "Retry-After"), 0)
        return self._no("banned", str(self._now_ms() + wait_s * 1000), headers)

    def _no(self, reason: str, what: str = "", headers: Headers = ()) -> Response:
        error = self._dialect.errors.get(reason) or self._dialect.errors["rejected"]
        message = error.message.replace("{what}", what or reason)
        return answer(error.status, {"code": error.code, "msg": message}, headers)

    def _answer(self, request: Request, endpoint: str) -> Response:
        name = request.path.removeprefix(f"{API}/")
        method = "GET" if request.method == "HEAD" else request.method
        route = f"{method} {name}"
        if request.path == name or (route not in self._routes and route not in self._reads):
            return self._no("not_here", endpoint)
        params = params_of(request)
        if name not in PUBLIC:
            self._check(request, params)
        if route in self._reads:
            look = self._reads[route]
            return self._trading.read(identity_of(request), lambda as_of: self._looked(look, params, as_of))
        if route == "POST order":
            refusal, headers = self._charge_order(endpoint)
            if refusal is not None:
                return refusal
            return answer(200, self._place(request, params), headers)
        return _json(self._routes[route](request, params))

    def _looked(self, look: Look, params: Params, as_of: float | None) -> Response:
        """A query's answer; what it does not find is one too, and may be different at another time."""
        try:
            return _json(look(params, as_of))
        except Problem as problem:
            return self._no(problem.reason, problem.what)

    def _check(self, request: Request, params: Params) -> None:
        """Who signed it, and when. Raises Problem."""
        key = request.headers.get(self._dialect.key_header, "")
        if not key:
            raise Problem("no_key")
        if not signing.same(key, KEY):
            raise Problem("bad_key")
        body = request.body.decode("utf-8", "replace")
        given, right = signing.query_signature(SECRET, request.raw_query, body)
        if not given:
            raise Problem("parameter", "signature")
        if not signing.same(given, right):
            raise Problem("signature")
        self.check_time(params)

    def check_time(self, params: Params) -> None:
        """Whether a signed request came in its time. Raises Problem."""
        try:
            window_ms = float(params.get("recvWindow") or WINDOW_MS)
        except ValueError:
            raise Problem("parameter", "recvWindow") from None
        if not 0 <= window_ms <= WINDOW_MAX_MS:
            raise Problem("window", "recvWindow")
        if not signing.in_time(needed(params, "timestamp"), window_ms, self._context.wall_s()):
            raise Problem("time")

    # Market data

    def _depth(self, request: Request, params: Params) -> Json:
        book = self._market.books.get(needed(params, "symbol"))
        if book is None:
            raise Problem("symbol")
        limit = min(whole(params, "limit", self._dialect.depth_default), self._dialect.depth_max)
        return wire.depth_json(book.last, book.levels(limit))

    # Orders

    def new_key(self) -> str:
        """A client order id for whoever did not choose one."""
        self._made_keys += 1
        return f"auto{self._made_keys:018d}"

    def _place(self, request: Request, params: Params) -> Json:
        order = wanted(params, self._market.instruments, self.new_key())
        placement = order.placement
        if self._broker.repeated(placement.client_order_id) is not None:
            raise Problem("duplicate")
        refusal = None if self._account.affords(placement) else "insufficient_funds"
        if order.time_in_force != "GTC":
            # Before the order is there: its fills are told while it is placed.
            self._teller.immediate[placement.client_order_id or ""] = order.time_in_force
        placed = self._trading.place(placement, self._placed_identity(params, placement), refusal)
        if placed.status == "rejected":
            raise Problem(placed.reason or "rejected")
        return self._teller.placed(placed, order.response_type)

    def _placed_identity(self, params: Params, placement: Placement) -> Identity:
        fields = (
            ("price", params.get("price", "")),
            ("quantity", str(placement.quantity)),
            ("symbol", placement.symbol),
            ("side", placement.side),
        )
        return Identity(params.get("newClientOrderId", ""), fields=fields, op="place")

    def _find(self, params: Params, as_of: float | None = None) -> Order | None:
        """The order that ``orderId`` or ``origClientOrderId`` names, of several the newest."""
        order_id, key = params.get("orderId", ""), params.get("origClientOrderId", "")
        if not order_id and not key:
            raise Problem("parameter", "orderId")
        if order_id:
            order = self._broker.order(order_id, as_of)
        else:
            order = next(reversed(self._broker.orders([key], as_of=as_of)), None)
        return order if order is not None and order.symbol == params.get("symbol") else None

    def _cancel(self, request: Request, params: Params) -> Json:
        self._symbol(params)
        order = self._find(params)
        if order is None:
            raise Problem("cancel")
        try:
            canceled = self._trading.cancel(order.order_id)
        except Refused:
            raise Problem("cancel") from None
        return self._teller.canceled(canceled, params.get("newClientOrderId") or self.new_key())

    def _cancel_all(self, request: Request, params: Params) -> list[Json]:
        symbol = self._symbol(params)
        orders = [order for order in self._broker.open_orders() if order.symbol == symbol]
        if not orders:
            raise Problem("cancel")
        return [self._teller.canceled(self._trading.cancel(order.order_id), self.new_key()) for order in orders]

    # Reads

    def _symbol(self, params: Params) -> str:
        symbol = needed(params, "symbol")
        if symbol not in self._market.instruments:
            raise Problem("symbol")
        return symbol

    def _order(self, params: Params, as_of: float | None) -> Json:
        self._symbol(params)
        order = self._find(params, as_of)
        if order is None or order.status == "rejected":
            raise Problem("unknown_order")
        return self._teller.order(order, as_of)

    def _open_orders(self, params: Params, as_of: float | None) -> list[Json]:
        symbol = self._symbol(params) if "symbol" in params else None
        orders = self._broker.open_orders(as_of)
        return [self._teller.order(order, as_of) for order in orders if symbol in (None, order.symbol)]

    def _all_orders(self, params: Params, as_of: float | None) -> list[Json]:
        symbol = self._symbol(params)
        first = whole(params, "orderId", 0) if self._dialect.numeric_ids else 0
        orders = [
            order
            for order in self._broker.orders(as_of=as_of)
            if order.symbol == symbol and order.status != "rejected" and (not first or int(order.order_id) >= first)
        ]
        return [self._teller.order(order, as_of) for order in _page(orders, params, oldest=bool(first))]

    def _my_trades(self, params: Params, as_of: float | None) -> list[Json]:
        symbol, order_id = self._symbol(params), params.get("orderId")
        from_id, start, end = (whole(params, name, 0) for name in ("fromId", "startTime", "endTime"))
        fills = []
        for fill in self._broker.fills(as_of=as_of):
            at_ms = self._journal.filled_ms(fill.fill_id)
            if fill.symbol != symbol or order_id not in (None, fill.order_id) or at_ms < start or 0 < end < at_ms:
                continue
            if not from_id or int(fill.fill_id) >= from_id:
                fills.append(fill)
        return [
            self._teller.trade(fill, maker=self._maker(fill.order_id))
            for fill in _page(fills, params, oldest=bool(from_id or start))
        ]

    def _maker(self, order_id: str) -> bool:
        order = self._broker.order(order_id)
        return order is not None and order.type == "limit"

    def _account_now(self, params: Params, as_of: float | None) -> Json:
        return wire.account_json(self._account.balances(as_of), self._terms.fee, self._now_ms())


T = TypeVar("T")


def _page(found: list[T], params: Params, *, oldest: bool) -> list[T]:
    """The oldest or the newest of them, as many as asked for."""
    limit = max(1, min(whole(params, "limit", LIST_DEFAULT), LIST_MAX))
    return found[:limit] if oldest else found[-limit:]


def _json(body: Json | list[Json]) -> Response:
    return Response(200, encode(body))

"""A ProjectX gateway (TopstepX): its REST endpoints over the shared trading part, and its two hubs.

Errors of the business are a 200 with ``success: false``; a missing or expired token is a bare 401; over a limit comes
a 429 that does not say when to come back. There is one account, one user and one key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from faultline.faults.actions import ExpireTokens
from faultline.faults.injector import Injector
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution, Identity
from faultline.history.event import Connected, TokenEnded, TokenIssued
from faultline.venues.auth import Auth
from faultline.venues.base import Connection, Context, Request, Response
from faultline.venues.broker import Entry, Order, Refused, Side
from faultline.venues.hub import Hub
from faultline.venues.profiles.journal import Journal
from faultline.venues.profiles.projectx.bars import bars
from faultline.venues.profiles.projectx.hubs import Feeds
from faultline.venues.profiles.projectx.portfolio import Portfolio
from faultline.venues.profiles.projectx.settings import ProjectXSettings
from faultline.venues.profiles.projectx.wire import (
    Bars,
    LoginKey,
    OfAccount,
    OfContract,
    OfOrder,
    Place,
    SearchContracts,
    Unreadable,
    Window,
    answer,
    bad_request,
    contract_id,
    contract_json,
    failure,
    identity_of,
    placed_identity,
    placement,
    read,
)
from faultline.venues.ratelimit import RateLimiter
from faultline.venues.signalr import token_in
from faultline.venues.trading import Trading

USER: Final = "trader"
KEY: Final = "projectx-api-key"
ACCOUNT_NOT_FOUND: Final = 1
"""In every enumeration of errors."""
INVALID_CREDENTIALS: Final = 3
REJECTED, CONTRACT_NOT_FOUND = 2, 8
_ORDER_NOT_FOUND, _NOT_NOW = 2, 3
_POSITION_NOT_FOUND: Final = 2
_NO_SUCH_CONTRACT: Final = 3
_INVALID_CLOSE_SIZE: Final = 5

_FIRST_ORDER: Final = 9000
_FIRST_TRADE: Final = 8000


class ProjectXVenue(Hub):
    """Implements :class:`faultline.venues.profile.SimulatedVenue`."""

    stream = "user"

    def __init__(
        self,
        settings: ProjectXSettings,
        context: Context,
        history: History,
        attribution: Attribution,
        injector: Injector,
        aliases: Aliases,
    ) -> None:
        self._settings = settings
        self._context = context
        self._history = history
        aliases.name("secret", KEY)
        self._auth = Auth(
            settings.token_ttl_s, context.new_id, aliases, on_issued=self._token_issued, on_ended=self._token_ended
        )
        self._limiter = RateLimiter(
            [limit.bucket() for limit in settings.rate_limit], headers=lambda usages: (), retry_after=False
        )
        self._journal = Journal(context.wall_s() - context.now_s())
        self._feeds = Feeds(settings, context, authorized=self._authorized, on_subscribed=self._subscribed)
        self._trading = Trading(
            settings,
            "unique_forever",
            context,
            history,
            attribution,
            injector,
            publish=self._publish,
            new_id=self._number,
            step=Decimal(1),
        )
        self._broker = self._trading.broker
        self._portfolio = Portfolio(settings, self._broker, self._journal)
        self._symbols = {contract_id(symbol): symbol for symbol in settings.symbols}
        self._routes: dict[str, Callable[[bytes], Response]] = {
            "/api/Auth/validate": self._validate,
            "/api/Account/search": self._accounts,
            "/api/Contract/available": self._contracts,
            "/api/Contract/search": self._contracts,
            "/api/Contract/searchById": self._contract,
            "/api/Order/place": self._place,
            "/api/Order/cancel": self._cancel,
            "/api/Order/modify": self._modify,
            "/api/Order/search": self._orders,
            "/api/Order/searchOpen": self._open_orders,
            "/api/Position/searchOpen": self._positions,
            "/api/Position/closeContract": self._close,
            "/api/Position/partialCloseContract": self._close_part,
            "/api/Trade/search": self._trades,
            "/api/History/retrieveBars": self._bars,
        }

    def _number(self, kind: str) -> str:
        first = _FIRST_ORDER if kind == "order" else _FIRST_TRADE
        return str(first + int(self._context.new_id(kind).removeprefix(kind)))

    # What the interceptor asks

    def identify(self, request: Request) -> Identity:
        """What a request shows of itself. Never raises."""
        return identity_of(request, self._symbols.get)

    def endpoint(self, request: Request) -> str:
        """The request's endpoint in fault points: no path has an id in it."""
        return f"{request.method} {request.path}"[:120]

    def token_of(self, request: Request) -> str:
        """The alias of the token that a request carries, or the empty string."""
        return self._auth.alias(token_in(request))

    def stream_of(self, request: Request) -> str:
        """``user`` or ``market``."""
        return self._feeds.hubs.stream_of(request)

    def effects(self) -> int:
        """How many changes there were: of orders (refusals are none), and tokens issued."""
        return self._trading.effects + self._auth.issued

    def idle(self) -> bool:
        """Nothing is left to happen by itself."""
        return self._trading.idle

    def trade_elsewhere(self, symbol: str, side: Side, quantity: Decimal) -> None:
        """Somebody else trades on the account."""
        self._trading.elsewhere(symbol, side, quantity)

    def expire_tokens(self, action: ExpireTokens) -> None:
        """Every token issued so far stops being valid."""
        self._auth.expire_all(self._context.now_s(), refresh_too=action.refresh_too)

    def handle(self, request: Request) -> Response:
        """Answer a request, a negotiation or a handshake. Never raises, whatever arrived."""
        hub = self._feeds.hubs.answer(request)
        if hub is not None:
            return hub
        status, headers = self._limiter.charge(self._context.now_s(), self.endpoint(request))
        if status:
            return Response(status, b"", headers)
        with self._trading.caused_by(request.number):
            return self._answer(request)

    def _answer(self, request: Request) -> Response:
        if request.path == "/api/Status/ping":
            return Response(200, b"pong") if request.method == "GET" else Response(405)
        route = self._login if request.path == "/api/Auth/loginKey" else self._routes.get(request.path)
        if route is None or request.method != "POST":
            return Response(404 if route is None else 405)
        if route != self._login and not self._authorized(request):
            return Response(401, b"", (("WWW-Authenticate", "Bearer"),))
        try:
            return route(request.body)
        except Unreadable as problem:
            return bad_request(str(problem))

    def _authorized(self, request: Request) -> bool:
        return self._auth.valid(self._context.now_s(), token_in(request))

    # The session

    def _login(self, body: bytes) -> Response:
        login = read(LoginKey, body)
        if (login.user_name, login.api_key) != (USER, KEY):
            return failure(INVALID_CREDENTIALS, token=None)
        return answer(token=self._auth.issue(self._context.now_s()).access_token)

    def _validate(self, body: bytes) -> Response:
        return answer(newToken=self._auth.issue(self._context.now_s()).access_token)

    # Accounts and contracts

    def _strange(self, account: int) -> bool:
        return account != self._settings.account

    def _accounts(self, body: bytes) -> Response:
        return answer(accounts=[self._portfolio.account()])

    def _contracts(self, body: bytes) -> Response:
        text = read(SearchContracts, body).search_text.upper()
        found = [contract_json(symbol) for symbol in self._symbols.values()]
        return answer(contracts=[contract for contract in found if text in str(contract["name"])])

    def _contract(self, body: bytes) -> Response:
        symbol = self._symbols.get(read(SearchContracts, body).contract_id)
        return answer(contract=contract_json(symbol)) if symbol is not None else failure(1, contract=None)

    def _bars(self, body: bytes) -> Response:
        wanted = read(Bars, body)
        if wanted.contract_id not in self._symbols:
            return failure(1, bars=None)
        return answer(bars=bars(self._context, wanted))

    # Orders

    def _place(self, body: bytes) -> Response:
        wanted = read(Place, body)
        if self._strange(wanted.account_id):
            return failure(ACCOUNT_NOT_FOUND, orderId=None)
        symbol = self._symbols.get(wanted.contract_id)
        if symbol is None:
            return failure(CONTRACT_NOT_FOUND, orderId=None)
        try:
            asked = placement(wanted, symbol)
        except ValueError as problem:
            return failure(REJECTED, str(problem), orderId=None)
        try:
            order = self._trading.place(asked, placed_identity(wanted, self._symbols.get))
        except Refused:
            return failure(self._settings.duplicate_code, "customTag is already in use", orderId=None)
        if order.status == "rejected":
            return failure(REJECTED, order.reason, orderId=None)
        return answer(orderId=int(order.order_id))

    def _cancel(self, body: bytes) -> Response:
        return self._act(read(OfOrder, body), lambda order: self._trading.cancel(order.order_id))

    def _modify(self, body: bytes) -> Response:
        wanted = read(OfOrder, body)
        if wanted.size is not None and wanted.size < 1:
            return failure(_NOT_NOW, "size must be 1 or more")
        if wanted.limit_price is not None and wanted.limit_price <= 0:
            return failure(_NOT_NOW, "limitPrice must be more than zero")

        def modify(order: Order) -> Order:
            quantity = order.quantity if wanted.size is None else Decimal(wanted.size)
            price = wanted.limit_price if wanted.limit_price is not None else order.price or Decimal(0)
            return self._trading.replace(order.order_id, quantity, price)

        return self._act(wanted, modify)

    def _act(self, wanted: OfOrder, act: Callable[[Order], Order]) -> Response:
        if self._strange(wanted.account_id):
            return failure(ACCOUNT_NOT_FOUND)
        order = self._broker.order(str(wanted.order_id))
        if order is None:
            return failure(_ORDER_NOT_FOUND)
        try:
            act(order)
        except Refused as refused:
            return failure(_NOT_NOW, str(refused))
        return answer()

    def _orders(self, body: bytes) -> Response:
        wanted = read(Window, body)
        return self._list(wanted, "orders", lambda as_of: self._portfolio.orders(wanted, as_of))

    def _open_orders(self, body: bytes) -> Response:
        return self._list(read(OfAccount, body), "orders", self._portfolio.open_orders)

    def _list(
        self, wanted: OfAccount | Window, name: str, look: Callable[[float | None], Sequence[object]]
    ) -> Response:
        if self._strange(wanted.account_id):
            return failure(ACCOUNT_NOT_FOUND, **{name: None})
        return self._trading.read(Identity(), lambda as_of: answer(**{name: look(as_of)}))

    # Trades and positions

    def _trades(self, body: bytes) -> Response:
        wanted = read(Window, body)
        return self._list(wanted, "trades", lambda as_of: self._portfolio.trades(wanted, as_of))

    def _positions(self, body: bytes) -> Response:
        return self._list(read(OfAccount, body), "positions", self._portfolio.positions)

    def _close(self, body: bytes) -> Response:
        return self._reduce(read(OfContract, body), whole=True)

    def _close_part(self, body: bytes) -> Response:
        return self._reduce(read(OfContract, body), whole=False)

    def _reduce(self, wanted: OfContract, *, whole: bool) -> Response:
        """Close a position, or part of it, with a market order of the gateway's own."""
        if self._strange(wanted.account_id):
            return failure(ACCOUNT_NOT_FOUND)
        if wanted.contract_id not in self._symbols:
            return failure(_NO_SUCH_CONTRACT)
        held = self._broker.positions().get(self._symbols[wanted.contract_id], Decimal(0))
        if not held:
            return failure(_POSITION_NOT_FOUND)
        size = int(abs(held)) if whole else wanted.size or 0
        if not 0 < size <= abs(held):
            return failure(_INVALID_CLOSE_SIZE)
        order = Place(self._settings.account, wanted.contract_id, type=2, side=1 if held > 0 else 0, size=size)
        asked = placement(order, self._symbols[wanted.contract_id])
        # The gateway's order, not the caller's: it has no mark of an intent's.
        placed = self._trading.place(asked, Identity(op="close"))
        if placed.status == "rejected":
            return failure(5 if whole else 6, placed.reason)
        return answer()

    # The hubs

    def connected(self, connection: Connection) -> None:
        """A handshake was taken."""
        self._feeds.hubs.connected(connection)

    def received(self, connection: Connection, text: str) -> None:
        """A frame arrived from the client."""
        self._feeds.hubs.received(connection, text)

    def disconnected(self, connection: Connection, code: int) -> None:
        """A connection is gone."""
        self._feeds.hubs.disconnected(connection)

    def _subscribed(self, connection: Connection, hub: str, event: str) -> None:
        now = self._context.now_s()
        token = self.token_of(connection.request)
        self._history.append(Connected(now, connection.ordinal, hub, (event,), token))

    def _publish(self, entry: Entry, entity: str) -> None:
        self._journal.enter(entry)
        order, fill = entry.order, entry.fill
        tell, told = self._feeds.tell_user, self._portfolio
        if fill is not None:
            tell("GatewayUserTrade", told.trade(fill), entity, fill.fill_id)
        tell("GatewayUserOrder", told.order(order), entity, order.order_id)
        if fill is not None:
            tell("GatewayUserPosition", told.position(fill.symbol), entity, order.order_id)
            tell("GatewayUserAccount", told.account(), entity, order.order_id)

    # What goes into the history

    def _token_issued(self, alias: str, until_s: float) -> None:
        self._history.append(TokenIssued(t=self._context.now_s(), token=alias, until_t=until_s))

    def _token_ended(self, alias: str) -> None:
        self._history.append(TokenEnded(t=self._context.now_s(), token=alias))

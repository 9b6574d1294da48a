"""ProjectX, the gateway behind TopstepX: bearer tokens, errors inside a 200, and one tag per order for ever.

* ``customTag`` is the key. One that is taken is refused, also when its order ended long ago, so a repetition can do
  no harm. Orders cannot be asked for by tag or by id: both look through the account's orders of the last days.
* The answer to a new order is its id and no more, so it counts as acknowledged and not as seen.
* Trades have no numbers and do not carry the tag. They are asked for by time, a minute further back than needed,
  because what is told twice does no harm.
* A refusal for too many requests does not say when to come back; the limiter's own pauses have to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from targets.resilience.adapter import Adapter
from targets.resilience.config import VenueConfig
from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient, Reply
from targets.resilience.rate_limiter import Limiter
from targets.resilience.stream_dialect import SignalRDialect
from targets.resilience.token_manager import Grant, TokenManager, TokenManagerConfig
from targets.resilience.venue import (
    ZERO,
    Account,
    DuplicateKeyError,
    Fill,
    FillPage,
    Order,
    OrderEndedError,
    OrderSide,
    OrderStatus,
    OrderType,
    Placement,
    Position,
    UnknownOrderError,
    UnreadableError,
    VenueRules,
    WithdrawnError,
)
from targets.resilience.venues.generic import Tokens
from targets.resilience.venues.projectx_stream import ProjectXReading, read_fill, read_order
from targets.resilience.wire import read_decimal, read_list, read_object, read_text

T = TypeVar("T")
RULES: Final = VenueRules(idempotency="unique_ever")
TOKEN_LIFE_S: Final = 86_400.0
"""Documented; the answer does not say."""
LOOK_BACK: Final = timedelta(days=7)
OVERLAP: Final = timedelta(minutes=1)
"""Trades may become visible later than younger ones."""
BEGINNING: Final = datetime(2020, 1, 1, tzinfo=UTC)

_TYPES: Final = {OrderType.LIMIT: 1, OrderType.MARKET: 2, OrderType.STOP_LIMIT: 3, OrderType.STOP: 4}
_PLACE_UNKNOWN: Final = frozenset({6, 7})
"""Order/place: pending, unknown error."""
_NOT_FOUND, _REFUSED = 2, 3
_ACT_UNKNOWN: Final = frozenset({4, 5})
"""Order/cancel and Order/modify: pending, unknown error."""
_DECLINED: Final = 422
_SHORT: Final = 2


class ProjectXVenue:
    """Orders, trades and positions over REST. Implements :class:`targets.resilience.venue.Venue`."""

    def __init__(self, http: HttpClient, tokens: Tokens, account_id: int, rules: VenueRules = RULES) -> None:
        self._http = http
        self._tokens = tokens
        self._account = {"accountId": account_id}
        self.rules = rules

    async def place(self, placement: Placement, *, unless: Callable[[], bool]) -> Order:
        """Place an order under its key, which becomes its tag."""
        body: dict[str, object] = {
            **self._account,
            "contractId": placement.contract_id,
            "type": _TYPES[placement.type],
            "side": 0 if placement.side == OrderSide.BUY else 1,
            "size": int(placement.size),
            "customTag": placement.client_key,
        }
        if placement.limit_price is not None and placement.type != OrderType.MARKET:
            body["limitPrice"] = float(placement.limit_price)
        if placement.stop_price is not None:
            body["stopPrice"] = float(placement.stop_price)

        def placed(fields: Mapping[str, object]) -> Order:
            return Order(
                _number(fields, "orderId"),
                OrderStatus.OPEN,
                client_key=placement.client_key,
                contract_id=placement.contract_id,
                side=placement.side,
                size=placement.size,
                price=placement.limit_price,
                confirmed=False,
            )

        try:
            return await self._call(placed, "Order/place", body, unless=unless)
        except _SaidNoError as error:
            if "customtag" in error.text.lower():
                raise DuplicateKeyError(str(error), _DECLINED, code=error.code) from error
            raise error.as_api_error(_PLACE_UNKNOWN) from error

    async def find(self, client_key: str, contract_id: str) -> Order | None:
        """The order with this tag among those of the last days; None when there is none *as yet*."""
        return next((order for order in await self._recent() if order.client_key == client_key), None)

    async def order(self, order_id: str) -> Order:
        """One order among those of the last days."""
        for order in await self._recent():
            if order.id == order_id:
                return order
        raise UnknownOrderError(f"Order/search: no order {order_id}", 404)

    async def _recent(self) -> tuple[Order, ...]:
        since = datetime.now(UTC) - LOOK_BACK
        return await self._list("orders", read_order, "Order/search", {"startTimestamp": since.isoformat()})

    async def open_orders(self) -> tuple[Order, ...]:
        """All orders that the venue holds open."""
        return await self._list("orders", read_order, "Order/searchOpen")

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order. The answer shows nothing of it: it may be under way, and a fill may win."""
        await self._act("Order/cancel", order_id, {})
        return Order(order_id, OrderStatus.PENDING_CANCEL, confirmed=False)

    async def replace(self, order_id: str, *, size: Decimal, price: Decimal | None) -> Order:
        """Give an order a new size and price."""
        more = {"size": int(size)} | ({} if price is None else {"limitPrice": float(price)})
        await self._act("Order/modify", order_id, more)
        return Order(order_id, OrderStatus.OPEN, size=size, price=price, confirmed=False)

    async def _act(self, path: str, order_id: str, more: Mapping[str, object]) -> None:
        body = {**self._account, "orderId": int(order_id), **more}
        try:
            await self._call(lambda fields: None, path, body)
        except _SaidNoError as error:
            if error.number == _NOT_FOUND:
                raise UnknownOrderError(str(error), 404, code=error.code) from error
            if error.number == _REFUSED:
                raise OrderEndedError(str(error), 409, code=error.code) from error
            raise error.as_api_error(_ACT_UNKNOWN) from error

    async def fills(self, since: str) -> FillPage:
        """The trades from a minute before the youngest that was told; all of them are one page."""
        youngest = datetime.fromisoformat(since) if since else BEGINNING
        found = await self._list("trades", _timed, "Trade/search", {"startTimestamp": (youngest - OVERLAP).isoformat()})
        found = tuple(sorted(found, key=lambda timed: timed[0]))
        last = max((at for at, _ in found), default=youngest)
        return FillPage(tuple(fill for _, fill in found), max(last, youngest).isoformat(), more=False)

    async def positions(self) -> tuple[Position, ...]:
        """What the account holds."""
        return await self._list("positions", _position, "Position/searchOpen")

    async def account(self) -> Account:
        """The account itself."""
        accounts = await self._list("accounts", _account, "Account/search", {"onlyActiveAccounts": True})
        mine = str(self._account["accountId"])
        for account in accounts:
            if account.id == mine:
                return account
        raise APIError(f"Account/search: there is no account {mine}", 404)

    async def _list(
        self, name: str, read: Callable[[object], T], path: str, more: Mapping[str, object] | None = None
    ) -> tuple[T, ...]:
        body = {**self._account, **(more or {})}
        try:
            return await self._call(lambda fields: read_list(fields, name, read), path, body)
        except _SaidNoError as error:
            raise error.as_api_error(frozenset()) from error

    async def _call(
        self,
        read: Callable[[Mapping[str, object]], T],
        path: str,
        body: Mapping[str, object],
        *,
        unless: Callable[[], bool] | None = None,
    ) -> T:
        token = await self._tokens.get_valid_token()
        if unless is not None and unless():
            raise WithdrawnError(f"{path}: no longer wanted")
        reply = await self._http.send("POST", f"/api/{path}", headers={"Authorization": f"Bearer {token}"}, body=body)
        if reply.status == 401:
            self._tokens.reject(token)
        return _result(read, reply, path)


class ProjectXLogin:
    """Login by key, and the renewal of a token that still lives. Implements the token manager's ``Authenticator``."""

    def __init__(self, http: HttpClient, limiter: Limiter, user: str, key: str) -> None:
        self._http = http
        self._limiter = limiter
        self._credentials = {"userName": user, "apiKey": key}

    async def authenticate(self) -> Grant:
        """A token for the key."""
        return await self._obtain("Auth/loginKey", "token", self._credentials, "")

    async def refresh(self, token: str) -> Grant:
        """A new token for one that still lives."""
        return await self._obtain("Auth/validate", "newToken", {}, token)

    async def _obtain(self, path: str, name: str, body: Mapping[str, object], token: str) -> Grant:
        await self._limiter.throttle(path)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        reply = await self._http.send("POST", f"/api/{path}", headers=headers, body=body)
        try:
            issued = _result(lambda fields: read_text(fields, name), reply, path)
        except _SaidNoError as error:
            raise APIError(str(error), 401, code=error.code) from error
        except APIError as error:
            if reply.status in (418, 429, 503):
                self._limiter.refused(reply.status, error.retry_after_s)
            raise
        self._limiter.served()
        return Grant(issued, TOKEN_LIFE_S)


class _SaidNoError(Exception):
    """A 200 whose body says no. What that means is the endpoint's."""

    def __init__(self, path: str, number: int, text: str) -> None:
        super().__init__(f"{path}: error {number} {text}".rstrip())
        self.number = number
        self.code = str(number)
        self.text = text

    def as_api_error(self, unknown: frozenset[int]) -> APIError:
        return APIError(str(self), _DECLINED, code=self.code, effect="unknown" if self.number in unknown else "none")


def _result(read: Callable[[Mapping[str, object]], T], reply: Reply, path: str) -> T:
    reply.raise_for_status(path)
    try:
        fields = read_object(reply.data, "an answer")
        if fields.get("success") is not True:
            number = fields.get("errorCode")
            if fields.get("success") is not False or not isinstance(number, int):
                raise UnreadableError("neither a success nor an error")
            raise _SaidNoError(path, number, str(fields.get("errorMessage") or ""))
        return read(fields)
    except UnreadableError as error:
        # Neither is quoted: it may hold a token.
        raise UnreadableError(f"{path}: {reply.status} with an unreadable body: {error}", reply.status) from error


def _number(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnreadableError(f"{name!r} is no number")
    return str(value)


def _timed(data: object) -> tuple[datetime, Fill]:
    fields = read_object(data, "a trade")
    try:
        at = datetime.fromisoformat(read_text(fields, "creationTimestamp"))
    except ValueError as error:
        raise UnreadableError("'creationTimestamp' is no time") from error
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)), read_fill(data)


def _position(data: object) -> Position:
    fields = read_object(data, "a position")
    size, average = read_decimal(fields, "size"), read_decimal(fields, "averagePrice")
    return Position(read_text(fields, "contractId"), -size if fields.get("type") == _SHORT else size, average)


def _account(data: object) -> Account:
    fields = read_object(data, "an account")
    balance = ZERO if fields.get("balance") is None else read_decimal(fields, "balance")
    return Account(_number(fields, "id"), balance, fields.get("canTrade") is True)


def projectx_adapter(config: VenueConfig, http: HttpClient, limiter: Limiter, tokens: TokenManagerConfig) -> Adapter:
    """A ProjectX gateway and its user hub. ``client_id`` is the user, ``client_secret`` the key."""
    account_id = int(config.account_id or 1)
    access = TokenManager(tokens, ProjectXLogin(http, limiter, config.client_id, config.client_secret))
    rules = VenueRules("unique_ever", config.late_seconds, config.query_lag_seconds)
    return Adapter(
        access,
        ProjectXVenue(http, access, account_id, rules),
        ProjectXReading(),
        SignalRDialect(),
        "/hubs/user",
        (("SubscribeOrders", account_id), ("SubscribeTrades", account_id)),
    )

"""faultline's generic venue (docs/generic-venue.md): bearer tokens, JSON with decimal text, numbered fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Protocol, TypeVar
from urllib.parse import quote

from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient, Reply
from targets.resilience.rate_limiter import Limiter
from targets.resilience.token_manager import Grant
from targets.resilience.venue import (
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
from targets.resilience.wire import (
    read_choice,
    read_decimal,
    read_decimal_or_none,
    read_list,
    read_object,
    read_sequence,
    read_text,
)

T = TypeVar("T")
PAGE: Final = 500
"""Fills per page, the venue's own limit."""

_SIDES: Final = {side.value: side for side in OrderSide}
_STATUSES: Final = {
    status.value: status for status in OrderStatus if status not in (OrderStatus.PENDING, OrderStatus.UNKNOWN)
}


class Tokens(Protocol):
    """Where the adapter gets its access token."""

    async def get_valid_token(self) -> str:
        """A token that is good for a request."""
        ...

    def reject(self, token: str) -> None:
        """The venue did not accept ``token``."""
        ...


class GenericVenue:
    """Orders, fills and positions over REST. Implements :class:`targets.resilience.venue.Venue`."""

    def __init__(self, http: HttpClient, tokens: Tokens, rules: VenueRules | None = None) -> None:
        self._http = http
        self._tokens = tokens
        self.rules = rules or VenueRules(fills_numbered=True)

    async def place(self, placement: Placement, *, unless: Callable[[], bool]) -> Order:
        """Place an order under its key."""
        body = {
            "client_order_id": placement.client_key,
            "symbol": placement.contract_id,
            "side": placement.side.value,
            "type": placement.type.value,
            "quantity": f"{placement.size:f}",
        }
        if placement.type != OrderType.MARKET and placement.limit_price is not None:
            body["price"] = f"{placement.limit_price:f}"

        def placed(data: object) -> Order:
            found = read_order(data)
            if found.client_key != placement.client_key:
                raise UnreadableError(f"asked for {placement.client_key}, answered about {found.client_key!r}")
            return found

        try:
            return await self._call(placed, "POST", "/orders", body=body, unless=unless)
        except APIError as error:
            if error.status_code == 409:
                raise DuplicateKeyError(str(error), 409, code=error.code) from error
            raise

    async def find(self, client_key: str, contract_id: str) -> Order | None:
        """The order with this key; None when the venue knows of none *as yet*."""

        def first(data: object) -> Order | None:
            return next((order for order in _orders(data) if order.client_key == client_key), None)

        try:
            return await self._call(first, "GET", "/orders", query={"client_order_id": client_key})
        except UnknownOrderError:
            return None

    async def order(self, order_id: str) -> Order:
        """One order by the venue's id."""
        return await self._call(_reader_of(order_id), "GET", _path(order_id))

    async def open_orders(self) -> tuple[Order, ...]:
        """All orders that the venue holds open."""
        return await self._call(_orders, "GET", "/orders", query={"status": "open"})

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order; the order as it stands then."""
        return await self._amend("DELETE", order_id, None)

    async def replace(self, order_id: str, *, size: Decimal, price: Decimal | None) -> Order:
        """Give an order a new size and price; the order as it stands then."""
        body = {"quantity": f"{size:f}"} | ({} if price is None else {"price": f"{price:f}"})
        return await self._amend("PUT", order_id, body)

    async def _amend(self, method: str, order_id: str, body: Mapping[str, str] | None) -> Order:
        try:
            return await self._call(_reader_of(order_id), method, _path(order_id), body=body)
        except APIError as error:
            if error.status_code == 409:
                raise OrderEndedError(str(error), 409, code=error.code) from error
            raise

    async def fills(self, since: str) -> FillPage:
        """The fills after the one numbered ``since``."""

        def page(data: object) -> FillPage:
            fills = read_list(data, "fills", read_fill)
            last = max((fill.sequence or 0 for fill in fills), default=0)
            return FillPage(fills, str(last or since), more=len(fills) >= PAGE and str(last) != since)

        return await self._call(page, "GET", "/fills", query={"since": since or "0", "limit": str(PAGE)})

    async def positions(self) -> tuple[Position, ...]:
        """What the account holds."""
        return await self._call(_positions, "GET", "/positions")

    async def account(self) -> Account:
        """This venue has one account per login and keeps no balance."""
        await self.positions()
        return Account("", Decimal(0))

    async def _call(
        self,
        read: Callable[[object], T],
        method: str,
        path: str,
        *,
        body: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        unless: Callable[[], bool] | None = None,
    ) -> T:
        token = await self._tokens.get_valid_token()
        if unless is not None and unless():
            raise WithdrawnError(f"{method} {path}: no longer wanted")
        headers = {"Authorization": f"Bearer {token}"}
        reply = await self._http.send(method, path, headers=headers, body=body, query=query)
        if reply.status == 401:
            self._tokens.reject(token)
        return _result(read, reply, f"{method} {path}")


class GenericLogin:
    """Login and refresh at the generic venue. Implements the token manager's ``Authenticator``.

    Its requests count for the venue's limits like all others, so they pass the same limiter.
    """

    def __init__(self, http: HttpClient, limiter: Limiter, client_id: str, client_secret: str) -> None:
        self._http = http
        self._limiter = limiter
        self._credentials = {"client_id": client_id, "client_secret": client_secret}

    async def authenticate(self) -> Grant:
        """A token for the credentials."""
        return await self._obtain("/auth/token", self._credentials)

    async def refresh(self, token: str) -> Grant:
        """A token for a refresh token, which is spent by that."""
        return await self._obtain("/auth/refresh", {"refresh_token": token})

    async def _obtain(self, path: str, body: Mapping[str, str]) -> Grant:
        await self._limiter.throttle(path)
        reply = await self._http.send("POST", path, body=body)
        try:
            grant = _result(_grant, reply, f"POST {path}")
        except APIError as error:
            if reply.status in (418, 429, 503):
                self._limiter.refused(reply.status, error.retry_after_s)
            raise
        self._limiter.served()
        return grant


def read_order(data: object) -> Order:
    """The order in a payload. Raises UnreadableError."""
    fields = read_object(data, "an order")
    return Order(
        id=read_text(fields, "order_id"),
        status=read_choice(fields, "status", _STATUSES),
        client_key=str(fields.get("client_order_id") or ""),
        contract_id=str(fields.get("symbol") or ""),
        side=_SIDES.get(str(fields.get("side")), OrderSide.BUY),
        size=read_decimal(fields, "quantity"),
        filled=read_decimal(fields, "filled"),
        price=read_decimal_or_none(fields, "price"),
    )


def read_fill(data: object) -> Fill:
    """The fill in a payload. Raises UnreadableError."""
    fields = read_object(data, "a fill")
    return Fill(
        id=read_text(fields, "fill_id"),
        order_id=read_text(fields, "order_id"),
        contract_id=read_text(fields, "symbol"),
        side=read_choice(fields, "side", _SIDES),
        size=read_decimal(fields, "quantity"),
        price=read_decimal(fields, "price"),
        client_key=str(fields.get("client_order_id") or ""),
        sequence=read_sequence(fields.get("sequence")),
    )


def _orders(data: object) -> tuple[Order, ...]:
    return read_list(data, "orders", read_order)


def _positions(data: object) -> tuple[Position, ...]:
    held = read_object(read_object(data, "an answer").get("positions"), "positions")
    return tuple(Position(symbol, read_decimal(held, symbol)) for symbol in held)


def _grant(data: object) -> Grant:
    fields = data if isinstance(data, dict) else {}
    token, life_s = fields.get("access_token"), fields.get("expires_in")
    if not isinstance(token, str) or not token or not isinstance(life_s, int | float) or life_s <= 0:
        # The answer is not quoted: it may hold half a token.
        raise UnreadableError("an answer without a token")
    return Grant(token, float(life_s), str(fields.get("refresh_token") or ""))


def _path(order_id: str) -> str:
    return f"/orders/{quote(order_id, safe='')}"


def _reader_of(order_id: str) -> Callable[[object], Order]:
    def read(data: object) -> Order:
        found = read_order(data)
        if found.id != order_id:
            raise UnreadableError(f"asked about {order_id}, answered about {found.id}")
        return found

    return read


def _result(read: Callable[[object], T], reply: Reply, what: str) -> T:
    code = str(reply.data.get("error", "")) if isinstance(reply.data, dict) else ""
    if reply.status == 404:
        raise UnknownOrderError(f"{what}: 404 {code}", 404, code=code)
    reply.raise_for_status(what, code=code)
    try:
        return read(reply.data)
    except UnreadableError as error:
        raise UnreadableError(f"{what}: {reply.status} with an unreadable body: {error}", reply.status) from error

"""The venue's REST endpoints as typed calls.

Each returns what the venue documents or raises one of the four errors of :mod:`targets.venue_http`. Nothing is
retried here but a request that met an expired token: who calls knows what a second try may cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote

from targets.order_model import Order, Unreadable, WireFill, WireOrder, read_fill, read_list, read_order
from targets.venue_auth import Tokens
from targets.venue_http import Declined, Http, Refused, Reply, Unclear

T = TypeVar("T")
PAGE: Final = 500
"""Fills per page, the venue's own limit."""


class Withdrawn(Refused):
    """Not sent, because in the meantime nobody wanted it any more."""


@dataclass(frozen=True, slots=True)
class FillPage:
    """Some fills in order, and whether there may be more after them."""

    fills: tuple[WireFill, ...]
    more: bool


class VenueApi:
    """Orders, fills and positions over REST."""

    def __init__(self, http: Http, tokens: Tokens) -> None:
        self._http = http
        self._tokens = tokens

    async def place(self, order: Order, *, unless: Callable[[], bool]) -> WireOrder:
        """Place ``order`` under its key. ``unless`` is asked at the last moment; if true, raises Withdrawn."""
        body = {
            "client_order_id": order.key,
            "symbol": order.symbol,
            "side": order.side,
            "type": order.order_type,
            "quantity": order.quantity,
        }
        if order.order_type != "market":
            body["price"] = order.price

        def placed(data: object) -> WireOrder:
            found = read_order(data)
            if found.key != order.key:
                raise Unreadable(f"asked for {order.key}, answered about {found.key!r}")
            return found

        return await self._call(placed, "POST", "/orders", body=body, unless=unless)

    async def find(self, key: str) -> WireOrder | None:
        """The order with this key; None when the venue knows of none *as yet*."""

        def first(data: object) -> WireOrder | None:
            orders = [order for order in map(read_order, read_list(data, "orders")) if order.key == key]
            return orders[0] if orders else None

        try:
            return await self._call(first, "GET", "/orders", query={"client_order_id": key})
        except Declined as declined:
            if declined.status == 404:
                return None
            raise

    async def order(self, order_id: str) -> WireOrder:
        """One order by the venue's id."""
        return await self._call(_reader_of(order_id), "GET", _path(order_id))

    async def open_orders(self) -> list[WireOrder]:
        """All orders that the venue holds open."""
        return await self._call(
            lambda data: list(map(read_order, read_list(data, "orders"))), "GET", "/orders", query={"status": "open"}
        )

    async def cancel(self, order_id: str) -> WireOrder:
        """Cancel an order; the order as it stands then."""
        return await self._call(_reader_of(order_id), "DELETE", _path(order_id))

    async def replace(self, order_id: str, *, quantity: str, price: str) -> WireOrder:
        """Give an order a new quantity and price; the order as it stands then."""
        terms = {"quantity": quantity, "price": price}
        return await self._call(_reader_of(order_id), "PUT", _path(order_id), body=terms)

    async def fills(self, *, since: int) -> FillPage:
        """The fills after the one numbered ``since``."""

        def page(data: object) -> FillPage:
            fills = tuple(map(read_fill, read_list(data, "fills")))
            return FillPage(fills, more=len(fills) >= PAGE)

        return await self._call(page, "GET", "/fills", query={"since": str(since), "limit": str(PAGE)})

    async def _call(
        self,
        reader: Callable[[object], T],
        method: str,
        path: str,
        *,
        body: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        unless: Callable[[], bool] | None = None,
    ) -> T:
        # A 401 is certain not to have been carried out, so the same request goes out again, once.
        for _ in range(2):
            token = await self._admitted_token(order=(method, path) == ("POST", "/orders"))
            if unless is not None and unless():
                raise Withdrawn(f"{method} {path}: no longer wanted")
            reply = await self._http.send(method, path, token=token, body=body, query=query)
            if reply.status != 401:
                return _result(reader, reply, f"{method} {path}")
            self._tokens.reject(token)
        raise Refused(f"{method} {path}: 401 although the token is new")

    async def _admitted_token(self, *, order: bool) -> str:
        while True:
            token = await self._tokens.get()
            await self._http.gate.admit(order=order)
            # The wait at the gate may have outlived the token.
            if self._tokens.usable(token):
                return token


def _path(order_id: str) -> str:
    return f"/orders/{quote(order_id, safe='')}"


def _reader_of(order_id: str) -> Callable[[object], WireOrder]:
    def read(data: object) -> WireOrder:
        found = read_order(data)
        if found.order_id != order_id:
            raise Unreadable(f"asked about {order_id}, answered about {found.order_id}")
        return found

    return read


def _result(reader: Callable[[object], T], reply: Reply, what: str) -> T:
    if 200 <= reply.status < 300:
        try:
            return reader(reply.data)
        except Unreadable as error:
            raise Unclear(f"{what}: {reply.status} with an unreadable body: {error}") from error
    if 400 <= reply.status < 500 and reply.status != 408:
        raise Declined(reply.status, reply.error_code)
    raise Unclear(f"{what}: {reply.status} {reply.error_code}")

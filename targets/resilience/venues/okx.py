"""OKX v5 spot: four headers, refusals inside a 200, and keys that are known while their order is pending.

* A key is refused only while its order is pending, and a query by it shows the latest order with it: a duplicate would
  hide behind its double. So nothing is sent again before a query has said no for as long as a request may arrive;
  ``expTime`` in each request is that time, and the venue keeps it.
* What was carried out is in each line's ``sCode``, not in the HTTP status; code 50004 is a 400 that does not know.
* Fills come newest first and by page.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from targets.resilience.adapter import Adapter
from targets.resilience.config import VenueConfig
from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient, Reply
from targets.resilience.plain_dialect import okx
from targets.resilience.rate_limiter import Limiter
from targets.resilience.signed_access import Keys, SignedAccess
from targets.resilience.token_manager import TokenManagerConfig
from targets.resilience.venue import (
    Account,
    DuplicateKeyError,
    Fill,
    FillPage,
    Order,
    OrderEndedError,
    OrderStatus,
    OrderType,
    Placement,
    Position,
    UnknownOrderError,
    UnreadableError,
    VenueRules,
)
from targets.resilience.venues.okx_stream import OkxReading, read_fill, read_order
from targets.resilience.venues.spot import PAIRS, Pair, Walk, clock, joined, parted, still_wanted, whole
from targets.resilience.wire import read_decimal, read_list, read_object, read_text

T = TypeVar("T")
EXPIRES_MS: Final = 5_000
FILLS_MAX: Final = 100
_TRADE: Final = "/api/v5/trade"
_TIME_CODES: Final = frozenset({"50102", "50112"})
_UNKNOWN_CODES: Final = frozenset({"50004", "51054", "51149"})
_TOO_MANY_CODES: Final = frozenset({"50011", "50061"})
_NOT_FOUND_CODES: Final = frozenset({"51603"})
_ENDED_CODES: Final = frozenset({"51400", "51401", "51402", "51410", "51503", "51509", "51510"})
"""Cancelled or amended in vain: it is filled, cancelled, being cancelled, or not there; the order itself tells."""
_DUPLICATE: Final = "51016"
_TOO_LATE: Final = "expTime"
_DECLINED, _TOO_MANY, _REFUSED_UNREAD = 422, 429, 503


class OkxVenue:
    """Orders, fills and balances over REST. Implements :class:`targets.resilience.venue.Venue`."""

    def __init__(
        self, http: HttpClient, access: SignedAccess, keys: Keys, pairs: tuple[Pair, ...], rules: VenueRules
    ) -> None:
        self._http = http
        self._access = access
        self._keys = keys
        self._pairs = pairs
        self.rules = rules

    async def place(self, placement: Placement, *, unless: Callable[[], bool]) -> Order:
        """Place an order under its key."""
        body = {
            "instId": placement.contract_id,
            "tdMode": "cash",
            "side": placement.side.value,
            "ordType": placement.type.value,
            "sz": f"{placement.size:f}",
            "clOrdId": placement.client_key,
        }
        if placement.type == OrderType.MARKET:
            # By default the size of a market buy is what to spend.
            body["tgtCcy"] = "base_ccy"
        elif placement.limit_price is not None:
            body["px"] = f"{placement.limit_price:f}"

        def placed(data: object) -> Order:
            return Order(
                joined(placement.contract_id, read_text(_line(data), "ordId")),
                OrderStatus.OPEN,
                client_key=placement.client_key,
                contract_id=placement.contract_id,
                side=placement.side,
                size=placement.size,
                price=placement.limit_price,
                confirmed=False,
            )

        return await self._call(placed, "POST", f"{_TRADE}/order", body=body, unless=unless)

    async def find(self, client_key: str, contract_id: str) -> Order | None:
        """The latest order with this key; None when there is none *as yet*."""
        try:
            return await self._call(
                _first, "GET", f"{_TRADE}/order", query={"instId": contract_id, "clOrdId": client_key}
            )
        except UnknownOrderError:
            return None

    async def order(self, order_id: str) -> Order:
        """One order."""

        def read(data: object) -> Order:
            found = _first(data)
            if found.id != order_id:
                raise UnreadableError(f"asked about {order_id}, answered about {found.id}")
            return found

        return await self._call(read, "GET", f"{_TRADE}/order", query=_named(order_id))

    async def open_orders(self) -> tuple[Order, ...]:
        """The orders that the venue holds pending, the newest hundred; an order of ours beyond that is looked up."""
        return await self._call(lambda data: _each(data, read_order), "GET", f"{_TRADE}/orders-pending")

    async def cancel(self, order_id: str) -> Order:
        """Ask for a cancel. That it was taken does not mean that it is done: a fill may win."""
        await self._call(_line, "POST", f"{_TRADE}/cancel-order", body=_named(order_id))
        return Order(order_id, OrderStatus.PENDING_CANCEL, confirmed=False)

    async def replace(self, order_id: str, *, size: Decimal, price: Decimal | None) -> Order:
        """Give an order a new size and price."""
        body = {**_named(order_id), "newSz": f"{size:f}"} | ({} if price is None else {"newPx": f"{price:f}"})
        await self._call(_line, "POST", f"{_TRADE}/amend-order", body=body)
        return Order(order_id, OrderStatus.OPEN, size=size, price=price, confirmed=False)

    async def fills(self, since: str) -> FillPage:
        """A page of fills, from the youngest to the oldest; ``place`` of the walk is the oldest bill that was told."""
        walk = Walk.of(since)
        query = {"instType": "SPOT", "begin": str(walk.from_ms), "limit": str(FILLS_MAX)}
        if walk.place:
            query["after"] = walk.place
        found = await self._call(lambda data: _each(data, _timed), "GET", f"{_TRADE}/fills-history", query=query)
        oldest = min((bill for bill, _, _ in found), default=0)
        fills = [(at_ms, fill) for _, at_ms, fill in found]
        return walk.page(fills, str(oldest) if len(found) >= FILLS_MAX else "")

    async def positions(self) -> tuple[Position, ...]:
        """What is held of each base asset, under the pair's name."""
        held = await self._balances()
        return tuple(Position(pair.symbol, held[pair.base]) for pair in self._pairs if held.get(pair.base))

    async def account(self) -> Account:
        """The balance is in the quote asset of the first pair."""
        return Account("", (await self._balances()).get(self._pairs[0].quote, Decimal(0)))

    async def _balances(self) -> Mapping[str, Decimal]:
        def read(data: object) -> Mapping[str, Decimal]:
            (account,) = _each(data, lambda item: read_object(item, "an account"))
            details = read_list(account, "details", lambda item: read_object(item, "a balance"))
            return {str(one.get("ccy")): read_decimal(one, "cashBal") for one in details}

        return await self._call(read, "GET", "/api/v5/account/balance")

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
        what = f"{method} {path}"
        await self._access.get_ready()
        still_wanted(unless, what)
        target = f"{path}?{urlencode(query)}" if query else path
        content = "" if body is None else json.dumps(body)
        now_ms = self._access.now_ms()
        headers = signed_headers(self._keys, now_ms, method, target, content)
        if body is not None:
            headers |= {"Content-Type": "application/json", "expTime": str(now_ms + EXPIRES_MS)}
        reply = await self._http.send(method, target, headers=headers, content=content.encode() if content else None)
        fields = reply.data if isinstance(reply.data, dict) else {}
        if reply.status != 200 or fields.get("code") != "0":
            raise self._error(reply, fields, what)
        try:
            return read(fields)
        except UnreadableError as error:
            raise UnreadableError(f"{what}: 200 with an unreadable body: {error}", 200) from error

    def _error(self, reply: Reply, fields: Mapping[str, Any], what: str) -> APIError:
        line = _failed_line(fields)
        code = str(line.get("sCode") or fields.get("code") or "")
        text = str(line.get("sMsg") or fields.get("msg") or "")[:200]
        message = f"{what}: {reply.status} {code} {text}"
        if code in _TIME_CODES:
            self._access.reject("")
            return APIError(message, 401, code=code, effect="none")
        if _TOO_LATE in text:
            return APIError(message, _REFUSED_UNREAD, code=code, effect="none")
        if code in _UNKNOWN_CODES:
            return APIError(message, reply.status if reply.status >= 500 else 504, code=code, effect="unknown")
        if code in _TOO_MANY_CODES:
            return APIError(message, _TOO_MANY, code=code, effect="none")
        if code in _NOT_FOUND_CODES:
            return UnknownOrderError(message, 404, code=code, effect="none")
        if code in _ENDED_CODES:
            return OrderEndedError(message, 409, code=code, effect="none")
        if code == _DUPLICATE:
            return DuplicateKeyError(message, 409, code=code, effect="none")
        if not code and reply.status in (200, 400):
            return UnreadableError(message, reply.status)
        if reply.status == 200:
            return APIError(message, _DECLINED, code=code)
        try:
            reply.raise_for_status(what, code=code)
        except APIError as error:
            return error
        return UnreadableError(message, reply.status)


def signed_headers(keys: Keys, now_ms: int, method: str, target: str, content: str) -> dict[str, str]:
    """The four headers, signed over exactly what is sent."""
    at = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "OK-ACCESS-KEY": keys.key,
        "OK-ACCESS-SIGN": signature(keys, f"{at}{method}{target}{content}"),
        "OK-ACCESS-TIMESTAMP": at,
        "OK-ACCESS-PASSPHRASE": keys.passphrase,
    }


def signature(keys: Keys, payload: str) -> str:
    """HMAC-SHA256 in base64."""
    return base64.b64encode(hmac.new(keys.secret.encode(), payload.encode(), hashlib.sha256).digest()).decode()


def _named(order_id: str) -> dict[str, str]:
    symbol, own_id = parted(order_id)
    return {"instId": symbol, "ordId": own_id}


def _each(data: object, read: Callable[[object], T]) -> tuple[T, ...]:
    return read_list(data, "data", read)


def _first(data: object) -> Order:
    orders = _each(data, read_order)
    if len(orders) != 1:
        raise UnreadableError(f"asked for one order, answered with {len(orders)}")
    return orders[0]


def _line(data: object) -> Mapping[str, Any]:
    lines = _each(data, lambda item: read_object(item, "a line"))
    if len(lines) != 1 or lines[0].get("sCode") != "0":
        raise UnreadableError("not the one line of a success")
    return lines[0]


def _failed_line(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    lines = fields.get("data")
    first = lines[0] if isinstance(lines, list) and lines else None
    return first if isinstance(first, dict) else {}


def _timed(data: object) -> tuple[int, int, Fill]:
    fields = read_object(data, "a fill")
    return whole(fields.get("billId"), "billId"), whole(fields.get("ts"), "ts"), read_fill(data)


def server_time(data: object) -> float:
    """The time in an answer of ``public/time``."""
    (line,) = _each(data, lambda item: read_object(item, "a time"))
    return float(whole(line.get("ts"), "ts"))


def okx_adapter(config: VenueConfig, http: HttpClient, limiter: Limiter, tokens: TokenManagerConfig) -> Adapter:
    """OKX spot and the private stream. ``client_id`` is the API key; requests expire, so none is late."""
    access = clock(http, limiter, "/api/v5/public/time", server_time)
    keys = Keys(config.client_id, config.client_secret, config.passphrase)
    pairs = tuple(Pair.read(text, "-") for text in config.pairs or PAIRS)
    rules = VenueRules(
        "unique_while_pending", min(config.late_seconds, EXPIRES_MS / 1000 + 1), config.query_lag_seconds
    )

    def login() -> str:
        at = str(access.now_ms() // 1000)
        proof = {
            "apiKey": keys.key,
            "passphrase": keys.passphrase,
            "timestamp": at,
            "sign": signature(keys, f"{at}GET/users/self/verify"),
        }
        return json.dumps({"op": "login", "args": [proof]})

    venue = OkxVenue(http, access, keys, pairs, rules)
    subscription = ("orders", {"instType": "SPOT"})
    return Adapter(access, venue, OkxReading(), okx(login), "/ws/v5/private", (subscription,))

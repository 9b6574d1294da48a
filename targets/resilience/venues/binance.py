"""Binance spot: signed queries, keys that are known while their order is open, and queries that trail.

* A key is refused only while its order is open. After the fill the same key is a second order, so nothing is sent
  again before a query has said no for as long as a request may still arrive: ``recvWindow``, which is in the
  signature, is that time, and the venue keeps it.
* Orders and trades count per symbol, and are asked for with it, so ids here hold both.
* Trades are numbered per symbol and can be asked for from a number on: nothing is told twice, nothing is left out.
* Many statuses of errors say nothing; the code does.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlencode

import msgspec

from targets.resilience.adapter import Adapter
from targets.resilience.config import VenueConfig
from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient, Reply
from targets.resilience.rate_limiter import Limiter
from targets.resilience.signed_access import Keys, SignedAccess
from targets.resilience.token_manager import TokenManagerConfig
from targets.resilience.venue import (
    Account,
    DuplicateKeyError,
    FillPage,
    Order,
    OrderType,
    Placement,
    Position,
    UnknownOrderError,
    UnreadableError,
    VenueRules,
)
from targets.resilience.venues.binance_stream import BinanceReading, account_stream, read_order, read_trade
from targets.resilience.venues.spot import PAIRS, Pair, clock, parted, still_wanted, whole
from targets.resilience.wire import read_decimal, read_list, read_object

T = TypeVar("T")
WINDOW_MS: Final = 5_000
TRADES_MAX: Final = 1_000
_NOT_SUPPORTED: Final = 405
_READ_AGAIN: Final = 401
_SAYS_BY_CODE: Final = 400
"""Declined, or a key that is taken, or carried out for all anybody knows: without its code it says nothing."""


class BinanceVenue:
    """Orders, trades and balances over REST. Implements :class:`targets.resilience.venue.Venue`."""

    key_header: ClassVar[str] = "X-MBX-APIKEY"
    unknown_codes: ClassVar[frozenset[int]] = frozenset({-1006, -1007})
    """Execution status unknown."""
    time_codes: ClassVar[frozenset[int]] = frozenset({-1021})
    not_found_codes: ClassVar[frozenset[int]] = frozenset({-2011, -2013})
    duplicate: ClassVar[tuple[int, str]] = (-2010, "Duplicate order")
    """The code of a key that is taken, and the words that tell it from other refusals with that code."""

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
        params = {
            "symbol": placement.contract_id,
            "side": placement.side.value.upper(),
            "type": placement.type.value.upper(),
            "quantity": f"{placement.size:f}",
            "newClientOrderId": placement.client_key,
            "newOrderRespType": "RESULT",
        }
        if placement.type != OrderType.MARKET and placement.limit_price is not None:
            params |= {"price": f"{placement.limit_price:f}", "timeInForce": "GTC"}

        def placed(data: object) -> Order:
            found = self._placed(data, placement)
            if found.client_key != placement.client_key:
                raise UnreadableError(f"asked for {placement.client_key}, answered about {found.client_key!r}")
            return found

        return await self._call(placed, "POST", "order", params, unless=unless)

    def _placed(self, data: object, placement: Placement) -> Order:
        return read_order(data)

    async def find(self, client_key: str, contract_id: str) -> Order | None:
        """The newest order with this key; None when there is none *as yet*."""
        try:
            return await self._call(
                read_order, "GET", "order", {"symbol": contract_id, "origClientOrderId": client_key}
            )
        except UnknownOrderError:
            return None

    async def order(self, order_id: str) -> Order:
        """One order."""
        return await self._call(_reader_of(order_id), "GET", "order", _named(order_id))

    async def open_orders(self) -> tuple[Order, ...]:
        """All orders that the venue holds open. Of one symbol they weigh little, of all a lot."""
        params = {"symbol": self._pairs[0].symbol} if len(self._pairs) == 1 else {}
        return await self._call(lambda data: _each(data, read_order), "GET", "openOrders", params)

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order; the order as it stands then."""
        return await self._call(_reader_of(order_id), "DELETE", "order", _named(order_id))

    async def replace(self, order_id: str, *, size: Decimal, price: Decimal | None) -> Order:
        """Spot orders are not changed here: what stands in for that is a cancel and a new order, which is no change."""
        raise APIError(f"{order_id}: orders are not replaced at this venue", _NOT_SUPPORTED)

    async def fills(self, since: str) -> FillPage:
        """A page of one symbol's trades; after its last page comes the next symbol, and after the last one all is
        told."""
        at = _TradesRead.of(since)
        pair = self._pairs[at.pair % len(self._pairs)]
        last = at.last.get(pair.symbol, 0)
        params = {"symbol": pair.symbol, "fromId": str(last + 1), "limit": str(TRADES_MAX)}
        fills = await self._call(lambda data: _each(data, read_trade), "GET", "myTrades", params)
        last = max((whole(parted(fill.id)[1], "id") for fill in fills), default=last)
        full = len(fills) >= TRADES_MAX
        following = at.pair if full else (at.pair + 1) % len(self._pairs)
        cursor = _TradesRead(following, {**at.last, pair.symbol: last})
        return FillPage(fills, cursor.written, more=full or following != 0)

    async def positions(self) -> tuple[Position, ...]:
        """What is held of each base asset, under the pair's symbol."""
        held = await self._balances()
        return tuple(Position(pair.symbol, held[pair.base]) for pair in self._pairs if held.get(pair.base))

    async def account(self) -> Account:
        """The balance is in the quote asset of the first pair."""
        return Account("", (await self._balances()).get(self._pairs[0].quote, Decimal(0)))

    async def _balances(self) -> Mapping[str, Decimal]:
        def read(data: object) -> Mapping[str, Decimal]:
            return dict(read_list(data, "balances", _balance))

        return await self._call(read, "GET", "account", {})

    async def _call(
        self,
        read: Callable[[object], T],
        method: str,
        name: str,
        params: Mapping[str, str],
        *,
        unless: Callable[[], bool] | None = None,
    ) -> T:
        what = f"{method} {name}"
        await self._access.get_ready()
        still_wanted(unless, what)
        query = signed_query(self._keys, {**params, **_window(self._access)})
        reply = await self._http.send(method, f"/api/v3/{name}?{query}", headers={self.key_header: self._keys.key})
        if reply.status != 200:
            raise self._error(reply, what)
        try:
            return read(reply.data)
        except UnreadableError as error:
            raise UnreadableError(f"{what}: {reply.status} with an unreadable body: {error}", 200) from error

    def _error(self, reply: Reply, what: str) -> APIError:
        fields = reply.data if isinstance(reply.data, dict) else {}
        code, text = fields.get("code"), str(fields.get("msg") or "")[:200]
        message = f"{what}: {reply.status} {code} {text}"
        if code in self.time_codes:
            self._access.reject("")
            return APIError(message, _READ_AGAIN, code=str(code), effect="none")
        if code in self.unknown_codes:
            return APIError(message, reply.status, code=str(code), effect="unknown")
        if code in self.not_found_codes:
            return UnknownOrderError(message, reply.status, code=str(code))
        if code == self.duplicate[0] and self.duplicate[1] in text:
            return DuplicateKeyError(message, reply.status, code=str(code))
        if code is None and reply.status == _SAYS_BY_CODE:
            return UnreadableError(message, reply.status)
        try:
            reply.raise_for_status(what, code=str(code))
        except APIError as error:
            return error
        return UnreadableError(message, reply.status)


class _TradesRead(msgspec.Struct, frozen=True):
    """Whose turn it is among the pairs, and the last trade read of each."""

    pair: int = 0
    last: dict[str, int] = {}

    @classmethod
    def of(cls, cursor: str) -> _TradesRead:
        return msgspec.json.decode(cursor, type=cls) if cursor else cls()

    @property
    def written(self) -> str:
        return msgspec.json.encode(self).decode()


def signed_query(keys: Keys, params: Mapping[str, str]) -> str:
    """``params`` as a query, with the signature over exactly these characters."""
    query = urlencode(params)
    return f"{query}&signature={signature(keys, query)}"


def signature(keys: Keys, payload: str) -> str:
    """HMAC-SHA256 in hex."""
    return hmac.new(keys.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def _window(access: SignedAccess) -> dict[str, str]:
    return {"timestamp": str(access.now_ms()), "recvWindow": str(WINDOW_MS)}


def _named(order_id: str) -> dict[str, str]:
    symbol, own_id = parted(order_id)
    return {"symbol": symbol, "orderId": own_id}


def _reader_of(order_id: str) -> Callable[[object], Order]:
    def read(data: object) -> Order:
        found = read_order(data)
        if found.id != order_id:
            raise UnreadableError(f"asked about {order_id}, answered about {found.id}")
        return found

    return read


def _each(data: object, read: Callable[[object], T]) -> tuple[T, ...]:
    return read_list({"list": data}, "list", read)


def _balance(data: object) -> tuple[str, Decimal]:
    fields = read_object(data, "a balance")
    return str(fields.get("asset")), read_decimal(fields, "free") + read_decimal(fields, "locked")


def server_time(data: object) -> float:
    """The time in an answer of ``/api/v3/time``."""
    return float(whole(read_object(data, "an answer").get("serverTime"), "serverTime"))


def binance_adapter(config: VenueConfig, http: HttpClient, limiter: Limiter, tokens: TokenManagerConfig) -> Adapter:
    """Binance spot and the account's stream. ``client_id`` is the API key; requests expire, so none is late."""
    access = clock(http, limiter, "/api/v3/time", server_time)
    keys = Keys(config.client_id, config.client_secret)
    pairs = tuple(map(Pair.read, config.pairs or PAIRS))
    rules = VenueRules("unique_while_pending", min(config.late_seconds, WINDOW_MS / 1000 + 1), config.query_lag_seconds)

    def proof() -> dict[str, Any]:
        params = {"apiKey": keys.key, **_window(access)}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return {**params, "signature": signature(keys, payload)}

    stream = account_stream(proof, distrust=lambda: access.reject(""))
    venue = BinanceVenue(http, access, keys, pairs, rules)
    return Adapter(access, venue, BinanceReading(), stream, "/ws-api/v3", (("account",),))

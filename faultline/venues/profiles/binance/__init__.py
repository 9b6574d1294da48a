"""Binance spot: REST, market streams, and the account over the WebSocket API.

The trap that this profile is for: a client order id is unique among *open* orders only, so a market order that is
sent again under its id after a lost response is filled twice.
"""

from __future__ import annotations

from typing import Final

from faultline.venues.base import Connection, Response
from faultline.venues.broker import Entry
from faultline.venues.profile import Profile
from faultline.venues.profiles.binance.dialect import BINANCE
from faultline.venues.profiles.binance.params import Problem
from faultline.venues.profiles.binance.settings import (
    BAN_MAX_S,
    WEIGHTS,
    BinanceSettings,
    order_count,
    used_weight,
)
from faultline.venues.profiles.binance.streams import ACCOUNT, WS_API, Streams, check_signature, read_call
from faultline.venues.profiles.binance.venue import BinanceLike, Route
from faultline.venues.profiles.binance.wire import symbol_json
from faultline.venues.profiles.channels import POLICY_VIOLATION
from faultline.venues.profiles.market import Book, Instrument, Update
from faultline.venues.profiles.spot import DAY_S
from faultline.venues.profiles.venue import Surroundings, spot_profile
from faultline.venues.ratelimit import Headers, RateLimiter
from faultline.venues.wire import Json


class BinanceVenue(BinanceLike):
    """Implements :class:`faultline.venues.profile.SimulatedVenue`."""

    def __init__(self, settings: BinanceSettings, around: Surroundings) -> None:
        limiter = RateLimiter(
            [settings.weight_bucket()],
            ban_after=settings.ban_after,
            ban_s=settings.ban_s,
            ban_max_s=BAN_MAX_S,
            headers=used_weight,
        )
        super().__init__(settings, around, BINANCE, limiter, life_s=DAY_S)
        self._settings = settings
        self._orders = RateLimiter(settings.order_buckets(), headers=order_count)
        self._streams = Streams(
            around.context, self._channels, self._market, self._journal, self._account, self._teller
        )

    def _own_routes(self) -> dict[str, Route]:
        return {}

    def _charge_order(self, endpoint: str) -> tuple[Response | None, Headers]:
        status, headers = self._orders.charge(self._context.now_s(), endpoint)
        return (self._no("too_many_orders", str(self._settings.order_limit), headers) if status else None), headers

    def _refuse(self, status: int, headers: Headers) -> Response:
        if status == 429:
            return self._no("too_many", str(self._settings.weight_limit), headers)
        return super()._refuse(status, headers)

    def _exchange_info(self) -> Json:
        weight, minute, day = self._settings.buckets()
        limits = [
            ("REQUEST_WEIGHT", "MINUTE", 1, weight.limit),
            ("ORDERS", "SECOND", 10, minute.limit),
            ("ORDERS", "DAY", 1, day.limit),
        ]
        keys = ("rateLimitType", "interval", "intervalNum", "limit")
        return {
            "timezone": "UTC",
            "serverTime": self._now_ms(),
            "rateLimits": [dict(zip(keys, limit, strict=True)) for limit in limits],
            "exchangeFilters": [],
            "symbols": [symbol_json(instrument) for instrument in self._market.instruments.values()],
        }

    # Streams

    def connected(self, connection: Connection) -> None:
        """A stream connection was opened."""
        if self._opened(connection) and not self._streams.opened(connection):
            self._channels.closed(connection)
            connection.close(POLICY_VIOLATION, "no such stream")
        if named := self._channels.of(connection):
            self._subscribed(connection, *named)

    def disconnected(self, connection: Connection, code: int) -> None:
        """A stream connection is gone."""
        super().disconnected(connection, code)
        self._streams.closed(connection)

    def received(self, connection: Connection, text: str) -> None:
        """A message arrived from the client on a stream connection."""
        if connection not in self._channels:
            return
        self._channels.touch(connection)
        if connection.request.path == WS_API:
            self._call(connection, text)
        elif added := self._streams.command(connection, text):
            self._subscribed(connection, *added)

    def _call(self, connection: Connection, text: str) -> None:
        call = read_call(text)
        if call is None:
            connection.close(POLICY_VIOLATION, "not a request")
            return
        problem = None
        params = {name: str(value) for name, value in call.params.items()}
        try:
            if call.method == "userDataStream.subscribe.signature":
                check_signature(params)
                self.check_time(params)
        except Problem as found:
            error = self._dialect.errors[found.reason]
            problem = (error.status, error.code, error.message.replace("{what}", found.what))
        if self._streams.call(connection, call, problem):
            self._subscribed(connection, ACCOUNT)

    def _tell(self, entry: Entry, entity: str) -> None:
        self._streams.entered(entry, entity)

    def _watched(self, symbol: str) -> bool:
        return self._streams.watched(symbol)

    def _moved(self, instrument: Instrument, book: Book, update: Update) -> None:
        self._streams.moved(instrument, book, update)

    def _notice(self, connection: Connection) -> None:
        self._streams.shutdown(connection)


PROFILE: Final[Profile] = spot_profile(BinanceSettings, BinanceVenue, WEIGHTS)

"""MEXC spot: Binance's paths and signatures, other codes, and an answer that tells less.

* What a repeated key gets is not documented, so nothing is built on it; the signature's window bounds how late a
  request may arrive, as at Binance.
* The answer to a new order is its id: the order counts as acknowledged and not as seen.
* Its streams push protocol buffers. They are not read; the account is asked instead.
* Trades are asked for by time: nothing is said of asking from a number on.
"""

from __future__ import annotations

from typing import ClassVar, Final

from targets.resilience.adapter import Adapter
from targets.resilience.config import VenueConfig
from targets.resilience.http_client import HttpClient
from targets.resilience.rate_limiter import Limiter
from targets.resilience.signed_access import Keys
from targets.resilience.token_manager import TokenManagerConfig
from targets.resilience.venue import Fill, FillPage, Order, OrderStatus, Placement, UnreadableError, VenueRules
from targets.resilience.venues.binance import WINDOW_MS, BinanceVenue, server_time
from targets.resilience.venues.binance_stream import BinanceReading, read_trade
from targets.resilience.venues.spot import PAIRS, Pair, Walk, clock, joined, whole
from targets.resilience.wire import read_list, read_object, read_text

TRADES_MAX: Final = 1000


class MexcVenue(BinanceVenue):
    """Orders, trades and balances over REST."""

    key_header: ClassVar[str] = "X-MEXC-APIKEY"
    unknown_codes: ClassVar[frozenset[int]] = frozenset()
    time_codes: ClassVar[frozenset[int]] = frozenset({700003})
    not_found_codes: ClassVar[frozenset[int]] = frozenset({-2011, -2013, 22222})
    duplicate: ClassVar[tuple[int, str]] = (33333, "newClientOrderId")

    def _placed(self, data: object, placement: Placement) -> Order:
        fields = read_object(data, "an order")
        return Order(
            joined(placement.contract_id, read_text(fields, "orderId")),
            OrderStatus.OPEN,
            client_key=placement.client_key,
            contract_id=placement.contract_id,
            side=placement.side,
            size=placement.size,
            price=placement.limit_price,
            confirmed=False,
        )

    async def fills(self, since: str) -> FillPage:
        """A page of one pair's trades by time; ``place`` of the walk is the pair and the time to go on from."""
        walk = Walk.of(since)
        number, _, from_ms = walk.place.partition("@")
        pair = self._pairs[int(number or 0)]
        # Zero is no time to the venue: it would give the newest.
        begin_ms = max(1, int(from_ms or walk.from_ms))
        params = {"symbol": pair.symbol, "startTime": str(begin_ms), "limit": str(TRADES_MAX)}

        def read(data: object) -> tuple[tuple[int, Fill], ...]:
            return read_list({"trades": data}, "trades", _timed)

        found = await self._call(read, "GET", "myTrades", params)
        last_ms = max((at_ms for at_ms, _ in found), default=begin_ms)
        if len(found) >= TRADES_MAX:
            if last_ms <= begin_ms:
                raise UnreadableError(
                    f"a page is full of {pair.symbol} trades of one millisecond: what follows is hidden"
                )
            return walk.page(found, f"{number or 0}@{last_ms}")
        following = int(number or 0) + 1
        return walk.page(found, f"{following}@" if following < len(self._pairs) else "")


def _timed(data: object) -> tuple[int, Fill]:
    return whole(read_object(data, "a trade").get("time"), "time"), read_trade(data)


def mexc_adapter(config: VenueConfig, http: HttpClient, limiter: Limiter, tokens: TokenManagerConfig) -> Adapter:
    """MEXC spot, without a stream. ``client_id`` is the API key."""
    access = clock(http, limiter, "/api/v3/time", server_time)
    pairs = tuple(map(Pair.read, config.pairs or PAIRS))
    rules = VenueRules("none", min(config.late_seconds, WINDOW_MS / 1000 + 1), config.query_lag_seconds)
    venue = MexcVenue(http, access, Keys(config.client_id, config.client_secret), pairs, rules)
    return Adapter(access, venue, BinanceReading())

"""MEXC spot v3: Binance's paths and signatures, with other codes, other ids and an answer that tells less.

Its streams push protocol buffers and are not modelled: every stream connection is closed at once, rather than left
open and silent. What a client needs before one, the listen key with its life of an hour, is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from faultline.faults.actions import ExpireTokens
from faultline.history.contract import IdempotencyScope, RateBucket
from faultline.units import Seconds
from faultline.venues.base import Connection, Request
from faultline.venues.broker import Entry
from faultline.venues.profile import Profile
from faultline.venues.profiles.binance.dialect import Dialect, Error
from faultline.venues.profiles.binance.params import Problem, needed
from faultline.venues.profiles.binance.settings import BAN_MAX_S
from faultline.venues.profiles.binance.venue import BinanceLike, Params, Route
from faultline.venues.profiles.binance.wire import mexc_symbol_json
from faultline.venues.profiles.channels import POLICY_VIOLATION
from faultline.venues.profiles.market import Book, Instrument, Update
from faultline.venues.profiles.spot import SpotSettings
from faultline.venues.profiles.venue import Surroundings, spot_profile
from faultline.venues.ratelimit import RateLimiter
from faultline.venues.wire import Json

ENDPOINTS: Final = (
    "GET /api/v3/ping",
    "GET /api/v3/time",
    "GET /api/v3/exchangeInfo",
    "GET /api/v3/depth",
    "POST /api/v3/order",
    "DELETE /api/v3/order",
    "DELETE /api/v3/openOrders",
    "GET /api/v3/order",
    "GET /api/v3/openOrders",
    "GET /api/v3/allOrders",
    "GET /api/v3/account",
    "GET /api/v3/myTrades",
    "POST /api/v3/userDataStream",
    "PUT /api/v3/userDataStream",
    "GET /api/v3/userDataStream",
    "DELETE /api/v3/userDataStream",
)
LISTEN_KEY_LIFE_S: Final = 3600.0
LISTEN_KEYS_MAX: Final = 60


def _written_id(kind: str, number: int) -> str:
    return f"C02__{number:018d}" if kind == "order" else str(number + 5_000)


_PARAMETER: Final = Error(400, 33333, "param error: {what}")
DIALECT: Final = Dialect(
    name="mexc",
    key_header="x-mexc-apikey",
    errors={
        "no_key": Error(400, 400, "api key required"),
        "bad_key": Error(400, 10072, "Api key info invalid"),
        "signature": Error(400, 700002, "Signature for this request is not valid."),
        "time": Error(400, 700003, "Timestamp for this request is outside of the recvWindow."),
        "window": Error(400, 700003, "recvWindow must be less than 60000."),
        "parameter": Error(400, 700004, "Mandatory parameter '{what}' was not sent, was empty/null, or malformed."),
        "symbol": Error(400, 30014, "invalid symbol"),
        "side": _PARAMETER,
        "type": _PARAMETER,
        "time_in_force": _PARAMETER,
        "price": _PARAMETER,
        "quantity": _PARAMETER,
        "notional": Error(400, 30002, "The minimum transaction volume cannot be less than the minimum"),
        "duplicate": Error(400, 33333, "param error: newClientOrderId is in use"),
        "insufficient_funds": Error(400, 30004, "Insufficient position"),
        "rejected": _PARAMETER,
        "cancel": Error(400, -2011, "Unknown order sent."),
        "unknown_order": Error(400, 22222, "record does not exist"),
        "listen_key": Error(400, 22222, "record does not exist"),
        "listen_keys": Error(400, 33333, "param error: too many listen keys"),
        "too_many": Error(429, 429, "Too Many Requests"),
        "banned": Error(418, 429, "Too Many Requests; banned until {what}"),
        "closed": Error(503, 503, "Service not available, please try again"),
        "not_here": Error(404, 404, "{what} is not served"),
    },
    write_id=_written_id,
    numeric_ids=False,
    status_in_ack=False,
    partly_canceled="PARTIALLY_CANCELED",
)


@dataclass(frozen=True, kw_only=True)
class MexcSettings(SpotSettings):
    """How the MEXC profile behaves; docs/venues.md has the meaning of each key. Raises ValueError.

    ``idempotency`` is a setting because the venue does not say what a repeated client order id gets; the default
    trusts it with nothing.
    """

    name: ClassVar[str] = "mexc"

    idempotency: Literal["none", "unique_while_pending"] = "none"
    request_limit: int = 500
    ban_after: int | None = 10
    ban_s: Seconds = 120.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.request_limit < 1 or (self.ban_after is not None and self.ban_after < 1):
            raise ValueError("request_limit and ban_after must be 1 or more")

    def scope(self) -> IdempotencyScope:
        """What a repeated client order id gets."""
        return self.idempotency

    def buckets(self) -> tuple[RateBucket, ...]:
        """Each endpoint has a limit of its own, per ten seconds."""
        return tuple(
            RateBucket(endpoint, self.request_limit, 10.0, ((f"{endpoint}*", 1),), "fixed") for endpoint in ENDPOINTS
        )


class MexcVenue(BinanceLike):
    """Implements :class:`faultline.venues.profile.SimulatedVenue`."""

    def __init__(self, settings: MexcSettings, around: Surroundings) -> None:
        limiter = RateLimiter(
            settings.buckets(),
            ban_after=settings.ban_after,
            ban_s=settings.ban_s,
            ban_max_s=BAN_MAX_S,
            headers=lambda usages: (),
        )
        super().__init__(settings, around, DIALECT, limiter, life_s=None)
        self._until_s: dict[str, float] = {}
        self._issued = 0

    def _own_routes(self) -> dict[str, Route]:
        return {
            "POST userDataStream": self._create_key,
            "PUT userDataStream": self._extend_key,
            "GET userDataStream": lambda request, params: {"listenKey": self._keys()},
            "DELETE userDataStream": self._close_key,
        }

    def _exchange_info(self) -> Json:
        symbols = [mexc_symbol_json(instrument, self._terms.fee) for instrument in self._market.instruments.values()]
        return {
            "timezone": "CST",
            "serverTime": self._now_ms(),
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": symbols,
        }

    def effects(self) -> int:
        """How many changes the venue has made: of orders, and of listen keys."""
        return super().effects() + self._issued

    # Listen keys

    def _keys(self) -> list[str]:
        now = self._context.now_s()
        self._until_s = {key: until_s for key, until_s in self._until_s.items() if now < until_s}
        return list(self._until_s)

    def _create_key(self, request: Request, params: Params) -> Json:
        if len(self._keys()) >= LISTEN_KEYS_MAX:
            raise Problem("listen_keys")
        self._issued += 1
        key = f"listen-{self._context.new_id('listen')}"
        self._aliases.name("listen_key", key)
        self._until_s[key] = self._context.now_s() + LISTEN_KEY_LIFE_S
        return {"listenKey": key}

    def _known_key(self, params: Params) -> str:
        key = needed(params, "listenKey")
        if key not in self._keys():
            raise Problem("listen_key")
        self._issued += 1
        return key

    def _extend_key(self, request: Request, params: Params) -> Json:
        key = self._known_key(params)
        self._until_s[key] = self._context.now_s() + LISTEN_KEY_LIFE_S
        return {"listenKey": key}

    def _close_key(self, request: Request, params: Params) -> Json:
        key = self._known_key(params)
        del self._until_s[key]
        return {"listenKey": key}

    def expire_tokens(self, action: ExpireTokens) -> None:
        """Every listen key stops being valid."""
        self._until_s.clear()

    # Streams: none

    def connected(self, connection: Connection) -> None:
        """A stream connection was opened."""
        connection.close(POLICY_VIOLATION, "this profile has no streams: they push protocol buffers")

    def received(self, connection: Connection, text: str) -> None:
        """Nothing is listened to."""

    def _tell(self, entry: Entry, entity: str) -> None:
        """Nobody listens."""

    def _watched(self, symbol: str) -> bool:
        return False

    def _moved(self, instrument: Instrument, book: Book, update: Update) -> None:
        """Nobody listens."""

    def _notice(self, connection: Connection) -> None:
        """Nobody listens."""


PROFILE: Final[Profile] = spot_profile(MexcSettings, MexcVenue, ENDPOINTS, streams=False, tokens=True)

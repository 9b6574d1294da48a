"""The generic venue: a small trading API that can be set to behave like the real ones (docs/generic-venue.md).

It routes, checks tokens and limits, and leaves the rest to others: trading, the stream and the JSON each have their
own file.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from faultline.faults.actions import ExpireTokens
from faultline.faults.injector import Injector
from faultline.faults.points import Plane
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution, Identity
from faultline.history.event import Connected, TokenEnded, TokenIssued
from faultline.venues.auth import Auth, Grant, bearer
from faultline.venues.base import Connection, Context, Request, Response
from faultline.venues.broker import Entry, Order, Refused, Side, plain
from faultline.venues.profile import Profile
from faultline.venues.ratelimit import RateLimiter
from faultline.venues.settings import GenericSettings
from faultline.venues.topics import Topics
from faultline.venues.trading import DECISIONS, Trading
from faultline.venues.wire import (
    ENDPOINTS,
    PUBLIC,
    TEMPLATES,
    Json,
    Located,
    Unreadable,
    answer,
    error,
    fill_json,
    identity_of,
    locate,
    order_json,
    placed_identity,
    read_login,
    read_placement,
    read_refresh,
    read_replacement,
)

STREAM_PATH: Final = "/stream"
UNAUTHORIZED: Final = 4401
NO_SUCH_STREAM: Final = 4404
FILLS_MAX: Final = 500

_STATUS: Final = {"duplicate_client_order_id": 409, "order_not_found": 404, "rejected": 422}


class GenericVenue:
    """Implements :class:`faultline.venues.base.Venue`; one account, whoever logs in."""

    stream = "user"

    def __init__(
        self,
        settings: GenericSettings,
        context: Context,
        history: History,
        attribution: Attribution,
        injector: Injector,
        aliases: Aliases,
    ) -> None:
        self._settings = settings
        self._context = context
        self._history = history
        self._auth = Auth(
            settings.token_ttl_s, context.new_id, aliases, on_issued=self._token_issued, on_ended=self._token_ended
        )
        self._limiter = RateLimiter(
            [limit.bucket() for limit in settings.rate_limit], ban_after=settings.ban_after, ban_s=settings.ban_s
        )
        self._topics = Topics(settings, context, snapshot=self._open_orders, on_subscribed=self._subscribed)
        self._trading = Trading(
            settings, settings.idempotency, context, history, attribution, injector, publish=self._publish
        )
        self._broker = self._trading.broker
        self._routes: dict[str, Callable[[Request, Located], Response]] = {
            "POST /auth/token": self._login,
            "POST /auth/refresh": self._refresh,
            "GET /time": self._time,
            "GET /health": self._health,
            "POST /orders": self._place,
            "GET /orders": self._list,
            "GET /orders/{id}": self._get,
            "DELETE /orders/{id}": self._cancel,
            "PUT /orders/{id}": self._replace,
            "GET /fills": self._fills,
            "GET /positions": self._positions,
        }

    # What the interceptor asks

    def identify(self, request: Request) -> Identity:
        """What a request shows of itself. Never raises."""
        return identity_of(request)

    def endpoint(self, request: Request) -> str:
        """The request's endpoint in fault points."""
        return locate(request).endpoint

    def token_of(self, request: Request) -> str:
        """The alias of the token that a request carries, or the empty string."""
        return self._auth.alias(_token(request))

    def effects(self) -> int:
        """How many changes the venue has made: of orders (refusals are none), and tokens issued."""
        return self._trading.effects + self._auth.issued

    def idle(self) -> bool:
        """Nothing is left to happen by itself."""
        return self._trading.idle

    def trade_elsewhere(self, symbol: str, side: Side, quantity: Decimal) -> None:
        """Somebody else trades on the account."""
        self._trading.elsewhere(symbol, side, quantity)

    def expire_tokens(self, action: ExpireTokens) -> None:
        """Every access token issued so far stops being valid."""
        self._auth.expire_all(self._context.now_s(), refresh_too=action.refresh_too)

    def handle(self, request: Request) -> Response:
        """Answer a request. Its effect is in the ledger when this returns. Never raises, whatever arrived."""
        located = locate(request)
        status, headers = self._limiter.charge(self._context.now_s(), located.endpoint)
        if status:
            code = "banned" if status == 418 else "rate_limited"
            return error(status, code, "too many requests; Retry-After says when to come back", headers)
        with self._trading.caused_by(request.number):
            response = self._answer(request, located)
        return Response(response.status, response.body, (*response.headers, *headers)) if headers else response

    def _answer(self, request: Request, located: Located) -> Response:
        route = self._routes.get(located.route)
        if located.route not in PUBLIC and not self._auth.valid(self._context.now_s(), bearer(request)):
            return error(401, "unauthorized", "log in first", (("WWW-Authenticate", "Bearer"),))
        if route is None:
            known = located.template in TEMPLATES
            return error(405 if known else 404, "not_found", f"there is no {located.endpoint}")
        try:
            return route(request, located)
        except Refused as refused:
            return error(_STATUS.get(refused.code, 409), refused.code, str(refused))
        except Unreadable as problem:
            return error(400, "bad_request", str(problem))

    # Tokens and the like

    def _login(self, request: Request, located: Located) -> Response:
        login = read_login(request.body)
        if not login.client_id or not login.client_secret:
            return error(401, "unauthorized", "client_id and client_secret are needed")
        return _granted(self._auth.issue(self._context.now_s()))

    def _refresh(self, request: Request, located: Located) -> Response:
        grant = self._auth.refresh(self._context.now_s(), read_refresh(request.body).refresh_token)
        return error(401, "unauthorized", "log in again") if grant is None else _granted(grant)

    def _time(self, request: Request, located: Located) -> Response:
        return answer(200, {"time": self._context.wall_s()})

    def _health(self, request: Request, located: Located) -> Response:
        return answer(200, {"status": "ok"})

    # Orders

    def _place(self, request: Request, located: Located) -> Response:
        placement = read_placement(request.body)
        first = self._broker.repeated(placement.client_order_id)
        if first is not None:
            return self._repeated(first)
        order = self._trading.place(placement, placed_identity(placement))
        if order.status == "rejected":
            return error(422, "rejected", order.reason or "", order=order_json(order))
        return answer(201, order_json(order))

    def _repeated(self, first: Order) -> Response:
        if self._settings.idempotency != "first_result":
            message = f"client_order_id {first.client_order_id} is in use"
            return error(409, "duplicate_client_order_id", message)
        if first.status == "rejected":
            return error(422, "rejected", first.reason or "", order=order_json(first))
        return answer(200, order_json(first))

    def _cancel(self, request: Request, located: Located) -> Response:
        return answer(200, order_json(self._trading.cancel(located.order)))

    def _replace(self, request: Request, located: Located) -> Response:
        wanted = read_replacement(request.body)
        return answer(200, order_json(self._trading.replace(located.order, wanted.quantity, wanted.price)))

    # Reads

    def _get(self, request: Request, located: Located) -> Response:
        def read(as_of: float | None) -> Response:
            order = self._broker.order(located.order, as_of)
            if order is None:
                return error(404, "order_not_found", f"there is no order {located.order}")
            return answer(200, order_json(order))

        return self._trading.read(identity_of(request), read)

    def _list(self, request: Request, located: Located) -> Response:
        keys = request.query.get("client_order_id")
        status = request.query.get("status")
        if status not in (None, "open"):
            raise Unreadable("status may only be open")

        def read(as_of: float | None) -> Response:
            if keys is None:
                orders = self._broker.open_orders(as_of) if status else self._broker.orders(as_of=as_of)
            else:
                orders = self._broker.orders(keys.split(","), as_of=as_of)
                orders = [order for order in orders if order.open] if status else orders
            return answer(200, {"orders": [order_json(order) for order in orders]})

        return self._trading.read(identity_of(request), read)

    def _fills(self, request: Request, located: Located) -> Response:
        since, limit = _count(request, "since", 0), min(_count(request, "limit", FILLS_MAX), FILLS_MAX)

        def read(as_of: float | None) -> Response:
            fills = self._broker.fills(since, limit, as_of=as_of)
            seen = [fill_json(fill) for fill in fills]
            return answer(200, {"fills": seen, "last_sequence": self._broker.last_fill(as_of)})

        return self._trading.read(Identity(), read)

    def _positions(self, request: Request, located: Located) -> Response:
        def read(as_of: float | None) -> Response:
            positions = self._broker.positions(as_of)
            return answer(200, {"positions": {symbol: plain(held) for symbol, held in positions.items()}})

        return self._trading.read(Identity(), read)

    # The stream

    def connected(self, connection: Connection) -> None:
        """A stream connection was opened."""
        request = connection.request
        if request.path != STREAM_PATH:
            connection.close(NO_SUCH_STREAM, "no such stream")
        elif not self._auth.valid(self._context.now_s(), _token(request)):
            connection.close(UNAUTHORIZED, "unauthorized")
        else:
            self._topics.connected(connection)

    def received(self, connection: Connection, text: str) -> None:
        """A message arrived from the client on a stream connection."""
        self._topics.received(connection, text)

    def disconnected(self, connection: Connection, code: int) -> None:
        """A stream connection is gone."""
        self._topics.disconnected(connection)

    # What goes into the history

    def _token_issued(self, alias: str, until_s: float) -> None:
        self._history.append(TokenIssued(t=self._context.now_s(), token=alias, until_t=until_s))

    def _token_ended(self, alias: str) -> None:
        self._history.append(TokenEnded(t=self._context.now_s(), token=alias))

    def _publish(self, entry: Entry, entity: str) -> None:
        order, fill = entry.order, entry.fill
        if fill is not None:
            seen = fill_json(fill, sequence=self._settings.sequences)
            self._topics.publish("fills", entity, fill.fill_id, seen)
        self._topics.publish("orders", entity, order.order_id, order_json(order))

    def _open_orders(self) -> list[Json]:
        return [order_json(order) for order in self._broker.open_orders()]

    def _subscribed(self, connection: Connection, topics: tuple[str, ...]) -> None:
        event = Connected(
            t=self._context.now_s(),
            connection=connection.ordinal,
            stream=self.stream,
            topics=topics,
            token=self.token_of(connection.request),
        )
        self._history.append(event)


def _count(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise Unreadable(f"{name} must be a whole number, zero or more")
    return int(text)


def _token(request: Request) -> str:
    return bearer(request) or request.query.get("token", "")


def _granted(grant: Grant) -> Response:
    body = {
        "access_token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "expires_in": grant.expires_in_s,
    }
    return answer(200, body)


PROFILE: Final = Profile(
    name="generic",
    settings=GenericSettings,
    endpoints={
        Plane.MESSAGE: (*ENDPOINTS, "stream user"),
        Plane.VENUE: DECISIONS,
        Plane.STREAM: ("rest", "stream"),
    },
    contract=GenericSettings.contract,
    build=GenericVenue,
)

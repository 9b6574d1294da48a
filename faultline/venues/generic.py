"""The generic venue: a small trading API that can be set to behave like the real ones (docs/generic-venue.md).

It routes, checks tokens and limits, asks the injector at its own decisions (accept, match, read), and leaves the
rest to others: the engine, the waiting, the ledger's record, the stream and the JSON each have their own file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from faultline.faults.actions import ExpireTokens, Reject, Stale
from faultline.faults.injector import Injector
from faultline.faults.points import Plane
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution, Identity
from faultline.history.event import Connected, TokenEnded, TokenIssued
from faultline.venues.auth import Auth, Grant
from faultline.venues.base import Connection, Context, Request, Response
from faultline.venues.broker import Broker, Order, Placement, Refused, plain
from faultline.venues.matching import Matching
from faultline.venues.profile import Profile
from faultline.venues.ratelimit import RateLimiter
from faultline.venues.record import Record
from faultline.venues.settings import GenericSettings
from faultline.venues.topics import Topics
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
        self._attribution = attribution
        self._injector = injector
        self._auth = Auth(
            settings.token_ttl_s, context.new_id, aliases, on_issued=self._token_issued, on_ended=self._token_ended
        )
        self._limiter = RateLimiter(
            [limit.bucket() for limit in settings.rate_limit], ban_after=settings.ban_after, ban_s=settings.ban_s
        )
        self._topics = Topics(settings, context, snapshot=self._open_orders, on_subscribed=self._subscribed)
        self._record = Record(history, attribution, injector, self._topics, sequences=settings.sequences)
        self._broker = Broker(settings.idempotency, Decimal(str(settings.fee)), self._record.enter)
        self._matching = Matching(settings, context, self._broker, injector)
        self._nth_order: defaultdict[str, int] = defaultdict(int)
        self._nth_read: defaultdict[str, int] = defaultdict(int)
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
        return self._record.effects + self._auth.issued

    def idle(self) -> bool:
        """Nothing is left to happen by itself."""
        return self._matching.pending == 0

    def expire_tokens(self, action: ExpireTokens) -> None:
        """Every access token issued so far stops being valid."""
        self._auth.expire_all(self._context.now_s(), refresh_too=action.refresh_too)

    def handle(self, request: Request) -> Response:
        """Answer a request. Its effect is in the ledger when this returns. Never raises, whatever arrived."""
        self._cause = request.number
        try:
            return self._charged(request, locate(request))
        finally:
            self._cause = 0

    def _charged(self, request: Request, located: Located) -> Response:
        status, headers = self._limiter.charge(self._context.now_s(), located.endpoint)
        if status:
            code = "banned" if status == 418 else "rate_limited"
            return error(status, code, "too many requests; Retry-After says when to come back", headers)
        self._record.cause = request.number
        response = self._answer(request, located)
        self._record.cause = 0
        return Response(response.status, response.body, (*response.headers, *headers)) if headers else response

    def _answer(self, request: Request, located: Located) -> Response:
        route = self._routes.get(located.route)
        if located.route not in PUBLIC and not self._auth.valid(self._context.now_s(), _bearer(request)):
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
        identity = placed_identity(placement)
        intent, _ = self._attribution.intent_of(identity)
        entity = intent or "-"
        self._nth_order[entity] += 1
        nth = self._nth_order[entity]
        reason = self._refusal(entity, nth)
        now, order_id = self._context.now_s(), self._context.new_id("order")
        if reason is not None:
            return self._reject(now, order_id, placement, identity, reason)
        self._record.expect_order(order_id, identity)
        order = self._broker.place(now, order_id, placement)
        self._matching.accepted(order, entity, nth)
        return answer(201, order_json(self._broker.order(order_id) or order))

    def _repeated(self, first: Order) -> Response:
        if self._settings.idempotency != "first_result":
            message = f"client_order_id {first.client_order_id} is in use"
            return error(409, "duplicate_client_order_id", message)
        if first.status == "rejected":
            return error(422, "rejected", first.reason or "", order=order_json(first))
        return answer(200, order_json(first))

    def _refusal(self, entity: str, nth: int) -> str | None:
        reason = None
        for receipt, action in self._injector.ask(Plane.VENUE, "accept", entity, nth, "decide"):
            # What is struck is the acceptance, and a refused order has none.
            self._injector.resolve(receipt, "not_applied")
            if isinstance(action, Reject) and reason is None:
                reason = action.reason
        return reason

    def _reject(self, now: float, order_id: str, placement: Placement, identity: Identity, reason: str) -> Response:
        self._record.expect_refusal(order_id, identity)
        order = self._broker.reject(now, order_id, placement, reason)
        return error(422, "rejected", reason, order=order_json(order))

    def _cancel(self, request: Request, located: Located) -> Response:
        return answer(200, order_json(self._matching.cancel(located.order)))

    def _replace(self, request: Request, located: Located) -> Response:
        wanted = read_replacement(request.body)
        now = self._context.now_s()
        return answer(200, order_json(self._broker.replace(now, located.order, wanted.quantity, wanted.price)))

    # Reads

    def _get(self, request: Request, located: Located) -> Response:
        def read(as_of: float | None) -> Response:
            order = self._broker.order(located.order, as_of)
            if order is None:
                return error(404, "order_not_found", f"there is no order {located.order}")
            return answer(200, order_json(order))

        return self._read(identity_of(request), read)

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

        return self._read(identity_of(request), read)

    def _fills(self, request: Request, located: Located) -> Response:
        since, limit = _count(request, "since", 0), min(_count(request, "limit", FILLS_MAX), FILLS_MAX)

        def read(as_of: float | None) -> Response:
            fills = self._broker.fills(since, limit, as_of=as_of)
            seen = [fill_json(fill) for fill in fills]
            return answer(200, {"fills": seen, "last_sequence": self._broker.last_fill(as_of)})

        return self._read(Identity(), read)

    def _positions(self, request: Request, located: Located) -> Response:
        def read(as_of: float | None) -> Response:
            positions = self._broker.positions(as_of)
            return answer(200, {"positions": {symbol: plain(held) for symbol, held in positions.items()}})

        return self._read(Identity(), read)

    def _read(self, identity: Identity, read: Callable[[float | None], Response]) -> Response:
        entity = self._attribution.intent_of(identity)[0] or "-"
        self._nth_read[entity] += 1
        lag_s = self._settings.read_lag_s
        now = self._context.now_s()
        response = read(now - lag_s if lag_s else None)
        for receipt, action in self._injector.ask(Plane.VENUE, "read", entity, self._nth_read[entity], "decide"):
            fresh = response
            if isinstance(action, Stale) and action.lag_s > lag_s:
                lag_s = action.lag_s
                response = read(now - lag_s)
            # A stale read that says what a fresh one would say has struck nothing.
            self._injector.resolve(receipt, "applied" if response.body != fresh.body else "not_applied")
        return response

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


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _token(request: Request) -> str:
    return _bearer(request) or request.query.get("token", "")


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
        Plane.VENUE: ("accept", "match", "read"),
        Plane.STREAM: ("rest", "stream"),
    },
    contract=GenericSettings.contract,
    build=GenericVenue,
)

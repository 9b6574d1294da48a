"""The payments API: charges and refunds over the shared trading part, behind idempotency keys.

A charge is an order for an amount of a currency that is filled at once; a refund is one the other way. So the ledger,
the oracles and the venue's own faults (``reject``: the card is declined; ``slow_fill``: the charge is pending for a
while) are those of every venue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from faultline.faults.actions import ExpireTokens
from faultline.faults.injector import Injector
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution, Identity
from faultline.venues.base import Connection, Context, Request, Response
from faultline.venues.broker import Entry, Order, Placement
from faultline.venues.profiles.journal import Journal
from faultline.venues.profiles.payments.idempotency import KEY_MAX, InUse, Keys, Misused
from faultline.venues.profiles.payments.settings import PaymentsSettings
from faultline.venues.profiles.payments.wire import (
    DECLINED,
    LIMIT_MAX,
    Declined,
    Invalid,
    Params,
    amount_of,
    answer,
    endpoint,
    error,
    identity_of,
    metadata_of,
    object_id,
    params_of,
    secret_of,
)
from faultline.venues.ratelimit import RateLimiter
from faultline.venues.settings import TradingSettings
from faultline.venues.signing import same
from faultline.venues.trading import Trading

KEY: Final = "sk_test_faultline"
API_VERSION: Final = "2026-01-01.faultline"
_NO_STREAM: Final = 1008
_STATUS: Final = {"filled": "succeeded", "rejected": "failed"}


class _Noted(NamedTuple):
    """What the caller said about an object, and the charge that a refund is of."""

    params: Params
    charge: str = ""


class PaymentsVenue:
    """Implements :class:`faultline.venues.profile.SimulatedVenue`; it has no stream."""

    stream = "none"

    def __init__(
        self,
        settings: PaymentsSettings,
        context: Context,
        history: History,
        attribution: Attribution,
        injector: Injector,
        aliases: Aliases,
    ) -> None:
        self._settings = settings
        self._context = context
        aliases.name("secret", KEY)
        self._keys = Keys(execution_s=settings.execution_s, life_s=settings.key_life_s)
        self._limiter = RateLimiter(
            [limit.bucket() for limit in settings.rate_limit], headers=lambda usages: (), retry_after=False
        )
        self._journal = Journal(context.wall_s() - context.now_s())
        self._prefix = "ch"
        self._trading = Trading(
            TradingSettings(read_lag_s=settings.read_lag_s, fee=0.0),
            "none",  # what a key means is decided before anything is executed
            context,
            history,
            attribution,
            injector,
            publish=self._enter,
            new_id=self._number,
            step=Decimal(1),
        )
        self._broker = self._trading.broker
        self._noted: dict[str, _Noted] = {}
        self._executions = 0
        self._routes: dict[str, Callable[[Request, Params], Response]] = {
            "POST /v1/charges": self._charge,
            "POST /v1/refunds": self._refund,
            "GET /v1/charges": self._list,
            "GET /v1/refunds": self._list,
            "GET /v1/charges/{id}": self._get,
            "GET /v1/refunds/{id}": self._get,
        }

    def _number(self, kind: str) -> str:
        count = int(self._context.new_id(kind).removeprefix(kind))
        return f"{self._prefix if kind == 'order' else 'txn'}_{count:014d}"

    def _enter(self, entry: Entry, entity: str) -> None:
        self._journal.enter(entry)

    # What the interceptor asks

    def identify(self, request: Request) -> Identity:
        """What a request shows of itself. Never raises."""
        return identity_of(request)

    def endpoint(self, request: Request) -> str:
        """The request's endpoint in fault points."""
        return endpoint(request)

    def token_of(self, request: Request) -> str:
        """Keys do not expire, so no request has a token."""
        return ""

    def effects(self) -> int:
        """How many changes there were."""
        return self._trading.effects

    def idle(self) -> bool:
        """Nothing is left to happen by itself."""
        return self._trading.idle

    def expire_tokens(self, action: ExpireTokens) -> None:
        """There are none."""

    def handle(self, request: Request) -> Response:
        """Answer a request. Never raises, whatever arrived."""
        with self._trading.caused_by(request.number):
            response = self._checked(request)
        version = request.headers.get("stripe-version", API_VERSION)
        headers = (("Request-Id", self._context.new_id("req_")), ("Stripe-Version", version))
        return replace(response, headers=(*response.headers, *headers))

    def _checked(self, request: Request) -> Response:
        if not same(secret_of(request), KEY):
            return error(401, "invalid_request_error", "Invalid API Key provided")
        status, _ = self._limiter.charge(self._context.now_s(), endpoint(request))
        if status:
            return error(429, "invalid_request_error", "Request rate limit exceeded", code="rate_limit")
        route = self._routes.get(endpoint(request))
        if route is None:
            return error(404, "invalid_request_error", f"Unrecognized request URL ({request.method}: {request.path})")
        try:
            params = params_of(request)
            return route(request, params) if request.method == "GET" else self._once(request, params, route)
        except Invalid as problem:
            return error(problem.status, "invalid_request_error", str(problem), param=problem.param, code=problem.code)

    def _once(self, request: Request, params: Params, route: Callable[[Request, Params], Response]) -> Response:
        """Execute, or replay what came of the first request with this key. Raises Invalid."""
        now = self._context.now_s()
        key = request.headers.get("idempotency-key", "")
        if len(key) > KEY_MAX:
            raise Invalid(f"Idempotency keys may have {KEY_MAX} characters")
        asked = f"{endpoint(request)} {sorted(params.items())}"
        try:
            replayed = self._keys.replay(now, key, asked) if key else None
        except Misused:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with."
            )
            return error(400, "idempotency_error", message)
        except InUse:
            message = "There is currently another in-progress request using this Idempotent Key."
            return error(409, "idempotency_error", message, code="idempotency_key_in_use")
        if replayed is not None:
            return replayed
        response = self._executed(request, params, route)
        if key:
            self._keys.keep(now, key, asked, response)
        return response

    def _executed(self, request: Request, params: Params, route: Callable[[Request, Params], Response]) -> Response:
        try:
            response = route(request, params)
        except Declined as declined:
            kind = "card_error" if declined.status == 402 else "invalid_request_error"
            return error(declined.status, kind, str(declined), **declined.more)
        self._executions += 1
        if self._context.chance("error", self._executions).hits(self._settings.errors):
            # It was done all the same: a 500 says nothing about that.
            return error(500, "api_error", "An error occurred with our servers")
        return response

    # Charges and refunds

    def _charge(self, request: Request, params: Params) -> Response:
        amount, currency = amount_of(params), params.get("currency", "").lower()
        if len(currency) != 3 or not currency.isalpha():
            raise Invalid("Missing or invalid required param: currency.", "currency", "parameter_missing")
        if not params.get("source"):
            raise Invalid("Must provide source or customer.", code="parameter_missing")
        refusal = "generic_decline" if params["source"] == DECLINED else None
        order = self._execute("ch", _Noted(params), identity_of(request), currency, "buy", amount, refusal)
        if order.status == "rejected":
            raise Declined(
                "Your card was declined.", code="card_declined", decline_code=order.reason, charge=order.order_id
            )
        return answer(200, self._json(order))

    def _refund(self, request: Request, params: Params) -> Response:
        if not params.get("charge"):
            raise Invalid("Missing required param: charge.", "charge", "parameter_missing")
        charge = self._broker.order(params["charge"])
        if charge is None or self._noted[charge.order_id].charge:
            raise Invalid(f"No such charge: '{params['charge'][:40]}'", "charge", "resource_missing", 404)
        left = int(charge.filled) - self._refunded(charge.order_id)
        amount = amount_of(params) if "amount" in params else left
        if charge.status != "filled":
            raise Declined("This charge has not succeeded.", status=400, param="charge")
        if not left:
            raise Declined("Charge has already been refunded.", status=400, code="charge_already_refunded")
        if amount > left:
            raise Declined("Refund amount is greater than unrefunded amount on charge.", status=400, param="amount")
        noted = _Noted(params, charge.order_id)
        refund = self._execute("re", noted, identity_of(request), charge.symbol, "sell", amount, None)
        return answer(200, self._json(refund))

    def _execute(
        self, prefix: str, noted: _Noted, identity: Identity, currency: str, side: Any, amount: int, refusal: str | None
    ) -> Order:
        self._prefix = prefix
        wanted = Placement(currency, side, "market", Decimal(amount), Decimal(1), None)
        order = self._trading.place(wanted, identity, refusal)
        self._noted[order.order_id] = noted
        return order

    def _refunded(self, charge: str, as_of: float | None = None) -> int:
        refunds = (order for order in self._broker.orders(as_of=as_of) if self._noted[order.order_id].charge == charge)
        return sum(int(refund.quantity) for refund in refunds if refund.status != "rejected")

    # Reads

    def _get(self, request: Request, params: Params) -> Response:
        def look(as_of: float | None) -> Response:
            order = self._broker.order(object_id(request), as_of)
            kind = request.path.split("/")[2]
            if order is None or bool(self._noted[order.order_id].charge) != (kind == "refunds"):
                message = f"No such {kind[:-1]}: '{object_id(request)[:40]}'"
                return error(404, "invalid_request_error", message, param="id", code="resource_missing")
            return answer(200, self._json(order, as_of))

        return self._trading.read(Identity(order=object_id(request)), look)

    def _list(self, request: Request, params: Params) -> Response:
        refunds = request.path == "/v1/refunds"
        limit = params.get("limit", "10")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= LIMIT_MAX):
            raise Invalid(f"limit is 1 to {LIMIT_MAX}", "limit", "parameter_invalid_integer")

        def look(as_of: float | None) -> Response:
            orders = [
                order for order in reversed(self._broker.orders(as_of=as_of))
                if bool(self._noted[order.order_id].charge) == refunds
                and params.get("charge") in (None, self._noted[order.order_id].charge)
            ]  # fmt: skip
            page, more = _page(orders, params, int(limit))
            data = [self._json(order, as_of) for order in page]
            return answer(200, {"object": "list", "url": request.path, "has_more": more, "data": data})

        return self._trading.read(Identity(), look)

    def _json(self, order: Order, as_of: float | None = None) -> Mapping[str, Any]:
        params, charge = self._noted[order.order_id]
        status = _STATUS.get(order.status, "pending")
        common = {
            "id": order.order_id,
            "object": "refund" if charge else "charge",
            "amount": int(order.quantity),
            "currency": order.symbol,
            "created": self._journal.times(order.order_id).created_ms // 1000,
            "metadata": metadata_of(params),
            "status": status,
        }
        if charge:
            return {**common, "charge": charge, "reason": params.get("reason")}
        refunded = self._refunded(order.order_id, as_of)
        return {
            **common,
            "amount_captured": int(order.quantity) if status == "succeeded" else 0,
            "amount_refunded": refunded,
            "captured": status == "succeeded",
            "description": params.get("description"),
            "failure_code": "card_declined" if status == "failed" else None,
            "livemode": False,
            "paid": status == "succeeded",
            "refunded": status == "succeeded" and refunded == order.quantity,
        }

    # There is no stream

    def connected(self, connection: Connection) -> None:
        """Nothing is streamed here."""
        connection.close(_NO_STREAM, "no such stream")

    def received(self, connection: Connection, text: str) -> None:
        """Nothing listens."""

    def disconnected(self, connection: Connection, code: int) -> None:
        """Nothing was kept of it."""


def _page(orders: list[Order], params: Params, limit: int) -> tuple[list[Order], bool]:
    """A page of ``orders`` (the newest first), and whether there is more beyond it. Raises Invalid."""
    ids = [order.order_id for order in orders]
    for name in ("starting_after", "ending_before"):
        if name in params and params[name] not in ids:
            raise Invalid(f"No such object: '{params[name][:40]}'", name, "resource_missing")
    if "ending_before" in params:
        end = ids.index(params["ending_before"])
        return orders[max(0, end - limit) : end], end > limit
    begin = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
    return orders[begin : begin + limit], len(orders) > begin + limit

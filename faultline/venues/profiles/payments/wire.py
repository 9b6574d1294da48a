"""The payments API on the wire: form-encoded parameters in, JSON objects and errors out. No behaviour."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from faultline.history.attribution import Identity
from faultline.venues.auth import bearer
from faultline.venues.base import Request, Response

ENDPOINTS: Final = (
    "POST /v1/charges",
    "GET /v1/charges",
    "GET /v1/charges/{id}",
    "POST /v1/refunds",
    "GET /v1/refunds",
    "GET /v1/refunds/{id}",
)
COLLECTIONS: Final = ("/v1/charges", "/v1/refunds")
AMOUNT_MAX: Final = 99_999_999
LIMIT_MAX: Final = 100
DECLINED: Final = "tok_chargeDeclined"
_JSON: Final = msgspec.json.Encoder()
_CHARGE: Final = frozenset({"amount", "currency", "source", "description", "metadata"})
_REFUND: Final = frozenset({"charge", "amount", "reason", "metadata"})
KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "POST /v1/charges": _CHARGE,
    "POST /v1/refunds": _REFUND,
    "GET /v1/charges": frozenset({"limit", "starting_after", "ending_before"}),
    "GET /v1/refunds": frozenset({"limit", "starting_after", "ending_before", "charge"}),
}


class Invalid(Exception):
    """A parameter is missing, unknown or wrong: nothing was executed."""

    def __init__(self, message: str, param: str = "", code: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


class Declined(Exception):
    """What was asked for was tried, and is refused. ``more`` goes into the error object."""

    def __init__(self, message: str, *, status: int = 402, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.more = more


def endpoint(request: Request) -> str:
    """The request's endpoint in fault points, the id replaced."""
    path = request.path
    for collection in COLLECTIONS:
        if path.startswith(f"{collection}/") and "/" not in path[len(collection) + 1 :]:
            path = f"{collection}/{{id}}"
    return f"{request.method} {path}"[:120]


def object_id(request: Request) -> str:
    """The id in the path."""
    return request.path.rpartition("/")[2]


def secret_of(request: Request) -> str:
    """The API key that a request shows: as a bearer token, or as the user of basic authentication."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return bearer(request)
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeError):
        return ""


Params = Mapping[str, str]


def params_of(request: Request) -> Params:
    """Parameters by name, nested ones as ``metadata[name]``. Raises Invalid for what is no form or not known."""
    if request.method == "GET":
        params: Params = request.query
    else:
        try:
            params = dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=bool(request.body)))
        except (ValueError, UnicodeError):
            raise Invalid("Invalid request body: expected application/x-www-form-urlencoded") from None
    known = KNOWN.get(endpoint(request), frozenset())
    for name in params:
        if name.partition("[")[0] not in known:
            raise Invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")
    return params


def amount_of(params: Params) -> int:
    """The amount, in the smallest unit of its currency. Raises Invalid."""
    text = params.get("amount")
    if text is None:
        raise Invalid("Missing required param: amount.", "amount", "parameter_missing")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Invalid(f"Invalid integer: {text[:20]}", "amount", "parameter_invalid_integer")
    amount = int(text)
    if amount < 1:
        raise Invalid("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer")
    if amount > AMOUNT_MAX:
        raise Invalid("Amount must be no more than $999,999.99", "amount", "amount_too_large")
    return amount


def metadata_of(params: Params) -> dict[str, str]:
    """What the caller noted about it."""
    return {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in params.items()
        if name.startswith("metadata[")
    }


def identity_of(request: Request) -> Identity:
    """What a request shows of itself: its key (or its description), its amount, and its metadata as fields."""
    if request.method != "POST":
        return Identity()
    try:
        params = params_of(request)
    except Invalid:
        params = {}
    key = request.headers.get("idempotency-key", "") or params.get("description", "")
    if endpoint(request) != "POST /v1/charges":
        # A refund is not what its charge was wanted for, whatever its amount.
        return Identity(key=key, op="refund")
    fields = {"quantity": params.get("amount", ""), "symbol": params.get("currency", ""), **metadata_of(params)}
    return Identity(key=key, fields=tuple(fields.items()), op="place")


def answer(status: int, body: Mapping[str, Any]) -> Response:
    """A JSON answer."""
    return Response(status, _JSON.encode(body))


def error(status: int, kind: str, message: str, **more: object) -> Response:
    """An error object. ``kind`` is its type; empty fields are left out."""
    told = {"type": kind, "message": message, **{name: value for name, value in more.items() if value}}
    return answer(status, {"error": told})

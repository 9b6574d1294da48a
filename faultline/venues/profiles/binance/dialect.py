"""What Binance and MEXC spot say differently: MEXC copied the paths and the rules of signing, and little else.

Each difference is a field here, so that the code that serves both knows neither by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec


class Error(msgspec.Struct, frozen=True):
    """An answer that says no: HTTP status, the venue's code, and its message."""

    status: int
    code: int
    message: str


class Dialect(msgspec.Struct, frozen=True):
    """One of the two.

    ``errors`` by the reason that the venue's code knows them by. ``write_id`` makes an id of a kind and a number;
    ``numeric_ids`` says that order ids are JSON numbers. ``status_in_ack`` says that the answer to a new order tells
    its state and its fills. ``partly_canceled`` is the status of an order that was cancelled with fills.
    """

    name: str
    key_header: str
    errors: Mapping[str, Error]
    write_id: Callable[[str, int], str]
    numeric_ids: bool = True
    status_in_ack: bool = True
    partly_canceled: str = "CANCELED"
    depth_max: int = 5000
    depth_default: int = 100


def numbered(kind: str, number: int) -> str:
    """Ids as Binance writes them: whole numbers, of orders in the millions."""
    return str(number + (1_000_000 if kind == "order" else 5_000))


_INVALID = "Mandatory parameter '{what}' was not sent, was empty/null, or malformed."

BINANCE = Dialect(
    name="binance",
    key_header="x-mbx-apikey",
    errors={
        "no_key": Error(401, -2014, "API-key format invalid."),
        "bad_key": Error(401, -2015, "Invalid API-key, IP, or permissions for action."),
        "signature": Error(400, -1022, "Signature for this request is not valid."),
        "time": Error(400, -1021, "Timestamp for this request is outside of the recvWindow."),
        "window": Error(400, -1131, "recvWindow must be less than 60000."),
        "parameter": Error(400, -1102, _INVALID),
        "symbol": Error(400, -1121, "Invalid symbol."),
        "side": Error(400, -1117, "Invalid side."),
        "type": Error(400, -1116, "Invalid orderType."),
        "time_in_force": Error(400, -1115, "Invalid timeInForce."),
        "price": Error(400, -1013, "Filter failure: PRICE_FILTER"),
        "quantity": Error(400, -1013, "Filter failure: LOT_SIZE"),
        "notional": Error(400, -1013, "Filter failure: NOTIONAL"),
        "duplicate": Error(400, -2010, "Duplicate order sent."),
        "insufficient_funds": Error(400, -2010, "Account has insufficient balance for requested action."),
        "rejected": Error(400, -2010, "{what}"),
        "cancel": Error(400, -2011, "Unknown order sent."),
        "unknown_order": Error(400, -2013, "Order does not exist."),
        "too_many": Error(429, -1003, "Too much request weight used; current limit is {what} per 1 MINUTE."),
        "too_many_orders": Error(429, -1015, "Too many new orders; current limit is {what} orders."),
        "banned": Error(418, -1003, "Way too much request weight used; IP banned until {what}."),
        "closed": Error(503, -1016, "This service is no longer available."),
        "not_here": Error(404, -1000, "Path {what} is not served."),
    },
    write_id=numbered,
)

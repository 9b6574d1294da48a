"""The adapter for the generic venue: what it sends, what it accepts as an answer, and what it makes of refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from faultline.faults import LostResponse, MalformedBody, Refuse
from faultline.session import Session
from targets.resilience.channel_model import Delta, Heartbeat
from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient, Reply
from targets.resilience.rate_limiter import RateLimiter, RateLimiterConfig
from targets.resilience.venue import (
    Account,
    DuplicateKeyError,
    OrderEndedError,
    OrderSide,
    OrderStatus,
    OrderType,
    Placement,
    Position,
    UnknownOrderError,
    UnreadableError,
    VenueRules,
    WithdrawnError,
)
from targets.resilience.venues.generic import GenericLogin, GenericVenue, read_fill, read_order
from targets.resilience.venues.generic_stream import GenericReading
from targets.resilience.wire import read_list, read_sequence

ORDER = {
    "order_id": "order1", "client_order_id": "key", "symbol": "NQ", "side": "sell", "status": "new", "filled": "0",
    "quantity": "4", "price": "100.50",
}  # fmt: skip
FILL = {
    "fill_id": "fill1", "order_id": "order1", "client_order_id": "key", "symbol": "NQ", "side": "buy", "quantity": "4",
    "price": "1", "sequence": 7,
}  # fmt: skip
PLACEMENT = Placement("key", "1", "NQ", OrderSide.SELL, OrderType.LIMIT, Decimal("4"), Decimal("100.50"))


@dataclass
class Wire:
    """Stands for the HTTP client: gives ``replies`` in turn, and keeps what was sent."""

    replies: list[Reply]
    sent: list[tuple[str, str, Any, Any, Any]] = field(default_factory=list)

    async def send(self, method: str, path: str, *, headers: Any = None, body: Any = None, query: Any = None) -> Reply:
        self.sent.append((method, path, headers, body, query))
        return self.replies.pop(0)


class Tokens:
    def __init__(self) -> None:
        self.rejected: list[str] = []

    async def get_valid_token(self) -> str:
        return "token"

    def reject(self, token: str) -> None:
        self.rejected.append(token)


def answering(*replies: tuple[int, object], headers: dict[str, str] | None = None) -> tuple[GenericVenue, Wire, Tokens]:
    wire, tokens = Wire([Reply(status, headers or {}, data) for status, data in replies]), Tokens()
    return GenericVenue(wire, tokens), wire, tokens  # type: ignore[arg-type]


def wanted() -> bool:
    return False


async def test_each_call_is_one_request_and_its_answer_is_decimal() -> None:
    listed = {"orders": [ORDER]}
    venue, wire, _ = answering(
        (201, ORDER), (200, listed), (200, ORDER), (200, listed), (200, {**ORDER, "status": "canceled"}), (200, ORDER),
        (200, {"fills": [FILL]}), (200, {"positions": {"NQ": "-4"}}), (200, {"positions": {}}),
    )  # fmt: skip
    placed = await venue.place(PLACEMENT, unless=wanted)
    assert (placed.id, placed.client_key, placed.status) == ("order1", "key", OrderStatus.OPEN)
    assert (placed.side, placed.size, placed.price) == (OrderSide.SELL, Decimal(4), Decimal("100.50"))
    assert placed.confirmed
    assert await venue.find("key", "NQ") == placed
    assert await venue.order("order1") == placed
    assert await venue.open_orders() == (placed,)
    assert (await venue.cancel("order1")).ended
    assert await venue.replace("order1", size=Decimal(6), price=None) == placed
    page = await venue.fills("")
    assert (page.cursor, page.more, page.fills[0].sequence) == ("7", False, 7)
    assert await venue.positions() == (Position("NQ", Decimal(-4)),)
    assert await venue.account() == Account("", Decimal(0))
    assert [(method, path, query) for method, path, _, _, query in wire.sent] == [
        ("POST", "/orders", None),
        ("GET", "/orders", {"client_order_id": "key"}),
        ("GET", "/orders/order1", None),
        ("GET", "/orders", {"status": "open"}),
        ("DELETE", "/orders/order1", None),
        ("PUT", "/orders/order1", None),
        ("GET", "/fills", {"since": "0", "limit": "500"}),
        ("GET", "/positions", None),
        ("GET", "/positions", None),
    ]
    assert {sent[2]["Authorization"] for sent in wire.sent} == {"Bearer token"}
    assert wire.sent[0][3] == {
        "client_order_id": "key", "symbol": "NQ", "side": "sell", "type": "limit", "quantity": "4", "price": "100.50",
    }  # fmt: skip
    assert wire.sent[5][3] == {"quantity": "6"}


async def test_a_market_order_has_no_price_and_numbers_are_written_plainly() -> None:
    venue, wire, _ = answering((201, ORDER), (200, ORDER))
    await venue.place(Placement("key", "", "NQ", OrderSide.BUY, OrderType.MARKET, Decimal("1E+3")), unless=wanted)
    assert wire.sent[0][3]["quantity"] == "1000"
    assert "price" not in wire.sent[0][3]
    await venue.replace("order1", size=Decimal("1E+1"), price=Decimal("1E-7"))
    assert wire.sent[1][3] == {"quantity": "10", "price": "0.0000001"}


async def test_a_full_page_of_fills_is_followed_by_another() -> None:
    fills = [{**FILL, "fill_id": f"f{number}", "sequence": number} for number in range(1, 501)]
    venue, _, _ = answering((200, {"fills": fills}), (200, {"fills": []}))
    assert ((page := await venue.fills("")).cursor, page.more) == ("500", True)
    assert ((page := await venue.fills("500")).cursor, page.more) == ("500", False)


async def test_what_nobody_wants_any_more_is_not_sent() -> None:
    venue, wire, _ = answering()
    with pytest.raises(WithdrawnError) as withdrawn:
        await venue.place(PLACEMENT, unless=lambda: True)
    assert withdrawn.value.effect == "none"
    assert wire.sent == []


CALLS: dict[str, Callable[[GenericVenue], Any]] = {
    "place": lambda venue: venue.place(PLACEMENT, unless=wanted),
    "order": lambda venue: venue.order("order1"),
    "cancel": lambda venue: venue.cancel("order1"),
    "replace": lambda venue: venue.replace("order1", size=Decimal(1), price=Decimal(1)),
}


@pytest.mark.parametrize(
    ("call", "status", "kind", "effect"),
    [
        ("place", 400, APIError, "none"),
        ("place", 401, APIError, "none"),
        ("place", 409, DuplicateKeyError, "none"),
        ("place", 422, APIError, "none"),
        ("place", 429, APIError, "none"),
        ("place", 408, APIError, "unknown"),
        ("place", 500, APIError, "unknown"),
        ("order", 404, UnknownOrderError, "none"),
        ("cancel", 404, UnknownOrderError, "none"),
        ("cancel", 409, OrderEndedError, "none"),
        ("replace", 409, OrderEndedError, "none"),
        ("replace", 503, APIError, "unknown"),
    ],
)
async def test_a_refusal_says_what_it_may_have_done(call: str, status: int, kind: type[APIError], effect: str) -> None:
    venue, _, tokens = answering((status, {"error": "the_code"}), headers={"Retry-After": "7"})
    with pytest.raises(APIError) as refused:
        await CALLS[call](venue)
    error = refused.value
    assert type(error) is kind
    assert (error.status_code, error.code, error.effect) == (status, "the_code", effect)
    assert tokens.rejected == (["token"] if status == 401 else [])
    if kind is APIError:
        assert error.retry_after_s == 7


@pytest.mark.parametrize("data", [None, [], "text", {}, {**ORDER, "order_id": "other", "client_order_id": "other"}])
@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_that_is_not_about_the_order_is_none(call: str, data: object) -> None:
    venue, _, _ = answering((200, data))
    with pytest.raises(UnreadableError, match="200 with an unreadable body") as refused:
        await CALLS[call](venue)
    assert (refused.value.effect, refused.value.status_code) == ("unknown", 200)


async def test_a_key_that_is_not_found_is_not_found_as_yet() -> None:
    venue, _, _ = answering((200, {"orders": []}), (200, {"orders": [{**ORDER, "client_order_id": "x"}]}), (404, {}))
    assert [await venue.find("key", "NQ") for _ in range(3)] == [None] * 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("order_id", None), ("order_id", 7), ("order_id", ""), ("status", "odd"), ("status", "pending"), ("status", []),
     ("filled", None), ("filled", "NaN"), ("quantity", "x"), ("price", "Infinity")],
)  # fmt: skip
def test_half_an_order_is_none(name: str, value: object) -> None:
    assert read_order(ORDER).id == "order1"
    assert read_order({**ORDER, "price": None}).price is None
    with pytest.raises(UnreadableError):
        read_order({**ORDER, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("fill_id", ""), ("side", "hold"), ("symbol", None), ("quantity", None), ("price", "Infinity")],
)
def test_half_a_fill_is_none(name: str, value: object) -> None:
    assert read_fill(FILL).signed == 4
    with pytest.raises(UnreadableError):
        read_fill({**FILL, name: value})


@pytest.mark.parametrize("value", [0, -1, True, "1", 1.0, None])
def test_what_is_no_number_numbers_nothing(value: object) -> None:
    assert read_sequence(value) is None
    assert read_fill({**FILL, "sequence": value}).sequence is None


def test_a_list_that_is_missing_is_told() -> None:
    with pytest.raises(UnreadableError, match="no list 'orders'"):
        read_list({"orders": {}}, "orders", read_order)


def test_what_a_venue_promises_bounds_a_doubt() -> None:
    assert VenueRules(late_s=3, query_lag_s=2).unanswered_s == 5
    assert GenericVenue(None, None).rules.fills_numbered  # type: ignore[arg-type]


# Login


GRANT = {"access_token": "a", "refresh_token": "r", "expires_in": 60}


async def test_a_login_and_a_refresh_pass_the_limiter_and_give_a_grant() -> None:
    limiter = RateLimiter(RateLimiterConfig(2, 60))
    wire = Wire([Reply(200, {}, GRANT), Reply(200, {}, {**GRANT, "refresh_token": None})])
    login = GenericLogin(wire, limiter, "id", "secret")  # type: ignore[arg-type]
    grant = await login.authenticate()
    assert (grant.token, grant.life_s, grant.refresh_token) == ("a", 60, "r")
    assert (await login.refresh("r")).refresh_token == ""
    assert [sent[3] for sent in wire.sent] == [{"client_id": "id", "client_secret": "secret"}, {"refresh_token": "r"}]
    assert limiter.free == 0


@pytest.mark.parametrize(
    "data", [None, {}, {**GRANT, "access_token": ""}, {**GRANT, "expires_in": "60"}, {**GRANT, "expires_in": 0}]
)
async def test_half_a_grant_is_none_and_is_not_quoted(data: Any) -> None:
    login = GenericLogin(Wire([Reply(200, {}, data)]), RateLimiter(RateLimiterConfig()), "id", "hush")  # type: ignore[arg-type]
    with pytest.raises(UnreadableError) as refused:
        await login.authenticate()
    assert "'a'" not in str(refused.value)


async def test_a_login_that_is_refused_silences_everybody(faultline: Session) -> None:
    limiter = RateLimiter(RateLimiterConfig())
    replies = [Reply(429, {"Retry-After": "3"}, {}), Reply(401, {}, {})]
    login = GenericLogin(Wire(replies), limiter, "id", "secret")  # type: ignore[arg-type]
    with pytest.raises(APIError, match="429"):
        await login.authenticate()
    with pytest.raises(APIError, match="401"):
        await login.authenticate()
    assert 3 <= faultline.now_s() < 3.5


# HTTP


@pytest.mark.parametrize(
    ("fault", "effect"),
    [(Refuse(on="rest"), "none"), (LostResponse(on="GET /health"), "unknown")],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
async def test_the_effect_of_a_request_depends_on_whether_it_left(faultline: Session, fault: Any, effect: str) -> None:
    venue = await faultline.venue("generic")
    http = HttpClient(venue.url, request_timeout=2_000, connect_timeout=1_000)
    with faultline.inject(fault), pytest.raises(APIError) as failed:
        await http.send("GET", "/health")
    assert (failed.value.status_code, failed.value.effect) == (None, effect)
    assert (await http.send("GET", "/health")).data == {"status": "ok"}
    await http.close()
    await http.close()


async def test_an_answer_that_is_no_json_is_an_answer(faultline: Session) -> None:
    venue = await faultline.venue("generic")
    http = HttpClient(venue.url)
    with faultline.inject(MalformedBody(on="GET /health", form="html")):
        assert (await http.send("GET", "/health")).data is None
    await http.close()


# The stream


def test_the_stream_tells_of_orders_fills_snapshots_and_last_numbers() -> None:
    reading = GenericReading()
    assert list(reading.orders("orders", {"data": ORDER, "sequence": 3})) == [Delta(read_order(ORDER), sequence=3)]
    assert list(reading.orders("snapshot", {"orders": [ORDER]})) == [Delta(read_order(ORDER))]
    told = json.loads(json.dumps({"last_sequence": {"orders": 5, "fills": 9}}))
    assert list(reading.orders("heartbeat", told)) == [Heartbeat(5)]
    assert list(reading.fills("heartbeat", told)) == [Heartbeat(9)]
    (fill,) = reading.fills("fills", {"data": {**FILL, "sequence": None}, "sequence": 4})
    assert isinstance(fill, Delta)
    assert (fill.id, fill.sequence, fill.revision) == ("fill1", 4, 0)
    assert list(reading.fills("heartbeat", {"time": 1})) == []
    for nothing in (reading.fills("orders", {}), reading.fills("snapshot", {}), reading.orders("fills", {})):
        assert list(nothing) == []
    with pytest.raises(UnreadableError):
        reading.orders("orders", "no message")

"""The rules of OKX v5 that a well-behaved client never meets."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from faultline.venues import signing
from faultline.venues.base import Request
from faultline.venues.http import split_target
from faultline.venues.profiles.okx.settings import PASSPHRASE
from faultline.venues.profiles.spot import KEY, SECRET
from tests.venues.profiles.kit import Stage, played
from tests.venues.profiles.signed import Ear, answered

LIMIT = {"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "limit", "sz": "1", "px": "99.5"}
MARKET = {"instId": "BTC-USDT", "tdMode": "cash", "side": "sell", "ordType": "market", "sz": "1"}
ORDER, BATCH, CANCEL = "/api/v5/trade/order", "/api/v5/trade/batch-orders", "/api/v5/trade/cancel-order"
BALANCE = "/api/v5/account/balance"


def wall_s(stage: Stage, ahead_s: float = 0.0) -> float:
    return stage.simulation.start_wall_s + stage.now_s + ahead_s


def ask(
    stage: Stage, method: str, target: str, body: Any = None, *, ahead_s: float = 0.0, **headers: str
) -> tuple[int, Any]:
    raw = b"" if body is None else json.dumps(body).encode()
    stamp = (
        datetime.fromtimestamp(wall_s(stage, ahead_s), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    sign = signing.base64_hmac(SECRET, signing.okx_payload(stamp, method, target, raw.decode()))
    own = {"key": KEY, "passphrase": PASSPHRASE, "timestamp": stamp, "sign": sign}
    sent = {f"ok-access-{name}": headers.pop(name, value) for name, value in own.items()} | headers
    path, query = split_target(target)
    return answered(stage, Request(method, path, query, sent, raw, target=target))


def at_once(body: Callable[[Stage], None], **settings: Any) -> Stage:
    async def main(stage: Stage) -> None:
        body(stage)

    return played("okx", main, **settings)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "0"),
        ({"key": ""}, "50103"),
        ({"passphrase": ""}, "50104"),
        ({"sign": ""}, "50106"),
        ({"timestamp": ""}, "50107"),
        ({"key": "other"}, "50111"),
        ({"timestamp": "now"}, "50112"),
        ({"timestamp": "2026-01-01T00:00:00"}, "50112"),
        ({"timestamp": "2025-12-31T23:59:29.999Z"}, "50102"),
        ({"passphrase": "other"}, "50105"),
        ({"sign": "other"}, "50113"),
    ],
)
def test_only_what_is_signed_as_sent_is_obeyed(headers: dict[str, str], code: str) -> None:
    def body(stage: Stage) -> None:
        status, said = ask(stage, "GET", f"{BALANCE}?ccy=BTC%2CUSDT", **headers)
        assert (status, said["code"]) == (200 if code == "0" else 401, code)

    at_once(body)


@pytest.mark.parametrize(("ahead_s", "code"), [(30, "0"), (-30, "0"), (30.01, "50102"), (-30.01, "50102")])
def test_a_request_is_good_for_thirty_seconds(ahead_s: float, code: str) -> None:
    def body(stage: Stage) -> None:
        assert ask(stage, "GET", BALANCE, ahead_s=ahead_s)[1]["code"] == code

    at_once(body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"instId": "NO-PE"}, "51001"),
        ({"sz": "0.000001"}, "51121"),
        ({"px": "99.001"}, "51000"),
        ({"sz": "-1"}, "51000"),
        ({"side": "hold"}, "51000"),
        ({"tdMode": "cross"}, "51000"),
        ({"ordType": "trigger"}, "51000"),
        ({"clOrdId": "with-dash"}, "51000"),
        ({"clOrdId": "a" * 33}, "51000"),
        ({"sz": "200000"}, "51008"),
    ],
)
def test_a_refusal_is_a_line_of_an_answer_that_is_200(change: dict[str, str], code: str) -> None:
    def body(stage: Stage) -> None:
        status, said = ask(stage, "POST", ORDER, LIMIT | change)
        assert (status, said["code"], said["data"][0]["sCode"], said["data"][0]["ordId"]) == (200, "1", code, "")

    assert at_once(body).effects("order") == []


def test_a_batch_may_succeed_in_part() -> None:
    def body(stage: Stage) -> None:
        said = ask(stage, "POST", BATCH, [LIMIT, LIMIT | {"sz": "x"}, LIMIT | {"clOrdId": "a"}])[1]
        assert said["code"] == "2"
        assert [line["sCode"] for line in said["data"]] == ["0", "51000", "0"]
        assert ask(stage, "POST", BATCH, [LIMIT] * 21)[1]["code"] == "50025"
        assert ask(stage, "POST", BATCH, "nonsense")[1]["code"] == "50002"

    assert len(at_once(body).effects("order")) == 2


def test_what_to_spend_is_the_default_size_of_a_market_buy() -> None:
    def body(stage: Stage) -> None:
        buy = MARKET | {"side": "buy", "sz": "250"}
        ids = [ask(stage, "POST", ORDER, order)[1]["data"][0]["ordId"] for order in (buy, buy | {"tgtCcy": "base_ccy"})]
        sizes = [ask(stage, "GET", f"{ORDER}?instId=BTC-USDT&ordId={one}")[1]["data"][0]["accFillSz"] for one in ids]
        assert sizes == ["2.5", "250"]

    at_once(body)


def test_a_request_past_its_deadline_is_discarded() -> None:
    def body(stage: Stage) -> None:
        now_ms = round(wall_s(stage) * 1000)
        assert ask(stage, "POST", ORDER, LIMIT, exptime=str(now_ms + 1))[1]["code"] == "0"
        assert ask(stage, "POST", ORDER, LIMIT, exptime=str(now_ms - 1))[1]["code"] == "51000"

    assert len(at_once(body).effects("order")) == 1


def test_a_cancel_on_its_way_shows_nowhere_and_may_lose() -> None:
    async def body(stage: Stage) -> None:
        ear = Ear("/ws/v5/private")
        stage.venue.connected(ear)
        stage.venue.received(ear, login(stage))
        stage.venue.received(ear, ORDERS)
        order_id = ask(stage, "POST", ORDER, LIMIT)[1]["data"][0]["ordId"]
        about = {"instId": "BTC-USDT", "ordId": order_id}
        assert len(ear.take()) == 3
        assert ask(stage, "POST", CANCEL, about)[1]["code"] == "0"
        assert ear.take() == []
        shown = ask(stage, "GET", f"{ORDER}?instId=BTC-USDT&ordId={order_id}")[1]["data"][0]
        assert (shown["state"], shown["accFillSz"]) == ("live", "0")
        assert ask(stage, "POST", CANCEL, about)[1]["data"][0]["sCode"] == "51410"
        await asyncio.sleep(1)
        assert ask(stage, "POST", CANCEL, about)[1]["data"][0]["sCode"] == "51400"
        assert ask(stage, "POST", "/api/v5/trade/amend-order", about | {"newSz": "2"})[1]["data"][0]["sCode"] == "51503"
        assert ask(stage, "POST", CANCEL, {"instId": "BTC-USDT"})[1]["data"][0]["sCode"] == "51003"

    stage = played("okx", body, fill_delay_s=0.5, cancel_delay_s=2.0)
    assert [effect.after for effect in stage.effects()] == ["new", "pending_cancel", "filled"]


def test_lists_are_the_newest_first_in_pages() -> None:
    async def body(stage: Stage) -> None:
        for _ in range(5):
            ask(stage, "POST", ORDER, MARKET)

        def ids(query: str = "") -> list[int]:
            found = ask(stage, "GET", f"/api/v5/trade/fills?instId=BTC-USDT{query}")[1]["data"]
            return [int(fill["billId"]) - 240_000_000 for fill in found]

        assert ids() == [5, 4, 3, 2, 1]
        assert ids("&limit=2") == [5, 4]
        assert ids("&after=240000004&limit=2") == [3, 2]
        assert ids("&before=240000003") == [5, 4]
        await asyncio.sleep(3 * 86_400 + 1)
        assert ids() == []
        assert len(ask(stage, "GET", "/api/v5/trade/fills-history?instType=SPOT")[1]["data"]) == 5
        assert ask(stage, "GET", "/api/v5/trade/fills?limit=x")[1]["code"] == "51000"

    played("okx", body)


def login(stage: Stage, ahead_s: float = 0.0, **changes: str) -> str:
    stamp = str(int(wall_s(stage, ahead_s)))
    sign = signing.base64_hmac(SECRET, f"{stamp}GET/users/self/verify")
    arg = {"apiKey": KEY, "passphrase": PASSPHRASE, "timestamp": stamp, "sign": sign} | changes
    return json.dumps({"op": "login", "args": [arg]})


def subscribe(**arg: str) -> str:
    return json.dumps({"op": "subscribe", "args": [arg]})


ORDERS = subscribe(channel="orders", instType="SPOT")


def test_orders_need_a_login_on_the_private_path() -> None:
    def body(stage: Stage) -> None:
        ear = Ear("/ws/v5/private")
        stage.venue.connected(ear)
        for text, code in (
            (ORDERS, "60011"),
            (login(stage, apiKey="x"), "60005"),
            (login(stage, sign="x"), "60007"),
            (login(stage, passphrase="x"), "60024"),
            (login(stage, timestamp="x"), "60004"),
            (login(stage, ahead_s=-31), "60006"),
            (subscribe(channel="nothing"), "60018"),
            (subscribe(channel="books", instId="BTC-USDT"), "60018"),
            ("{}", "60012"),
            (login(stage), "0"),
        ):
            stage.venue.received(ear, text)
            assert [said["code"] for said in ear.take()] == [code]
        stage.venue.received(ear, ORDERS)
        assert [said["event"] for said in ear.take()] == ["subscribe"]
        ask(stage, "POST", ORDER, MARKET)
        told = [message["data"][0] for message in ear.take()]
        assert [(one["state"], one["accFillSz"], one["fillSz"], one["tradeId"], one["execType"]) for one in told] == [
            ("live", "0", "0", "", ""),
            ("filled", "1", "1", "240000001", "T"),
        ]
        stage.venue.disconnected(ear, 1006)
        stage.venue.received(ear, ORDERS)
        assert ear.take() == []

    at_once(body)


def test_text_pings_are_answered_and_commands_are_counted() -> None:
    def body(stage: Stage) -> None:
        ear, nowhere = Ear("/ws/v5/public"), Ear("/ws")
        stage.venue.connected(ear)
        stage.venue.connected(nowhere)
        assert nowhere.closed is not None
        stage.venue.received(ear, "ping")
        assert ear.take() == ["pong"]
        for _ in range(480):
            stage.venue.received(ear, subscribe(channel="nothing"))
        ear.take()
        stage.venue.received(ear, subscribe(channel="books", instId="BTC-USDT"))
        assert ear.take()[0]["code"] == "60014"

    at_once(body)


def test_maintenance_is_announced_and_closes() -> None:
    async def body(stage: Stage) -> None:
        ear = Ear("/ws/v5/public")
        stage.venue.connected(ear)
        await asyncio.sleep(11)
        assert (ear.take()[0]["code"], ear.closed) == ("64008", None)
        await asyncio.sleep(10)
        assert ear.closed is not None
        assert ask(stage, "GET", BALANCE) == (
            503,
            {"code": "50001", "msg": "Service temporarily unavailable. Try again later.", "data": []},
        )

    played("okx", body, maintenance_at_s=20.0)


def test_a_book_begins_with_a_snapshot_and_each_update_names_the_one_before() -> None:
    async def body(stage: Stage) -> None:
        ear = Ear("/ws/v5/public")
        stage.venue.connected(ear)
        stage.venue.received(ear, subscribe(channel="books", instId="BTC-USDT"))
        await asyncio.sleep(4.5)
        _, *books = ear.take()
        assert [book["action"] for book in books] == ["snapshot", *["update"] * 4]
        numbers = [(book["data"][0]["prevSeqId"], book["data"][0]["seqId"]) for book in books]
        assert numbers[0][0] == -1
        assert all(later[0] == earlier[1] for earlier, later in itertools.pairwise(numbers))
        stage.venue.received(ear, '{"op":"unsubscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}')
        ear.take()
        await asyncio.sleep(3)
        assert ear.take() == []

    played("okx", body)

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from faultline.venues.broker import Broker, Entry, Placement, Refused, plain, share

D = Decimal


def placement(key: str | None = "k1", quantity: str = "3", price: str | None = "100", **more: Any) -> Placement:
    values: dict[str, Any] = {"symbol": "NQ", "side": "buy", "type": "limit", **more}
    return Placement(quantity=D(quantity), price=None if price is None else D(price), client_order_id=key, **values)


def broker(scope: Any = "unique_while_pending", fee: str = "0.001") -> tuple[Broker, list[Entry]]:
    entries: list[Entry] = []
    return Broker(scope, D(fee), entries.append), entries


def test_an_order_is_accepted_filled_in_parts_and_done() -> None:
    book, entries = broker()
    book.place(1.0, "o1", placement())
    book.fill(2.0, "o1", "f1", D(1), D(100))
    book.fill(3.0, "o1", "f2", D(2), D(100))
    assert [(entry.what, entry.before, entry.order.status) for entry in entries] == [
        ("order", "", "new"),
        ("fill", "new", "partially_filled"),
        ("fill", "partially_filled", "filled"),
    ]
    assert book.positions() == {"NQ": D(3)}
    assert [fill.sequence for fill in book.fills()] == [1, 2]
    assert book.fills()[1].fee == D("0.2")


def test_a_sale_reduces_the_position() -> None:
    book, _ = broker()
    book.place(0.0, "o1", placement("a"))
    book.fill(0.0, "o1", "f1", D(3), D(100))
    book.place(0.0, "o2", placement("b", quantity="5", side="sell"))
    book.fill(0.0, "o2", "f2", D(5), D(100))
    assert book.positions() == {"NQ": D(-2)}


def test_an_order_cannot_be_filled_beyond_its_quantity() -> None:
    book, entries = broker()
    book.place(0.0, "o1", placement())
    with pytest.raises(ValueError, match="cannot fill 4 of 3"):
        book.fill(0.0, "o1", "f1", D(4), D(100))
    assert len(entries) == 1


def test_a_repeated_key_is_refused_only_while_the_first_order_is_open() -> None:
    book, _ = broker("unique_while_pending")
    book.place(0.0, "o1", placement())
    with pytest.raises(Refused, match="in use") as refused:
        book.place(1.0, "o2", placement())
    assert refused.value.code == "duplicate_client_order_id"
    book.cancel(2.0, "o1")
    assert book.place(3.0, "o3", placement()).status == "new"


def test_unique_forever_refuses_a_key_whose_order_is_long_over() -> None:
    book, _ = broker("unique_forever")
    book.place(0.0, "o1", placement())
    book.cancel(1.0, "o1")
    with pytest.raises(Refused):
        book.place(2.0, "o2", placement())


def test_a_rejection_uses_up_its_key_under_first_result_only() -> None:
    for scope in ("none", "unique_while_pending", "unique_forever"):
        book, _ = broker(scope)
        book.reject(0.0, "o1", placement(), "no money")
        assert book.place(1.0, "o2", placement()).status == "new"
    book, _ = broker("first_result")
    book.reject(0.0, "o1", placement(), "no money")
    first = book.repeated("k1")
    assert first is not None
    assert (first.order_id, first.reason) == ("o1", "no money")


def test_without_a_scope_a_repeated_key_is_a_second_order() -> None:
    book, _ = broker("none")
    book.place(0.0, "o1", placement())
    book.place(0.0, "o2", placement())
    assert [order.order_id for order in book.orders(["k1"])] == ["o1", "o2"]


def test_orders_without_a_key_never_collide() -> None:
    book, _ = broker("unique_forever")
    book.place(0.0, "o1", placement(None))
    book.place(0.0, "o2", placement(None))
    assert len(book.open_orders()) == 2


def test_a_fill_can_win_the_race_against_a_cancel() -> None:
    book, entries = broker()
    book.place(0.0, "o1", placement())
    book.request_cancel(1.0, "o1")
    book.fill(2.0, "o1", "f1", D(3), D(100))
    with pytest.raises(Refused) as refused:
        book.cancel(3.0, "o1")
    assert refused.value.code == "not_cancelable"
    assert [entry.order.status for entry in entries] == ["new", "pending_cancel", "filled"]


def test_a_second_cancel_request_changes_nothing() -> None:
    book, entries = broker()
    book.place(0.0, "o1", placement())
    assert book.request_cancel(1.0, "o1") is book.request_cancel(2.0, "o1")
    assert len(entries) == 2


def test_replace_keeps_the_id_and_what_is_filled() -> None:
    book, entries = broker()
    book.place(0.0, "o1", placement())
    book.fill(1.0, "o1", "f1", D(1), D(100))
    order = book.replace(2.0, "o1", D(5), D(90))
    assert (order.order_id, order.quantity, order.price, order.filled) == ("o1", D(5), D(90), D(1))
    assert (entries[-1].what, entries[-1].before, order.status) == ("replace", "partially_filled", "partially_filled")


@pytest.mark.parametrize("quantity", ["1", "0.5"])
def test_replace_refuses_a_size_that_is_filled_already(quantity: str) -> None:
    book, _ = broker()
    book.place(0.0, "o1", placement())
    book.fill(1.0, "o1", "f1", D(1), D(100))
    with pytest.raises(Refused) as refused:
        book.replace(2.0, "o1", D(quantity), D(90))
    assert refused.value.code == "rejected"


def test_market_orders_and_orders_being_canceled_are_not_replaced() -> None:
    book, _ = broker()
    book.place(0.0, "o1", placement("a", price=None, type="market"))
    book.place(0.0, "o2", placement("b"))
    book.request_cancel(0.0, "o2")
    for order_id in ("o1", "o2"):
        with pytest.raises(Refused) as refused:
            book.replace(1.0, order_id, D(9), D(9))
        assert refused.value.code == "not_replaceable"


@pytest.mark.parametrize("act", ["fill", "cancel", "request_cancel", "expire", "replace"])
def test_nothing_happens_to_an_order_that_does_not_exist_or_is_over(act: str) -> None:
    book, entries = broker()
    book.place(0.0, "o1", placement())
    book.cancel(0.0, "o1")
    arguments = {"fill": ("f", D(1), D(1)), "replace": (D(9), D(9))}.get(act, ())
    with pytest.raises(Refused) as unknown:
        getattr(book, act)(1.0, "nobody", *arguments)
    assert unknown.value.code == "order_not_found"
    with pytest.raises(Refused):
        getattr(book, act)(1.0, "o1", *arguments)
    assert len(entries) == 2


def test_a_cancel_on_its_way_goes_before_an_expiry() -> None:
    book, _ = broker()
    book.place(0.0, "o1", placement())
    book.request_cancel(0.0, "o1")
    with pytest.raises(Refused):
        book.expire(1.0, "o1")
    assert book.cancel(2.0, "o1").status == "canceled"


def test_reads_can_be_answered_as_of_an_earlier_time() -> None:
    book, _ = broker()
    book.place(1.0, "o1", placement())
    book.fill(2.0, "o1", "f1", D(1), D(100))
    book.fill(3.0, "o1", "f2", D(2), D(100))
    seen = [book.order("o1", as_of) for as_of in (0.5, 1.0, 2.5, 3.0)]
    assert [order and order.filled for order in seen] == [None, D(0), D(1), D(3)]
    assert book.orders(as_of=0.9) == []
    assert [order.order_id for order in book.open_orders(2.9)] == ["o1"]
    assert book.open_orders(3.0) == []
    assert book.open_orders() == []
    assert [fill.fill_id for fill in book.fills(as_of=2.9)] == ["f1"]
    assert (book.last_fill(1.9), book.last_fill(2.0), book.last_fill()) == (0, 1, 2)
    assert book.positions(2.0) == {"NQ": D(1)}


def test_fills_are_paged_by_sequence() -> None:
    book, _ = broker()
    book.place(0.0, "o1", placement())
    for number in range(3):
        book.fill(0.0, "o1", f"f{number}", D(1), D(100))
    assert [fill.sequence for fill in book.fills(1)] == [2, 3]
    assert [fill.sequence for fill in book.fills(1, 1)] == [2]
    assert book.fills(3) == []
    assert book.fills(99) == []


@pytest.mark.parametrize(
    ("number", "text"), [("1E+2", "100"), ("100.50", "100.5"), ("1E-8", "0.00000001"), ("0E-8", "0"), ("-2.0", "-2")]
)
def test_decimals_are_written_plainly(number: str, text: str) -> None:
    assert plain(D(number)) == text


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": "NaN"},
        {"quantity": "Infinity"},
        {"quantity": "1e12"},
        {"quantity": "1e999999"},
        {"quantity": "1e-9"},
        {"price": "0"},
        {"price": None},
        {"symbol": ""},
        {"symbol": "a b"},
        {"symbol": "x" * 33},
        {"key": ""},
        {"key": "a,b"},
        {"key": "x" * 65},
        {"key": "line\nbreak"},
    ],
)
def test_an_order_that_makes_no_sense_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|may|needs"):
        placement(**changes)


def test_the_largest_and_the_smallest_order_are_exact() -> None:
    book, _ = broker(fee="0.0002")
    book.place(0.0, "o1", placement(quantity="999999999999.99999999", price="999999999999.99999999"))
    book.fill(0.0, "o1", "f1", D("999999999999.99999999"), D("999999999999.99999999"))
    assert book.fills()[0].fee == D("199999999999999999996")
    assert plain(book.positions()["NQ"]) == "999999999999.99999999"


@pytest.mark.parametrize(
    ("remaining", "parts", "shares"),
    [
        ("3", 3, ["1", "1", "1"]),
        ("1", 3, ["0.33333333", "0.33333333", "0.33333334"]),
        ("5", 1, ["5"]),
        ("0.00000001", 3, ["0.00000001"]),
    ],
)
def test_shares_add_up_to_the_whole(remaining: str, parts: int, shares: list[str]) -> None:
    left, taken = D(remaining), []
    while left:
        taken.append(share(left, parts))
        left -= taken[-1]
        parts -= 1
    assert [plain(part) for part in taken] == shares

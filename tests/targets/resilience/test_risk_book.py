"""What is at risk: positions by two witnesses, and every order that may still add to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.resilience.risk import Book, OrderEvent, PositionEvent, Proposal, QuoteEvent, TradeEvent

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def trade(number: int, side: str, quantity: int, price: int = 100, **more: object) -> TradeEvent:
    return TradeEvent(f"T{number}", "NQ", side, Decimal(quantity), Decimal(price), **more)  # type: ignore[arg-type]


def order(intent: str, side: str, quantity: int, **more: object) -> Proposal:
    return Proposal(intent, "NQ", side, Decimal(quantity), **more)  # type: ignore[arg-type]


def book_of(*events: object, **more: object) -> Book:
    book = Book(**more)  # type: ignore[arg-type]
    for event in events:
        book.apply(event, NOW)  # type: ignore[arg-type]
    return book


def test_an_order_counts_from_the_moment_before_it_is_sent_and_while_nobody_knows() -> None:
    book = book_of()
    book.sent(order("A", "buy", 3))
    assert book.exposure("NQ") == (0, 3)
    book.apply(OrderEvent("A", "unknown"), NOW)
    assert book.exposure("NQ") == (0, 3)
    book.apply(OrderEvent("A", "ended"), NOW)
    assert book.exposure("NQ") == (0, 0)


def test_news_of_an_order_that_is_not_ours_changes_nothing() -> None:
    assert book_of(OrderEvent("somebody-else", "open")).working == {}


def test_a_fill_moves_quantity_from_the_order_to_the_position_once() -> None:
    book = book_of()
    book.sent(order("A", "buy", 3))
    for _ in range(2):
        book.apply(trade(1, "buy", 2, intent="A"), NOW)
    assert book.holdings["NQ"].filled == 2
    assert book.working["A"].remaining == 1
    assert book.exposure("NQ") == (2, 3)
    book.apply(trade(2, "buy", 1, intent="A"), NOW)
    assert "A" not in book.working


def test_while_the_witnesses_differ_exposure_takes_the_worse_and_closing_the_smaller() -> None:
    book = book_of(trade(1, "buy", 5), PositionEvent("NQ", Decimal(2)))
    assert book.exposure("NQ") == (2, 5)
    assert book.closable("NQ") == ("sell", 2)
    book.apply(PositionEvent("NQ", Decimal(-1)), NOW)
    assert book.exposure("NQ") == (-1, 5)
    assert book.closable("NQ")[1] == 0


def test_a_position_from_before_our_time_is_believed_as_it_is_reported() -> None:
    book = book_of(PositionEvent("NQ", Decimal(-4), Decimal(90)))
    assert book.holdings["NQ"].certain == -4
    assert book.closable("NQ") == ("buy", 4)


def test_what_a_live_order_closes_already_is_not_closed_again() -> None:
    book = book_of(trade(1, "buy", 5))
    book.sent(order("close", "sell", 3))
    assert book.closable("NQ") == ("sell", 2)
    assert not book.opens(order("more", "sell", 2))
    assert book.opens(order("too-much", "sell", 3))
    assert book.opens(order("other-way", "buy", 1))


def test_an_order_that_is_asked_about_again_is_not_counted_twice() -> None:
    book, asked = book_of(), order("A", "buy", 3)
    assert book.worst("NQ", asked) == 3
    book.sent(asked)
    assert book.worst("NQ", asked) == 3


@pytest.mark.parametrize(
    ("trades", "realized", "average"),
    [
        ([("buy", 2, 100), ("sell", 1, 110)], 10, 100),
        ([("sell", 2, 100), ("buy", 2, 90)], 20, 0),
        ([("buy", 1, 100), ("buy", 1, 110), ("sell", 1, 105)], 0, 105),
        ([("buy", 2, 100), ("sell", 5, 110)], 20, 110),
        ([("sell", 2, 100), ("buy", 3, 110)], -20, 110),
    ],
)
def test_profit_is_realized_at_average_cost(trades: list[tuple[str, int, int]], realized: int, average: int) -> None:
    book = book_of(*(trade(number, *rest) for number, rest in enumerate(trades)))
    assert book.realized == realized
    assert book.holdings["NQ"].average_price == average


def test_the_venues_own_profit_and_fees_take_precedence_and_points_have_a_value() -> None:
    book = book_of(trade(1, "buy", 1, fees=Decimal(2)), trade(2, "sell", 1, 110, profit=Decimal(7), fees=Decimal(2)))
    assert book.realized == 3
    valued = book_of(trade(1, "buy", 1), QuoteEvent("NQ", Decimal(103)), multipliers={"NQ": Decimal(20)})
    assert valued.unrealized("NQ") == 60
    assert valued.unrealized("ES") == 0
    assert valued.notional("NQ", Decimal(2), None) == 4120
    assert valued.notional("ES", Decimal(2), None) is None


def test_a_voided_fill_is_taken_back_once_whichever_comes_first() -> None:
    before = book_of(trade(1, "buy", 2, 100))
    both = book_of(trade(1, "buy", 2, 100), trade(2, "sell", 2, 90), *[trade(2, "sell", 2, 90, voided=True)] * 2)
    assert (both.holdings["NQ"].filled, both.realized, both.holdings["NQ"].average_price) == (2, 0, 100)
    assert both.holdings["NQ"] == before.holdings["NQ"]
    early = book_of(trade(1, "buy", 2, voided=True), trade(1, "buy", 2))
    assert early.realized == 0
    assert early.exposure("NQ") == (0, 0)


def test_a_new_day_forgets_money_and_counts_but_not_positions() -> None:
    book = book_of(trade(1, "buy", 2, 100), trade(2, "sell", 1, 90))
    assert (book.realized, book.last_loss, len(book.entries)) == (-10, NOW, 1)
    book.new_day()
    assert (book.realized, book.last_loss, len(book.entries)) == (0, None, 0)
    assert book.exposure("NQ") == (1, 1)


def test_adopted_positions_are_closed_by_fills_alone() -> None:
    book = book_of()
    book.adopt([PositionEvent("NQ", Decimal(3), Decimal(90)), PositionEvent("ES", Decimal(0))], NOW)
    assert book.closable("NQ") == ("sell", 3)
    assert book.holdings["NQ"].opened == NOW
    assert book.holdings["ES"].opened is None
    book.apply(trade(1, "sell", 3), NOW)
    assert book.exposure("NQ") == (0, 0)


def test_remembered_fills_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("targets.resilience.risk.book.TRADES_REMEMBERED_MAX", 3)
    book = book_of(*(trade(number, "buy", 1) for number in range(10)))
    book.apply(trade(9, "buy", 1), NOW)
    assert book.holdings["NQ"].filled == 10


@given(st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 9), st.integers(80, 120)), max_size=30))
def test_money_is_conserved_whatever_is_traded(trades: list[tuple[str, int, int]]) -> None:
    book = Book()
    cash = Decimal(0)
    for number, (side, quantity, price) in enumerate(trades):
        book.apply(trade(number, side, quantity, price), NOW + timedelta(seconds=number))
        cash += quantity * price * (-1 if side == "buy" else 1)
    book.apply(QuoteEvent("NQ", Decimal(100)), NOW)
    held = book.holdings["NQ"].filled if trades else Decimal(0)
    assert abs(book.realized + book.unrealized_total() - (cash + held * 100)) < Decimal("1e-18")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.sampled_from(["buy", "sell"]), st.integers(1, 5)),
            st.tuples(st.just("fill"), st.integers(0, 20), st.integers(1, 3)),
            st.tuples(st.just("end"), st.integers(0, 20), st.just(0)),
        ),
        max_size=40,
    )
)
def test_the_position_never_leaves_what_exposure_foretold(steps: list[tuple[str, object, int]]) -> None:
    book, sent = Book(), 0
    for number, (kind, which, quantity) in enumerate(steps):
        low, high = book.exposure("NQ")
        if kind == "send":
            book.sent(order(f"I{sent}", str(which), quantity))
            sent += 1
            continue
        working = book.working.get(f"I{which}")
        if working is None:
            continue
        if kind == "end":
            book.apply(OrderEvent(f"I{which}", "ended"), NOW)
        else:
            part = min(quantity, int(working.remaining))
            book.apply(trade(number, working.proposal.side, part, intent=f"I{which}"), NOW)
        assert low <= book.exposure("NQ")[0] <= book.exposure("NQ")[1] <= high

"""What a failed run shows, from hand-made histories."""

from __future__ import annotations

from faultline.history import Contract, History
from faultline.history.event import (
    Answer,
    Belief,
    Boot,
    Contracted,
    Effect,
    Event,
    Intent,
    OrderBelief,
    Outcome,
    Resolved,
    Struck,
)
from faultline.oracles.base import Finding, Verdict
from faultline.search.witness import Receipt, Row, receipts, side_by_side


def history(*events: Event) -> History:
    told = History([Contracted(0.0, Contract("test"), 0), Boot(0.0, 1), *events])
    told.seal()
    return told


def fails(*intents: str) -> Verdict:
    return Verdict("oracle", "fail", 1, findings=tuple(Finding("wrong", 0.0, intent) for intent in intents))


def place(intent: str, price: str = "100") -> Intent:
    return Intent(0.0, intent, "place", "NQ", "buy", "4", price)


def order(order: str, intent: str, sequence: int = 1) -> Effect:
    return Effect(0.1, sequence, "order", order, intent, "key", "", "new", symbol="NQ", side="buy", quantity="4")


def fill(order: str, quantity: str = "4", filled: str = "4", after: str = "filled") -> Effect:
    return Effect(
        0.2, 9, "fill", order, "A", "order", "new", after, symbol="NQ", side="buy", quantity=quantity, filled=filled,
        fill=f"f-{order}-{filled}",
    )  # fmt: skip


def answer(intent: str, outcome: Outcome) -> Answer:
    return Answer(0.3, intent, outcome, 1)


def believes(*orders: OrderBelief, positions: tuple[tuple[str, str], ...] = ()) -> Belief:
    return Belief(0.4, 1, orders, positions, final=True)


def test_a_duplicate_side_by_side() -> None:
    told = history(
        place("A"), order("o1", "A"), order("o2", "A", 2), fill("o1"), fill("o2", "1", "1", "partially_filled"),
        answer("A", "ok"), believes(OrderBelief("A", "filled", "4", "o1")),
    )  # fmt: skip
    assert side_by_side(told, fails("A")) == (
        Row(
            "A",
            "buy 4 NQ at 100",
            "o1 filled 4; o2 partially filled, 1 of 4 filled",
            "said done; believes filled 4 (o1)",
        ),
    )


def test_what_is_missing_is_said_to_be_missing() -> None:
    told = history(place("A", ""), place("B"), answer("B", "info"), believes(OrderBelief("B", "unknown")))
    missing, unknown = side_by_side(told, fails("A", "B"))
    assert (missing.wanted, missing.venue) == ("buy 4 NQ at the market", "nothing")
    assert missing.client == "never answered; believes nothing of it"
    assert unknown.client == "said unknown; believes unknown"


def test_a_cancel_is_shown_with_what_it_cancels() -> None:
    cancel = Intent(0.1, "C", "cancel", of="A")
    rows = side_by_side(history(place("A"), order("o1", "A"), cancel, answer("C", "fail")), fails("C", "C"))
    assert [row.subject for row in rows] == ["A", "C"]
    assert (rows[1].wanted, rows[1].venue, rows[1].client[:13]) == ("cancel A", "see A", "said not done")


def test_a_finding_about_no_intent_shows_the_positions_that_differ() -> None:
    told = history(place("A"), order("o1", "A"), fill("o1"), believes(positions=(("NQ", "8"), ("ES", "0"))))
    rows = side_by_side(told, fails(""))
    assert Row("position NQ", "", "4", "8") in rows


def test_receipts_say_where_what_and_whether_it_took_effect() -> None:
    told = history(
        Struck(0.1, 1, "lost", "message", "POST /orders", "A", 2, "after", "Cut()"),
        Resolved(0.2, 1, "not_applied"),
        Struck(0.3, 2, "crash", "target", "*", "crash", 1, "tick", "Crash()"),
    )
    assert receipts(told) == (
        Receipt(0.1, "lost", "POST /orders [A] #2 after", "Cut()", "not applied"),
        Receipt(0.3, "crash", "by the clock", "Crash()", "unknown"),
    )

from __future__ import annotations

from decimal import Decimal

import pytest

from faultline.errors import HarnessError
from faultline.history import Contract, History
from faultline.history.event import Answer, Belief, Boot, Contracted, Effect, Event, Intent, OrderBelief
from faultline.history.ledger import amount


def ledger(*events: Event):
    return History([Contracted(0.0, Contract("v"), 0), *events]).ledger


def effect(t, what, order, after, intent=None, **fields):
    return Effect(t, 0, what, order, intent, "key" if intent else "", "", after, symbol="NQ", side="buy", **fields)


def view(*orders, incarnation=1, t=5.0, final=False, **fields):
    return Belief(t, incarnation, tuple(OrderBelief(*order) for order in orders), final=final, **fields)


def test_orders_are_folded_to_where_they_stand():
    folded = ledger(
        effect(1.0, "order", "o1", "new", "I1", quantity="4", request=7),
        effect(2.0, "fill", "o1", "partially_filled", quantity="1", filled="1", fill="f1"),
        effect(3.0, "replace", "o1", "partially_filled", quantity="3", filled="1"),
        effect(4.0, "fill", "o1", "filled", quantity="2", filled="3", fill="f2"),
    )
    order = folded.orders["o1"]

    assert (order.state, order.quantity, order.filled) == ("filled", Decimal(3), Decimal(3))
    assert (order.accepted_t, order.ended_t, order.request, order.terminal) == (1.0, 4.0, 7, True)
    assert [fill.fill for fill in order.fills] == ["f1", "f2"]
    assert [change.t for change in order.replaced] == [3.0]
    assert folded.orders_of("I1") == [order]
    assert folded.unattributed == []  # a fill is tied through its order


def test_effects_that_cannot_be_tied_are_kept_apart():
    folded = ledger(
        effect(1.0, "order", "o1", "new", quantity="4"),
        effect(2.0, "fill", "o1", "filled", quantity="4", filled="4", fill="f1"),
        effect(3.0, "reject", "", "rejected"),
    )

    assert [loose.what for loose in folded.unattributed] == ["order", "fill", "reject"]
    assert folded.by_intent == {}


def test_refusals_are_kept_by_intent():
    assert list(ledger(effect(1.0, "reject", "o1", "rejected", "I1")).rejects) == ["I1"]


def test_an_order_that_replaces_another_belongs_to_both_intents():
    folded = ledger(
        Intent(0.0, "I1", "place"),
        Intent(1.0, "I2", "replace", of="I1"),
        Intent(2.0, "I3", "replace", of="I2"),
        effect(0.5, "order", "o1", "new", "I1", quantity="4"),
        effect(1.5, "order", "o2", "new", "I2", quantity="4"),
        effect(2.5, "order", "o3", "new", "I3", quantity="4"),
    )

    assert folded.root("I3") == "I1"
    assert [order.order for order in folded.orders_of("I1")] == ["o1", "o2", "o3"]
    assert [order.order for order in folded.orders_of("I2")] == ["o2"]
    assert [order.order for order in folded.by_intent["I1"]] == ["o1"]


def test_an_intent_asked_again_counts_from_the_first_time():
    assert ledger(Intent(1.0, "I1", "place"), Intent(9.0, "I1", "place")).intents["I1"].t == 1.0


def test_first_last_and_kept_answers_are_told_apart():
    folded = ledger(Answer(1.0, "I1", "info", 1), Answer(2.0, "I1", "ok", 1), Answer(3.0, "I1", "fail", 1))

    assert folded.answers_first["I1"].outcome == "info"
    assert folded.answers["I1"].outcome == "fail"
    assert folded.oks["I1"].t == 2.0


def test_the_last_process_replaces_the_view_of_the_one_before():
    folded = ledger(
        Boot(0.0, 1),
        view(("I1", "new"), fills=("f1", "f1"), positions=(("NQ", "4"),)),
        Boot(6.0, 2),
        view(("I2", "new"), incarnation=2, t=7.0, fills=("f1",), final=True),
    )

    assert set(folded.beliefs) == {"I2"}
    assert (folded.applied, folded.positions) == ({"f1": 1}, {})
    assert [(again.fill, again.incarnation) for again in folded.reapplied] == [("f1", 1)]
    assert folded.final is not None


def test_a_process_that_never_spoke_believes_nothing():
    folded = ledger(Boot(0.0, 1), view(("I1", "new"), final=True), Boot(6.0, 2))

    assert (folded.beliefs, folded.final) == ({}, None)


def test_the_last_belief_closes_the_view_of_a_client_that_nobody_booted():
    assert ledger(view(("I1", "new"))).final is not None
    assert ledger(Boot(0.0, 1), view(("I1", "new"))).final is None


def test_what_is_let_go_after_its_end_is_remembered_and_what_is_let_go_before_is_not():
    folded = ledger(view(("I1", "filled", "4"), ("I2", "new")), view(("I1", "absent"), ("I2", "absent")))

    assert folded.view_of("I1") == OrderBelief("I1", "filled", "4")
    assert folded.view_of("I2") is None
    assert folded.view_of("I3") is None


@pytest.mark.parametrize(
    ("belief", "tells"),
    [
        (view(), (True, True, True)),
        (view(("I1", "filled", "4")), (True, False, False)),
        (view(("I1", "new")), (True, True, True)),
        (view(fills=("f1",)), (False, False, True)),
        (view(("I1", "filled", "4"), fills=("f1",), positions=(("NQ", "4"),)), (True, True, True)),
    ],
)
def test_a_client_is_only_held_to_what_it_speaks_of(belief, tells):
    folded = ledger(belief)

    assert (folded.tells_orders, folded.tells_positions, folded.tells_fills) == tells


def test_positions_are_the_signed_sum_of_fills():
    sell = Effect(
        3.0, 0, "fill", "o2", "I2", "order", "new", "filled", symbol="NQ", side="sell", quantity="5", fill="f2"
    )
    folded = ledger(effect(2.0, "fill", "o1", "filled", quantity="4.5", filled="4.5", fill="f1"), sell)

    assert folded.true_positions() == {"NQ": Decimal("-0.5")}


@pytest.mark.parametrize("text", ["", "four", "NaN", "Infinity"])
def test_an_amount_that_is_no_number_is_refused(text):
    with pytest.raises(HarnessError, match="decimal number"):
        amount(text)

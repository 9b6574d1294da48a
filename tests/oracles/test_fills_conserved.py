from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.errors import HarnessError
from faultline.history import History
from faultline.history.event import Effect
from faultline.oracles import FillsConserved


def judge(story):
    return FillsConserved().judge(story.end())


def altered(history, index, **changes):
    """The history with one effect changed, counted from the first effect."""
    events = list(history)
    positions = [at for at, event in enumerate(events) if isinstance(event, Effect)]
    events[positions[index]] = msgspec.structs.replace(events[positions[index]], **changes)
    return History(events)


def test_quantities_that_add_up_pass(story):
    verdict = judge(story.good_order(1).good_order(2))

    assert verdict.verdict == "pass"
    assert verdict.why == "4 fills of 2 orders add up"


def test_a_cumulative_quantity_that_is_not_the_sum_is_the_venues_fault(story):
    verdict = FillsConserved().judge(altered(story.good_order(1).end(), 2, quantity="2"))

    assert verdict.verdict == "fail"
    assert verdict.why.startswith("the venue's ledger does not add up: the fills of order o1 come to 3 with f1b, but")


def test_an_order_filled_beyond_its_size_is_the_venues_fault(story):
    story.place("I1").order("o1", "I1").fill("o1", "3", "f1").fill("o1", "3", "f2")

    verdict = judge(story.believe("I1 filled 6", fills=["f1", "f2"], positions={"NQ": 6}))

    assert verdict.why == "the venue's ledger does not add up: order o1 of 4 has 6 filled with f2"


def test_an_order_called_filled_too_early_is_the_venues_fault(story):
    verdict = FillsConserved().judge(altered(story.good_order(1).end(), 1, after="filled"))

    assert "order o1 counts as filled at 1 of 4" in verdict.why


def test_a_fill_id_used_twice_is_the_venues_fault(story):
    story.place("I1").order("o1", "I1").fill("o1", "2", "f1").fill("o1", "2", "f1")

    assert "fill f1 of order o1 is there twice" in judge(story).why


def test_a_fill_of_an_order_that_never_was_is_the_venues_fault(story):
    events = [event for event in story.good_order(1).end() if getattr(event, "what", "") != "order"]

    assert "is of order o1, which was never accepted" in FillsConserved().judge(History(events)).why


def test_a_fill_of_nothing_is_the_venues_fault(story):
    assert "has quantity 0" in judge(story.place("I1").order("o1", "I1").fill("o1", "0")).why


def test_a_replace_changes_what_an_order_can_take(story):
    story.place("I1").order("o1", "I1").fill("o1", "1", "f1").replaced("o1", "6").fill("o1", "5", "f2")

    assert judge(story.believe("I1 filled 6", fills=["f1", "f2"], positions={"NQ": 6})).verdict == "pass"


def test_a_client_that_counts_a_fill_twice_is_at_fault(story):
    story.place("I1").order("o1", "I1").fill("o1", "2", "f1")
    story.believe("I1 partially_filled 4", fills=["f1", "f1"], positions={"NQ": 4})

    verdict = judge(story)

    assert [finding.what for finding in verdict.findings] == [
        "the client believes 4 filled of intent I1 (buy 4 NQ at 100.25), but the fills it applied come to 2",
        "the client believes a position of 4 NQ, but the fills it applied come to 2",
    ]


def test_a_repeated_fill_that_was_counted_once_is_conserved(story):
    story.place("I1").order("o1", "I1").fill("o1", "2", "f1")
    story.believe("I1 partially_filled 2", fills=["f1", "f1"], positions={"NQ": 2})

    assert judge(story).verdict == "pass"


def test_sells_count_against_the_position(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").place("I2", side="sell")
    story.order("o2", "I2", side="sell").fill("o2", "4", "f2")

    assert judge(story.believe("I1 filled 4", "I2 filled 4", fills=["f1", "f2"], positions={"NQ": 0})).verdict == "pass"


def test_decimals_are_exact(story):
    story.place("I1", "0.3").order("o1", "I1", "0.3").fill("o1", "0.1", "f1").fill("o1", "0.2", "f2")
    story.believe("I1 filled 0.3", fills=["f1", "f2"], positions={"NQ": "0.3"})
    assert judge(story).verdict == "pass"


def test_a_sum_of_floats_is_not_conserved(story):
    story.place("I1", "0.3").order("o1", "I1", "0.3").fill("o1", "0.1", "f1").fill("o1", "0.2", "f2")
    story.believe(f"I1 filled {0.1 + 0.2}", fills=["f1", "f2"], positions={"NQ": "0.30"})

    assert judge(story).count == 1


def test_a_client_that_tells_no_positions_is_judged_by_its_orders(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").believe("I1 filled 4", fills=["f1"])

    assert judge(story).verdict == "pass"


def test_only_the_end_counts_for_the_client(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").believe("I1 filled 4").believe(fills=["f1"])

    assert judge(story.believe(positions={"NQ": 4})).verdict == "pass"


def test_orders_that_belong_to_nobody_make_the_clients_side_unknown(story):
    story.order("o1", None).fill("o1", "4", "f1").believe("I1 filled 4", fills=["f1"], positions={"NQ": 4})

    assert judge(story.place("I1")).verdict == "unknown"


def test_without_fills_it_judged_nothing(story):
    assert judge(story.place("I1").order("o1", "I1")).judged == 0


def test_a_quantity_that_is_no_number_is_an_error_that_says_so(story):
    story.place("I1").order("o1", "I1").believe("I1 new NaN")

    with pytest.raises(HarnessError, match="'NaN' where a decimal number is due"):
        judge(story)


amounts = st.decimals("0.00000001", "1000", places=8)


@given(parts=st.lists(amounts, min_size=1, max_size=6), side=st.sampled_from(["buy", "sell"]), wrong=st.booleans())
def test_any_split_of_an_order_is_conserved_and_any_other_sum_is_not(new_story, parts, side, wrong):
    total = sum(parts, Decimal(0))
    story = new_story().place("I1", str(total), side=side).order("o1", "I1", str(total), side)
    for number, part in enumerate(parts):
        story.fill("o1", str(part), f"f{number}")
    believed = total + (Decimal("0.00000001") if wrong else 0)
    fills = [f"f{number}" for number in range(len(parts))]
    story.believe(f"I1 filled {believed}", fills=fills, positions={"NQ": believed if side == "buy" else -believed})

    assert judge(story).count == (2 if wrong else 0)


def test_a_fill_that_never_was_counts_for_nothing_here(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1")
    story.believe("I1 filled 4", fills=["f1", "f99"], positions={"NQ": 4})

    assert judge(story).verdict == "pass"


def test_without_a_final_belief_the_clients_side_is_unknown(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f1").believe("I1 filled 4", fills=["f1"])

    assert FillsConserved().judge(story.history()).verdict == "unknown"


def test_a_client_that_nobody_reads_is_judged_by_the_ledger_alone(new_story):
    story = new_story(booted=False).place("I1").order("o1", "I1").fill("o1", "4", "f1")

    assert FillsConserved().judge(story.history()).verdict == "pass"


def test_only_orders_are_asked_for_their_fills(story):
    story.good_order(1).cancel("C1", of="I1").believe("C1 filled 4", "X9 filled 4")

    assert judge(story).verdict == "pass"


def test_the_finding_names_the_intent(story):
    story.place("I1").order("o1", "I1").fill("o1", "5", "f1")

    assert judge(story).findings[0].intent == "I1"

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.oracles import NoDuplicates


def judge(story):
    return NoDuplicates().judge(story.end())


def test_one_order_per_intent_passes(story):
    verdict = judge(story.good_order(1).good_order(2))

    assert verdict.verdict == "pass"
    assert verdict.why == "2 intents with one order each"


def test_a_second_order_names_the_intent_and_both_orders(story):
    story.place("I7").at(3.12).order("o12", "I7").at(3.92).order("o15", "I7")

    verdict = judge(story)

    assert verdict.verdict == "fail"
    assert verdict.why == "intent I7 (buy 4 NQ at 100.25) became 2 orders (o12 at 3.120 s, o15 at 3.920 s)"
    assert verdict.findings[0].intent == "I7"
    assert verdict.findings[0].t == 3.92


def test_two_equal_intents_are_not_duplicates(story):
    story.place("I1").place("I2").order("o1", "I1").order("o2", "I2")

    assert judge(story).verdict == "pass"


def test_a_replace_that_keeps_the_order_is_no_duplicate(story):
    story.place("I1").order("o1", "I1").replace("I2", of="I1").replaced("o1", by="I2")

    assert judge(story).verdict == "pass"


def test_a_replace_that_a_venue_books_as_a_new_order_is_no_duplicate(story):
    story.place("I1").order("o1", "I1").replace("I2", of="I1").cancelled("o1").order("o2", "I2")

    assert judge(story).verdict == "pass"


def test_an_order_that_ended_before_the_second_still_counts(story):
    story.place("I1").order("o1", "I1").fill("o1", "4").order("o2", "I1")

    assert judge(story).verdict == "fail"


@pytest.mark.parametrize("took_s", [0.0, 0.3])
def test_a_copy_that_faultline_made_is_named_as_the_cause(story, took_s):
    story.place("I1")
    story.at(1.0)
    first = story.request(entity="I1", arrives=1.0)
    story.order("o1", "I1", request=first)
    copy = story.request(entity="I1", arrives=2.0, injected=True, retry_of=first)
    # In real time a venue's answer to the copy comes later than the copy.
    story.at(2.0 + took_s).order("o2", "I1", request=copy)

    why = judge(story).why
    assert "o2 at" in why
    assert why.count("from a copy that faultline made") == 1
    assert why.endswith("s from a copy that faultline made)")


def test_a_retry_at_the_time_of_a_copy_is_not_taken_for_it(story):
    story.place("I1").at(1.0)
    first, _, retry = (story.request(entity="I1", arrives=1.0, injected=made) for made in (False, True, False))
    story.order("o1", "I1", request=first).order("o2", "I1", request=retry)

    assert "became 2 orders" in judge(story).why
    assert "from a copy" not in judge(story).why


def test_a_fill_applied_twice_by_one_process_is_a_duplicate(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f9").believe("I1 filled 4", fills=["f9"]).at(5.0)

    verdict = judge(story.believe(fills=["f9"]))

    assert verdict.verdict == "fail"
    assert verdict.why == ("the client applied fill f9 of order o1 for intent I1 (buy 4 NQ at 100.25) again at 5.000 s")


def test_a_new_process_that_tells_its_whole_view_anew_applied_nothing_twice(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f9").believe("I1 filled 4", fills=["f9"])
    story.crash().boot().believe("I1 filled 4", fills=["f9"])

    assert judge(story).verdict == "pass"


def test_a_fill_applied_twice_before_a_crash_is_still_a_duplicate(story):
    story.place("I1").order("o1", "I1").fill("o1", "4", "f9").believe("I1 filled 4", fills=["f9", "f9"])
    story.crash().boot().believe("I1 filled 4", fills=["f9"])

    assert judge(story).verdict == "fail"


def test_an_order_that_belongs_to_nobody_makes_it_unknown(story):
    verdict = judge(story.good_order(1).at(2.0).order("o9", None))

    assert verdict.verdict == "unknown"
    assert "order o9 at 2.000 s" in verdict.why


def test_a_certain_duplicate_is_one_whatever_else_is_unattributed(story):
    story.place("I1").order("o1", "I1").order("o2", "I1").order("o9", None)

    assert judge(story).verdict == "fail"


def test_a_refusal_that_belongs_to_nobody_does_not_matter(story):
    assert judge(story.good_order(1).rejected(None)).verdict == "pass"


def test_without_orders_it_judged_nothing(story):
    verdict = judge(story.place("I1"))

    assert (verdict.verdict, verdict.judged) == ("unknown", 0)


@given(
    accepted=st.lists(st.sampled_from(["I1", "I2", "I3"]), max_size=8),
    applied=st.lists(st.tuples(st.integers(1, 2), st.sampled_from(["f1", "f2"])), max_size=8),
)
def test_it_agrees_with_counting(new_story, accepted, applied):
    story = (
        new_story().place("I1").place("I2").place("I3").order("o0", "I1").fill("o0", "1", "f1").fill("o0", "1", "f2")
    )
    for number, intent in enumerate(accepted, start=1):
        story.order(f"o{number}", intent)
    for incarnation, fill in sorted(applied):
        if incarnation > story.incarnation:
            story.crash().boot()
        story.believe(fills=[fill])

    verdict = judge(story)

    orders = Counter([*accepted, "I1"])
    twice = sum(count - 1 for count in Counter(applied).values())
    assert verdict.count == sum(count > 1 for count in orders.values()) + twice
    assert verdict.verdict == ("fail" if verdict.count else "pass")


def test_an_intent_that_was_never_announced_is_named_by_its_id(story):
    assert judge(story.order("o1", "X9").order("o2", "X9")).why.startswith("intent X9 became 2 orders")

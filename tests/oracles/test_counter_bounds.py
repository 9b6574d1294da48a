from __future__ import annotations

from faultline.oracles import CounterBounds


def judge(story):
    return CounterBounds().judge(story.end())


def test_what_was_filled_and_told_is_within_bounds(story):
    result = judge(story.good_order(1))

    assert (result.verdict, result.judged) == ("pass", 5)


def test_a_position_of_any_part_of_the_fills_is_within_bounds(story):
    story.place("I1").order("o1", None).place("I2", side="sell").order("o2", None, side="sell")
    story.fill("o1", "1", "f1").fill("o1", "3", "f2").fill("o2", "4", "f3")

    for position in ("4", "3", "-4", "0", "-1"):  # f2 before f1; only what was sold; all; f1 and f3
        story.believe(positions={"NQ": position})

    assert judge(story).verdict == "pass"


def test_a_position_larger_than_all_that_was_bought_is_seen_though_nothing_can_be_tied(story):
    story.place("I1").order("o1", None).fill("o1", "4", "f1").believe(positions={"NQ": 8})

    result = judge(story)

    assert result.verdict == "fail"
    assert result.why.endswith("the client believed a position of 8 NQ, when only 4 had been bought and 0 sold")


def test_a_position_below_all_that_was_sold_is_seen(story):
    story.place("I1", side="sell").order("o1", None, side="sell").fill("o1", "4").believe(positions={"NQ": -5})

    assert judge(story).verdict == "fail"


def test_a_position_before_its_fill_is_seen(story):
    story.place("I1").order("o1", "I1").believe(positions={"NQ": 4}).fill("o1", "4")

    assert judge(story).verdict == "fail"


def test_more_filled_than_asked_is_seen_and_told_once(story):
    story.place("I1").believe("I1 new 0").believe("I1 filled 5").believe("I1 filled 6")

    result = judge(story)

    assert (result.verdict, result.count) == ("fail", 1)
    assert "5 filled of intent I1 (buy 4 NQ at 100.25), of which 4 was the most ever asked" in result.why


def test_less_than_nothing_filled_is_seen(story):
    assert judge(story.place("I1").believe("I1 new -1")).verdict == "fail"


def test_what_a_replacement_asked_is_asked(story):
    story.place("I1").order("o1", "I1").replace("R1", of="I1").believe("I1 filled 6")

    assert judge(story).verdict == "pass"


def test_the_size_of_a_replacement_that_was_not_asked_yet_is_not(story):
    story.place("I1").believe("I1 filled 6").replace("R1", of="I1")

    assert judge(story).verdict == "fail"


def test_an_intent_that_really_became_two_orders_may_be_believed_so(story):
    story.place("I1").order("o1", "I1").order("o2", "I1").fill("o1", "4").fill("o2", "4").believe("I1 filled 8")

    assert judge(story).verdict == "pass"


def test_nothing_counted_is_unknown(story):
    assert judge(story.place("I1").order("o1", "I1")).verdict == "unknown"

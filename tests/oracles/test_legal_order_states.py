from __future__ import annotations

import msgspec
import pytest

from faultline.history import History
from faultline.history.contract import ORDER_AUTOMATON
from faultline.history.event import Effect
from faultline.oracles import LegalOrderStates
from faultline.oracles.legal_order_states import reachable


def judge(story):
    return LegalOrderStates().judge(story.end())


def test_an_order_that_runs_its_course_passes(story):
    assert judge(story.good_order(1)).verdict == "pass"


def test_a_fill_after_a_cancel_is_the_venues_fault(story):
    story.place("I7").order("o12", "I7").cancelled("o12").at(4.2).fill("o12", "4", "f9")

    verdict = judge(story)

    assert verdict.verdict == "fail"
    assert verdict.why == (
        "the venue took order o12 for intent I7 (buy 4 NQ at 100.25) from canceled to filled with fill f9 at 4.200 s, "
        "which its contract forbids"
    )


def test_a_late_fill_is_legal_where_the_contract_says_so(new_story):
    story = new_story(automaton=(*ORDER_AUTOMATON, ("canceled", "filled"))).place("I1").order("o1", "I1")
    story.believe("I1 new").cancelled("o1").believe("I1 canceled").fill("o1", "4").believe("I1 filled 4")

    assert judge(story).verdict == "pass"


def test_a_venue_that_contradicts_itself_is_at_fault(story):
    events = list(story.good_order(1).end())
    last = max(at for at, event in enumerate(events) if isinstance(event, Effect))
    events[last] = msgspec.structs.replace(events[last], before="new")

    assert "though it said that it was new before" in LegalOrderStates().judge(History(events)).why


def test_a_replace_leaves_the_state_as_it_is(story):
    story.place("I1").order("o1", "I1").replaced("o1").fill("o1", "1").replaced("o1").fill("o1", "5")

    assert judge(story).verdict == "pass"


def test_a_replace_of_an_ended_order_is_the_venues_fault(story):
    assert judge(story.place("I1").order("o1", "I1").cancelled("o1").replaced("o1")).verdict == "fail"


def test_refusals_take_no_order_anywhere(story):
    story.place("I1").rejected("I1").place("I2").rejected("I2").place("I3").rejected("I3", "o3").good_order(4)

    assert judge(story).verdict == "pass"


def test_a_cancel_that_loses_the_race_against_a_fill_is_legal(story):
    story.place("I1").order("o1", "I1").believe("I1 new").believe("I1 pending_cancel")
    story.fill("o1", "4").believe("I1 filled 4")

    assert judge(story).verdict == "pass"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("filled 4", "new 4"),
        ("canceled 0", "new 0"),
        ("canceled 0", "filled 4"),
        ("rejected 0", "new 0"),
        ("filled 4", "unknown"),
        ("partially_filled 1", "new 1"),
        ("partially_filled 2", "partially_filled 1"),
    ],
)
def test_a_client_that_goes_back_is_at_fault(story, before, after):
    story.place("I1").order("o1", "I1").believe(f"I1 {before}").at(3.0)

    verdict = judge(story.believe(f"I1 {after}"))

    assert verdict.verdict == "fail"
    assert verdict.why.startswith("the client went back from ")
    assert verdict.why.endswith(" for intent I1 (buy 4 NQ at 100.25) at 3.000 s")


@pytest.mark.parametrize(
    "views",
    [
        ("pending", "new 0", "partially_filled 2", "filled 4"),
        ("new 0", "filled 4"),
        ("new 0", "unknown", "filled 4"),
        ("partially_filled 2", "unknown", "partially_filled 2"),
        ("new 0", "pending_cancel 0", "new 0"),
        ("pending_cancel 0", "partially_filled 2"),
        ("unknown", "rejected 0"),
        ("filled 4", "absent"),
        ("new 0", "pending", "new 0"),
        ("filled 4", "filled 4"),
    ],
)
def test_a_client_may_skip_states_and_may_be_unsure(story, views):
    story.place("I1").order("o1", "I1")
    for view in views:
        story.believe(f"I1 {view}")

    assert judge(story).verdict == "pass"


def test_a_new_process_starts_afresh(story):
    story.place("I1").order("o1", "I1").believe("I1 filled 4").crash().boot().believe("I1 new 0")

    assert judge(story).verdict == "pass"


def test_a_state_that_the_contract_does_not_have_is_the_clients_fault(story):
    verdict = judge(story.place("I1").order("o1", "I1").believe("I1 done"))

    assert "the client used the state 'done', which the contract does not have" in verdict.why


def test_without_orders_and_beliefs_it_judged_nothing(story):
    assert judge(story).verdict == "unknown"


def test_a_refused_change_leaves_the_order_as_it_is(story):
    story.place("I1").order("o1", "I1").cancel("C1", of="I1").rejected("C1", "o1").fill("o1", "4")

    assert judge(story).verdict == "pass"


def test_the_same_quantity_written_otherwise_is_no_step_back(story):
    story.place("I1").order("o1", "I1").believe("I1 partially_filled 1.0").believe("I1 partially_filled 1")

    assert judge(story).verdict == "pass"


def test_states_are_reachable_in_any_number_of_steps():
    after = reachable((("", "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("c", "b")))

    assert after["a"] == {"b", "c", "d"}
    assert after["b"] == {"b", "c", "d"}
    assert after["d"] == frozenset()


def test_the_finding_names_the_intent(story):
    story.place("I1").order("o1", "I1").cancelled("o1").fill("o1", "4")

    assert judge(story).findings[0].intent == "I1"


# What an old snapshot or an overtaken message does to newer state


def test_a_view_that_goes_back_by_way_of_not_knowing_is_seen(story):
    story.place("I1").order("o1", "I1").fill("o1", "2").believe("I1 partially_filled 2").believe("I1 unknown")

    result = LegalOrderStates().judge(story.believe("I1 partially_filled 1").end())

    assert (result.verdict, result.count) == ("fail", 1)
    assert "went back from 2 filled to 1" in result.why


def test_not_knowing_in_between_is_no_step_back(story):
    story.place("I1").order("o1", "I1").fill("o1", "2").believe("I1 partially_filled 2").believe("I1 unknown")

    assert LegalOrderStates().judge(story.believe("I1 partially_filled 2").end()).verdict == "pass"


def test_a_live_order_that_an_old_snapshot_took_away_for_a_while_is_seen(story):
    story.place("I1").order("o1", "I1").believe("I1 new").believe("I1 absent").believe("I1 new")

    result = LegalOrderStates().judge(story.end())

    assert result.verdict == "fail"
    assert "lost from its view at 0.040 s what it has again, and was live," in result.why


@pytest.mark.parametrize("why", ["stale", "cancelled by the caller", "ended", "another process", "never back"])
def test_an_order_may_leave_the_view_for_a_reason(story, why):
    story.place("I1").order("o1", "I1").believe("I1 new")
    if why == "cancelled by the caller":
        story.cancel("C1", of="I1")
    story.believe("I1 absent", stale=why == "stale")
    if why == "ended":
        story.cancelled("o1")
    if why == "another process":
        story.crash().boot()
    if why != "never back":
        story.believe("I1 new")

    assert LegalOrderStates().judge(story.end()).verdict == "pass"


def test_messages_of_one_order_applied_out_of_order_are_seen_and_those_of_two_are_not(story, new_story):
    story.place("I1").order("o1", "I1").place("I2").order("o2", "I2").fill("o1", "1").fill("o2", "1")
    story.believe("I2 partially_filled 1").believe("I1 partially_filled 1")
    back = new_story().place("I1").order("o1", "I1").fill("o1", "1").fill("o1", "3")
    back.believe("I1 filled 4").believe("I1 partially_filled 1")

    assert LegalOrderStates().judge(story.end()).verdict == "pass"
    assert LegalOrderStates().judge(back.end()).verdict == "fail"

"""Removing a fault from a real run leaves the faults of other intents where they were.

Without jitter nothing is left to chance but the decisions themselves. What a fault does to its own intent is its
effect: a response that is no longer lost takes the retry with it, and every fault that struck the retry.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from faultline.faults.deciders import Scheduled
from faultline.faults.points import Point
from faultline.faults.schedule import Schedule, ScheduledStrike
from faultline.plan import Plan, make_plan
from faultline.runner import Run, run
from faultline.scenario.load import loads
from faultline.targets import TargetRef

TARGETS = {"careful": "order_flow.py:OrderFlow", "naive": "naive_flow.py:NaiveFlow"}
HANDSHAKE_S = 0.005
"""A connection that was not reset need not be opened again, so requests of others may come this much earlier."""

SCENARIO = """
version: 1
name: some are lost
about: Requests and responses get lost, orders are filled in parts and messages are dropped.
target: none.py:None
venue: {profile: generic, idempotency: unique_while_pending}
workload: {orders: 12, rate: 20/s}
faults:
  - lost_response: {on: POST /orders, probability: 40%, during: [0s, 20s]}
  - lost_request: {on: POST /orders, probability: 15%, during: [0s, 20s]}
  - partial_fill: {probability: 30%}
  - drop_message: {on: stream user, probability: 10%, during: [0s, 20s]}
expect: [no_duplicates]
"""


@pytest.fixture(params=TARGETS)
def plan(request: pytest.FixtureRequest) -> Plan:
    (scenario,) = loads(SCENARIO)
    file = Path(__file__).parents[2] / "targets" / TARGETS[request.param]
    return make_plan(scenario, TargetRef(request.param, str(file)))


def strikes(done: Run) -> dict[tuple[str, Point], ScheduledStrike]:
    assert done.error is None, done.error
    entries = [entry for entry in done.schedule.entries if isinstance(entry, ScheduledStrike)]
    assert len(entries) == len(done.schedule)
    return {(entry.fault, entry.point): entry for entry in entries}


def times(done: Run) -> dict[tuple[str, str, str, int, str], float]:
    return {(each.fault, each.endpoint, each.entity, each.nth, each.phase): each.t for each in done.receipts}


def intent(point: Point) -> str:
    return point.entity.partition("/")[0]


def test_a_schedule_alone_repeats_the_run(plan: Plan) -> None:
    done = run(plan, 1)
    again = run(plan, 1, Scheduled(done.schedule, 1))
    assert len(done.schedule) > 8
    assert again.history.digest == done.history.digest


def test_removing_a_fault_moves_no_decision_about_another_intent(plan: Plan) -> None:
    done = run(plan, 1)
    struck, at = strikes(done), times(done)
    kept = moved = 0
    for gone in struck.values():
        rest = Schedule(tuple(entry for entry in done.schedule.entries if entry is not gone))
        without = run(plan, 1, Scheduled(rest, 1))
        after, then = strikes(without), times(without)
        for key, entry in struck.items():
            if intent(entry.point) == intent(gone.point):
                continue
            assert key in after, f"{entry} went with {gone}"
            assert after[key].action == entry.action
            place = (entry.fault, entry.point.endpoint, entry.point.entity, entry.point.nth, entry.point.phase)
            assert abs(then[place] - at[place]) < HANDSHAKE_S, f"{entry} came at another time without {gone}"
            kept += 1
            moved += then[place] != at[place]
    assert kept > 50
    assert moved / kept < 0.1

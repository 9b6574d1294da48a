"""Scenarios that name these profiles: a whole run of each with a careful and a careless client, and mistakes told."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultline.errors import FaultlineError, ScenarioError
from faultline.plan import make_plan
from faultline.runner import Run, run
from faultline.scenario.load import loads
from faultline.targets import TargetRef

CLIENTS = Path(__file__).parents[2] / "clients" / "profiles.py"

SCENARIO = """
name: lost answers
target: {target}
venue: {venue}
workload: {{orders: 8, rate: 4/s, order_type: {type}}}
faults:
  - lost_response: {{on: "{place}", probability: 50%, during: [0s, 10s]}}
  - status_storm: {{on: "{place}", first: 2}}
expect: [no_duplicates, no_lost_intent, no_lost_ack]
"""
CASES = {
    "projectx": ("ProjectX", "UntaggedProjectX", "limit", "POST /api/Order/place"),
    "payments": ("Payments", "RekeyingPayments", "market", "POST /v1/charges"),
}


def ran(venue: str, client: str, kind: str, place: str) -> Run:
    text = SCENARIO.format(target=f"{CLIENTS}:{client}", venue=venue, type=kind, place=place)
    (scenario,) = loads(text)
    ((name, spec),) = scenario.targets.items()
    return run(make_plan(scenario, TargetRef(name, spec)), 1)


@pytest.mark.parametrize("venue", CASES)
def test_a_key_that_survives_makes_a_retry_harmless_and_one_that_does_not_is_caught(venue: str) -> None:
    careful, careless, kind, place = CASES[venue]
    good, bad = (ran(venue, client, kind, place) for client in (careful, careless))
    assert {(verdict.verdict, verdict.judged > 0) for verdict in good.verdicts} == {("pass", True)}, good.verdicts
    assert [verdict.oracle for verdict in bad.verdicts if verdict.verdict == "fail"] == ["no_duplicates"]


MISTAKES = {
    "{profile: projectx, symbols: [nq]}": "3:37: venue: symbols are 1 to 8 upper-case letters",
    "{profile: projectx, duplicate_code: 0}": "3:44: venue: duplicate_code is an errorCode",
    "{profile: projectx, keepalive: 15}": "3:39: venue.keepalive: 15 has no unit",
    "{profile: projectx, acount: 2}": "3:28: unknown key 'acount' of venue; did you mean 'account'?",
    "{profile: payments, key_life: 0s}": "3:38: venue: key_life must be more than zero",
    "{profile: payments, fill_delay: 1s}": "3:28: unknown key 'fill_delay' of venue",
    "{profile: paymants}": "3:18: unknown venue profile 'paymants'; did you mean 'payments'?",
}


@pytest.mark.parametrize("venue", MISTAKES)
def test_a_mistake_in_the_settings_is_told_at_its_place(venue: str) -> None:
    text = f"name: x\ntarget: a.py:A\nvenue: {venue}\nexpect: [no_duplicates]\n"
    with pytest.raises(ScenarioError) as told:
        loads(text)
    assert MISTAKES[venue] in str(told.value)


def test_a_fault_that_no_payments_api_could_meet_is_refused() -> None:
    text = SCENARIO.format(target=f"{CLIENTS}:Payments", venue="payments", type="market", place="POST /v1/charges")
    (scenario,) = loads(text.replace('status_storm: {on: "POST /v1/charges", first: 2}', "disconnect"))
    ((name, spec),) = scenario.targets.items()
    with pytest.raises(FaultlineError, match="the payments venue has nothing that matches on"):
        make_plan(scenario, TargetRef(name, spec))

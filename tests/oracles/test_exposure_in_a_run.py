"""Kill and flatten, from a scenario's workload to the oracle that judges them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from faultline.errors import ScenarioError
from faultline.history.event import Gauge
from faultline.plan import make_plan
from faultline.runner import Run, run
from faultline.scenario.load import loads
from faultline.targets import TargetRef

TARGETS = Path(__file__).parents[2] / "targets"
NaiveFlow: Any = TargetRef("naive", f"{TARGETS}/naive_flow.py:NaiveFlow").load()


class Obedient(NaiveFlow):
    """Sends nothing once it was told to open nothing more."""

    killed = flattened = False

    async def kill(self, intent_id: str) -> str:
        self.killed = True
        return "accepted"

    async def flatten(self, intent_id: str) -> str:
        return "unknown"

    async def place(self, intent_id: str, **terms: str) -> str:
        return "rejected" if self.killed else await super().place(intent_id, **terms)


class Deaf(Obedient):
    """Says that it was killed, and goes on."""

    place = NaiveFlow.place


def killed_at_a_second(kind: str) -> Run:
    (scenario,) = loads(
        "version: 1\nname: killed\nabout: told to stop\ntarget: t.py:T\nvenue: {profile: generic}\nseeds: 1\n"
        "workload: {orders: 20, rate: 10/s, kill_at: 1050ms, flatten_at: 1500ms}\nfaults: []\n"
        "expect: [exposure_bounded, no_lost_intent, no_lost_ack]\n"
    )
    return run(make_plan(scenario, TargetRef("t", f"{__file__}:{kind}")), 0)


@pytest.mark.parametrize(("kind", "verdict"), [("Obedient", "pass"), ("Deaf", "fail")])
def test_a_client_that_goes_on_after_a_kill_is_told_from_one_that_does_not(kind, verdict):
    done = killed_at_a_second(kind)

    assert done.error is None
    assert not done.history.of(Gauge), "gauges are for oracles that ask for them; other histories stay as they are"
    assert {answer.intent: answer.outcome for answer in done.history.ledger.answers.values()}["Kill"] == "ok"
    assert [each.verdict for each in done.verdicts] == [verdict, "pass", "pass"]
    if verdict == "fail":
        # Which orders come after it does not depend on the seed; those that close what is held may go on.
        assert (
            "was sent at 1.101 s" in done.verdicts[0].why or "after a kill was answered ok at" in done.verdicts[0].why
        )


def test_a_client_without_the_methods_is_refused_before_anything_runs():
    (scenario,) = loads(
        "version: 1\nname: killed\nabout: told to stop\ntarget: t.py:T\nvenue: {profile: generic}\nseeds: 1\n"
        "workload: {kill_at: 1s}\nfaults: []\nexpect: [exposure_bounded]\n"
    )
    with pytest.raises(ScenarioError, match="kill intents"):
        make_plan(scenario, TargetRef("t", f"{TARGETS}/naive_flow.py:NaiveFlow"))

"""``always`` and ``sometimes``: in a session, in a client under a scenario, and where nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import faultline as fl
from faultline.history.event import Claimed
from faultline.inline import VIOLATIONS_MAX, Claims, recording


def test_where_nothing_runs_they_only_answer() -> None:
    assert (fl.always(1, "it holds"), fl.always([], "it does not")) == (True, False)
    assert (fl.sometimes(0, "never"), fl.sometimes("x", "now")) == (False, True)


def test_in_a_session_a_claim_that_does_not_hold_is_a_finding_with_time_and_place() -> None:
    async def main() -> None:
        for second in range(200):
            await session.run_until(second)
            fl.always(second < 3, "time stands still")
            fl.always(second >= 0, "time goes on")
            fl.sometimes(second == 7, "it is seven")
            fl.sometimes(second < 0, "it is before")

    session = fl.Session()
    session.run(main)
    with pytest.raises(fl.CheckFailed) as raised:
        session.check()
    (verdict,) = raised.value.verdicts  # what never held is for all runs together to say
    assert (verdict.oracle, verdict.verdict, verdict.count) == ("always: time stands still", "fail", VIOLATIONS_MAX)
    assert verdict.why.startswith("did not hold at test_inline.py:")
    assert verdict.findings[0].t == pytest.approx(3)
    assert len(session.history.of(Claimed)) == VIOLATIONS_MAX + 1 + 1 + 2 + 1


TARGET = """
import faultline as fl
from targets.order_flow import OrderFlow

class Claiming(OrderFlow):
    async def place(self, intent_id, **order):
        fl.sometimes(intent_id == "I2", "the second order comes by")
        fl.sometimes(intent_id == "I9", "the ninth order comes by")
        fl.always(intent_id != {forbidden!r}, "that order never comes by")
        return await super().place(intent_id, **order)
"""

SCENARIO = """
version: 1
name: claims are judged
target: claiming.py:Claiming
venue: generic
seeds: 2
workload: {orders: 3}
faults: [lost_response: {on: POST /orders, probability: 60%, during: [0s, 5s]}]
expect: [no_duplicates]
"""


def campaign(folder: Path, forbidden: str) -> fl.Campaign:
    folder.mkdir()
    folder.joinpath("claiming.py").write_text(TARGET.format(forbidden=forbidden))
    folder.joinpath("claims.yaml").write_text(SCENARIO)
    return fl.run_all(folder / "claims.yaml", folder=folder / "saved")


def test_in_a_scenario_they_are_oracles_of_their_own(tmp_path: Path) -> None:
    (result,) = campaign(tmp_path / "never", "").results
    assert result.status == "inconclusive"
    (doubt,) = result.doubts
    assert doubt.startswith("sometimes: the ninth order comes by judged nothing in 2 runs: it never held (asked at cla")

    (result,) = campaign(tmp_path / "second", "I2").results
    assert result.status == "fail"
    assert set(result.unexpected) == {"always: that order never comes by"}
    (failure,) = result.failures
    assert failure.faults_left == 0
    assert failure.findings[0].startswith("did not hold at claiming.py:")
    assert Path(failure.history_path).is_file()
    again = fl.History.load(failure.history_path)
    assert [claim.what for claim in again.of(Claimed) if not claim.held and claim.rule == "always"]


def test_the_dead_claim_nothing() -> None:
    dead = [False]
    history = fl.History()
    claims = Claims(history, lambda: 1.0, lambda: dead[0])
    with recording(claims):
        fl.always(False, "said while it lived")
        dead[0] = True
        fl.always(False, "said in the void")
    fl.always(False, "said after the run")
    assert [claim.what for claim in history.of(Claimed)] == ["said while it lived"]

"""Live runs in campaigns and from the command line: which world is chosen, and what not repeating means."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faultline.campaign import work
from faultline.campaign.model import Case
from faultline.campaign.replay import replay
from faultline.cli import main
from faultline.faults import LostResponse
from faultline.oracles import NoDuplicates
from faultline.plan import Plan

from ...playing import NAIVE

FAILS = LostResponse(on="POST /orders", nth=1)


@pytest.fixture
def failing(live: Callable[..., Plan]) -> Case:
    plan = live(FAILS, target=NAIVE, expect=[NoDuplicates()])
    return Case(plan.scenario, plan.target, (0,))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of the runs that were made."""
    made: list[int] = []
    real = work.run

    def counted(plan: Plan, seed: int, *args: Any, **kwargs: Any) -> Any:
        made.append(seed)
        return real(plan, seed, *args, **kwargs)

    monkeypatch.setattr(work, "run", counted)
    return made


def test_a_failing_live_run_is_not_run_twice_to_see_whether_it_repeats(failing: Case, runs: list[int]) -> None:
    (record,) = work.run_seeds(failing, (0,), False, False)
    assert record.failed == ("no_duplicates",)
    assert record.difference is None
    assert runs == [0]


def test_a_live_failure_is_met_again_and_saved_and_not_shrunk(failing: Case, runs: list[int], tmp_path: Path) -> None:
    (record,) = work.run_seeds(failing, (0,), False, False)
    failure = work.explain(failing, record, "no_duplicates", tmp_path)
    assert runs == [0, 0]
    assert not failure.repeatable
    assert failure.replays == 0
    assert failure.difference is None
    assert failure.findings
    saved = json.loads(Path(failure.schedule_path).read_text())
    assert saved["meta"]["world"] == "live"
    assert "history_hash" not in saved["meta"]
    assert Path(failure.history_path).stat().st_size


def test_a_live_failure_that_is_not_met_again_keeps_what_the_first_run_showed(
    failing: Case, runs: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = work.run_seeds(failing, (0,), False, False)
    good = work.run

    def peaceful(plan: Plan, seed: int, **kwargs: Any) -> Any:
        return good(replace(plan, scenario=replace(plan.scenario, faults=())), seed, **kwargs)

    monkeypatch.setattr(work, "run", peaceful)
    failure = work.explain(failing, record, "no_duplicates", tmp_path)
    assert not failure.repeatable
    assert failure.findings == tuple(finding.what for finding in record.verdicts[0].findings[:2])
    assert failure.schedule_path == ""


SCENARIO = f"""\
name: a lost answer
target: {NAIVE}
venue: generic
seeds: 1
workload: {{orders: 3, rate: 10/s, linger: 2s}}
faults:
  - {{fault}}
expect: [no_duplicates]
"""


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.chdir(tmp_path)

    def write(fault: str) -> Path:
        path = tmp_path / "s.yaml"
        path.write_text(SCENARIO.replace("{fault}", fault))
        return path

    return write


def faultline(*args: object) -> int:
    return main([str(arg) for arg in args])


def test_the_command_line_chooses_the_world_and_a_replay_remembers_it(
    scenario: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scenario("lost_response: {on: POST /orders, nth: 1}")
    assert faultline("run", path, "--world", "live") == 1
    told = capsys.readouterr().out
    assert "do not repeat" in told
    assert "another way" not in told
    (saved,) = (tmp_path / ".faultline").glob("*-live-*.json")
    done = replay(saved)
    assert done.case.scenario.world == "live"
    assert done.repeats is None
    assert done.record.failed == ("no_duplicates",)


def test_what_the_chosen_world_cannot_carry_is_refused_with_its_place(
    scenario: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = scenario("crash: {at: 1s}")
    assert faultline("run", path, "--dry-run") == 0
    assert faultline("run", path, "--world", "live", "--dry-run") == 2
    assert f"{path}:7:5: crash: the live world cannot" in capsys.readouterr().err


def test_an_unknown_world_is_refused(scenario: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert faultline("run", scenario("crash: {at: 1s}"), "--world", "life") == 2
    assert "did you mean 'live'" in capsys.readouterr().err

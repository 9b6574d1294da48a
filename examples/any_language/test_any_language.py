"""The clients of this folder, run as their scenarios say: each is killed, stopped and asked again, and trades once."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from faultline.history.event import Boot
from faultline.plan import make_plan
from faultline.runner import run
from faultline.scenario import load_scenarios

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "any-language.md").read_text()
LANGUAGES = {"bash": "client.sh", "js": "client.mjs"}


@pytest.fixture(autouse=True)
def short_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultline.runner.TAIL_MIN_S", 1.5)
    monkeypatch.setattr("faultline.stage.STILL_S", 1.5)


@pytest.mark.parametrize(
    ("name", "target", "needed", "boots"),
    [
        ("shell", "default", ("bash", "curl"), 2),
        ("node", "default", ("node",), 3),
        ("python", "careful", (), 3),
        ("python", "naive", (), 3),
    ],
)
def test_it_is_killed_and_stopped_and_trades_once(name: str, target: str, needed: tuple[str, ...], boots: int) -> None:
    for program in needed:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    (scenario,) = load_scenarios(HERE / "scenarios" / f"{name}.yaml")
    done = run(make_plan(scenario, scenario.target(target)), 0)
    assert done.error is None, done.error
    known = scenario.expectation(target)
    verdicts = {verdict.oracle: verdict for verdict in done.verdicts if verdict.oracle not in known.may_fail}
    wrong = {oracle: verdict.why for oracle, verdict in verdicts.items() if verdict.verdict != "pass"}
    assert set(wrong) == set(known.fails), wrong
    struck = {receipt.fault.partition("#")[0] for receipt in done.receipts}
    assert struck == {fault.kind for fault in scenario.faults}
    assert len(done.history.of(Boot)) == boots


def test_what_the_page_shows_is_in_the_files_that_run() -> None:
    shown = re.findall(r"^```(bash|js)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in shown} == set(LANGUAGES)
    for language, code in shown:
        assert code in (HERE / LANGUAGES[language]).read_text()

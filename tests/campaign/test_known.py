"""Failures that are known: let pass until their last day, and told of when they are not there any more."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

import faultline as fl
from faultline.campaign import known
from faultline.cli.app import invoke
from faultline.errors import UsageError

ROOT = Path(__file__).parent.parent.parent
TODAY = datetime.date(2026, 6, 15)

SCENARIO = """
version: 1
name: orders survive lost responses
targets: {{careful: "{root}/targets/order_flow.py:OrderFlow", naive: "{root}/targets/naive_flow.py:NaiveFlow"}}
venue: {{profile: generic, idempotency: unique_forever}}
seeds: 2
workload: {{orders: 4}}
faults: [lost_response: {{on: POST /orders, probability: 50%, during: [0s, 5s]}}]
expect: [no_duplicates]
"""

ENTRY = (
    '[[{table}known-failures]]\noracle = "{oracle}"\ntarget = "{target}"\nreason = "ticket 7"\nexpires = {expires}\n'
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.joinpath("lost.yaml").write_text(SCENARIO.format(root=ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def entry(target: str, expires: str, oracle: str = "no_duplicates", table: str = "tool.faultline.") -> str:
    return ENTRY.format(target=target, expires=expires, oracle=oracle, table=table)


def run(here: Path, config: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    here.joinpath("pyproject.toml").write_text(config)
    code = invoke(["run", "lost.yaml", "-q"])
    return code, capsys.readouterr().err


def test_a_known_failure_passes_until_its_last_day_and_one_that_does_not_happen_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far, gone = "9999-01-01", "2020-01-01"
    assert run(here, "", capsys)[0] == 1
    code, told = run(here, entry("naive", far) + entry("careful", far) + entry("reckless", far), capsys)
    assert code == 0
    assert f"known failure until {far}: orders survive lost responses · naive · no_duplicates under 2 of 2 s" in told
    assert "known failure did not happen, take it out of the list: no_duplicates of '*', target 'careful'" in told
    assert "known failure fits nothing that ran: no_duplicates of '*', target 'reckless' (ticket 7)" in told

    code, told = run(here, entry("*:NaiveFlow", gone) + entry("careful", gone), capsys)
    assert code == 1
    assert f"known failure expired on {gone}, and it still fails: no_duplicates" in told
    assert f"known failure expired on {gone}, and it fails no more: take it out of the list" in told

    here.joinpath("known.toml").write_text(entry("naive", far, table=""))
    assert run(here, '[tool.faultline]\nknown_failures = "known.toml"', capsys)[0] == 0
    assert [result.status for result in fl.run_all("lost.yaml").results] == ["pass", "pass"]
    assert run(here, entry("naive", far, "no_loss"), capsys)[0] == 1


def test_the_last_day_still_counts(here: Path) -> None:
    here.joinpath("pyproject.toml").write_text(entry("naive", "2026-06-15"))
    (failure,) = known.read(here / "pyproject.toml", TODAY).failures
    assert failure.expires == TODAY
    assert known.KnownFailures((failure,), TODAY)._valid(failure)
    assert not known.KnownFailures((failure,), TODAY + datetime.timedelta(1))._valid(failure)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('[[tool.faultline.known-failures]]\noracle = "no_loss"', "missing required field `reason`"),
        (entry("naive", '"soon"'), "Invalid RFC3339"),
        (entry("naive", "2026-01-01") + "colour = 1", "contains unknown field `colour`"),
        ('[tool.faultline]\nknown-failures = "other.toml"', "names other.toml, and there is no such file"),
        ("[tool", "pyproject.toml: "),
    ],
)
def test_a_list_that_cannot_be_read_says_what_is_wrong(here: Path, config: str, said: str) -> None:
    here.joinpath("pyproject.toml").write_text(config)
    with pytest.raises(UsageError, match=said):
        known.read(here / "pyproject.toml", TODAY)


def test_where_there_is_no_file_nothing_is_known(here: Path) -> None:
    assert known.read(here / "pyproject.toml", TODAY).failures == ()

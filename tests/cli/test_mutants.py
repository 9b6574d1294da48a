"""``faultline mutants`` with a table of somebody else's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Done

Cli = Callable[..., Done]

TABLE = """
from faultline.mutants import Mutant
from targets.mutants import retry

def changes_nothing(patch):
    '''Changes nothing.'''

MUTANTS = [
    Mutant("A1", "Retry", retry.does_not_wait, "witness.yaml", ("backoff",)),
    Mutant("A2", "Other", changes_nothing, "witness.yaml", ("backoff",), note="it is the client as it is"),
]
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(tmp_path)
    witness = (ROOT / "targets" / "mutants" / "witnesses" / "R04.yaml").read_text()
    (tmp_path / "witness.yaml").write_text(witness.replace("target: ", f"target: {ROOT}/"))
    (tmp_path / "my_mutants.py").write_text(TABLE)
    return tmp_path / "my_mutants.py"


def test_the_matrix_says_which_oracle_saw_which_mutant(cli: Cli, table: Path) -> None:
    done = cli("mutants", "--mutants", str(table), "-v")
    assert done.code == 0, done.err
    assert "A1   O...   killed     Does not wait between attempts" in done.out
    assert "it is the client as it is" in done.out
    assert "A1  backoff: POST /orders for I1 was sent again after" in done.out

    told = json.loads(cli("mutants", "--mutants", str(table), "--only", "A1", "--json", "--seeds", "2").out)
    assert told["score"] == {"killed": 1, "tried": 1}
    (one,) = told["mutants"]
    assert (one["outcome"], one["killed_by"], len(one["trials"])) == ("killed", ["backoff"], 2)
    assert {trial["faults"] for trial in one["trials"]} == {2}


def test_what_was_recorded_has_to_stay_killed(cli: Cli, table: Path) -> None:
    assert cli("mutants", "--mutants", str(table), "--record").code == 0
    record = table.with_name("killed.json")
    assert json.loads(record.read_text()) == {"A1": ["backoff"]}

    record.write_text('{"A2": ["backoff"]}')
    done = cli("mutants", "--mutants", str(table))
    assert done.code == 1
    assert "Were killed once, and are not now: A2" in done.out


def test_wrong_usage_is_answered_with_what_is_there(cli: Cli, table: Path) -> None:
    for given, said in (
        (["--mutants", "nowhere.py"], "no such file or folder"),
        (["--mutants", str(table.parent)], "is no package"),
        (["--mutants", str(table), "--only", "A3"], "there is no 'A3'; known: A1, A2"),
        (["--mutants", str(table), "--component", "Retri"], "did you mean 'Retry'?"),
        (["--mutants", str(table), "--only", "A1", "--component", "Other"], "none of A1 is of Other"),
        (["--mutants", str(table), "--only", "A1", "--record"], "leave out --only"),
    ):
        done = cli("mutants", *given)
        assert (done.code, said in done.err) == (2, True), done.err
    for text, said in (("x = 1", "has no MUTANTS"), (TABLE.replace("A2", "A1"), "two mutants are called A1")):
        other = table.with_name(f"other{len(text)}.py")
        other.write_text(text)
        done = cli("mutants", "--mutants", str(other))
        assert (done.code, said in done.err) == (2, True), done.err

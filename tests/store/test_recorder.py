from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from faultline.store import database, recorder
from faultline.store.address import Address, address
from faultline.store.results import Results
from faultline.store.retention import Keep
from tests.store.kit import T0, One, report

Said = pytest.CaptureFixture[str]


def test_a_run_is_recorded_in_silence(sqlite: Address, capsys: Said) -> None:
    ids = [recorder.record(sqlite, report(One()), T0 + day, keep=Keep(count=2), label="nightly") for day in range(3)]
    assert capsys.readouterr() == ("", "")
    results = Results(sqlite)
    assert [entry.id for entry in results.entries()] == [ids[2], ids[1]]
    assert results.find("latest").label == "nightly"
    assert os.readlink(sqlite.root / "latest") == f"runs/{ids[2]}"


def test_a_locked_database_is_told_and_taken_in_later(
    sqlite: Address, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Results(sqlite)
    monkeypatch.setattr(database, "WAIT_S", 0.02)
    with holder._database.writing():
        id = recorder.record(sqlite, report(One()), T0)
    said = capsys.readouterr().err
    assert said == (
        "faultline: this run is not in the store yet, the next command that opens it takes it in: "
        ".faultline/results.db: database is locked\n"
    )
    assert holder.entries() == []
    assert holder.take_in() == []
    assert [entry.id for entry in holder.entries()] == [id]


def test_a_server_that_is_away_loses_nothing(tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.chdir(tmp_path)
    where = address(f"postgresql://ci:s3cret@/night?host={tmp_path}")
    assert where is not None
    id = recorder.record(where, report(One()), T0)
    said = capsys.readouterr().err
    assert said.startswith("faultline: this run is not in the store yet")
    assert said.count("\n") == 1
    assert "s3cret" not in said
    assert (tmp_path / ".faultline" / "runs" / str(id) / "report.json").exists()


def test_where_nothing_can_be_written_it_is_told(sqlite: Address, capsys: Said) -> None:
    sqlite.root.write_text("a file where the folder should be")
    assert recorder.record(sqlite, report(One()), T0) is None
    assert capsys.readouterr().err == "faultline: this run was not recorded in .faultline/runs: Not a directory\n"


def test_without_sqlalchemy_nothing_is_said_and_nothing_is_lost(
    sqlite: Address, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(recorder, "find_spec", lambda name: None)
        id = recorder.record(sqlite, report(One()), T0)
    assert capsys.readouterr() == ("", "")
    assert sqlite.file is not None
    assert not sqlite.file.exists()
    assert importlib.util.find_spec("sqlalchemy") is not None
    results = Results(sqlite)
    assert results.take_in() == []
    assert [entry.id for entry in results.entries()] == [id]


@pytest.mark.parametrize("error", [RuntimeError("a \x1b[31mbug"), KeyboardInterrupt()])
def test_a_bug_of_ours_or_ctrl_c_ends_recording_and_nothing_else(
    sqlite: Address, capsys: Said, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def breaks(*rest: object) -> None:
        raise error

    monkeypatch.setattr(recorder.folder, "about", breaks)
    assert recorder.record(sqlite, report(One()), T0) is None
    said = capsys.readouterr().err
    assert said in (
        "faultline: this run was not recorded: RuntimeError: a \\x1b[31mbug\n",
        "faultline: recording was interrupted\n",
    )

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultline.errors import SimEscape
from faultline.faults.deciders import Recorder
from faultline.faults.injector import Injector
from faultline.history import History
from faultline.worlds.context import INCARNATION
from faultline.worlds.store import StoreGuard


def refuse(what: str, instead: str) -> SimEscape:
    return SimEscape(f"{what}: {instead}")


@pytest.fixture(autouse=True, params=["nothing strikes", "faults are asked for"])
def as_a_client(request: pytest.FixtureRequest) -> Iterator[None]:
    guard = StoreGuard(lambda: False, lambda call: call(), refuse, lambda seconds: None)
    if request.param == "faults are asked for":
        guard.arm(Injector(Recorder(), History(), lambda: 0.0), lambda action: None)
    token = INCARNATION.set(1)
    with guard.installed():
        yield
    INCARNATION.reset(token)


def filled(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=TRUNCATE")
    connection.execute("CREATE TABLE t (x)")
    return connection


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_a_client_is_told_the_journal_mode_that_it_asked_for(tmp_path: Path, mode: str) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert connection.execute(f"pragma journal_mode = {mode.upper()};").fetchone() == (mode,)
    assert connection.execute("PRAGMA main.journal_mode").fetchone() == (mode,)


def test_other_journal_modes_are_real(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    assert connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    connection.execute("CREATE TABLE t (x)")
    assert (tmp_path / "state.db-wal").exists()
    again = sqlite3.connect(tmp_path / "state.db")
    assert again.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert again.execute("PRAGMA journal_mode(delete)").fetchone() == ("delete",)
    assert not (tmp_path / "state.db-wal").exists()


def test_no_journal_is_written_beside_the_store(tmp_path: Path) -> None:
    connection = filled(tmp_path / "state.db")
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 5000)
    assert [file.name for file in tmp_path.iterdir()] == ["state.db"]
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_copy_made_inside_a_large_transaction_is_the_store_before_it(tmp_path: Path) -> None:
    connection = filled(tmp_path / "state.db")
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO t VALUES (?)", [("before" * 200,)] * 4000)
    connection.execute("COMMIT")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE t SET x = ?", ("after" * 200,))
    shutil.copy(tmp_path / "state.db", tmp_path / "copy.db")
    connection.execute("COMMIT")
    copied = sqlite3.connect(tmp_path / "copy.db")
    assert copied.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert copied.execute("SELECT DISTINCT x FROM t").fetchall() == [("before" * 200,)]
    assert connection.execute("SELECT DISTINCT x FROM t").fetchall() == [("after" * 200,)]


def test_a_file_that_is_no_database_fails_where_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database, whatever it is called" * 50)
    connection = sqlite3.connect(tmp_path / "state.db")
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        connection.execute("SELECT * FROM t")


def test_connections_of_one_process_still_lock_each_other_out(tmp_path: Path) -> None:
    one = filled(tmp_path / "st%a te?.db")
    two = sqlite3.connect(str(tmp_path / "st%a te?.db"), isolation_level=None, timeout=0)
    one.execute("BEGIN IMMEDIATE")
    one.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        two.execute("BEGIN IMMEDIATE")
    assert two.execute("SELECT count(*) FROM t").fetchone() == (0,)
    one.execute("COMMIT")
    assert two.execute("SELECT count(*) FROM t").fetchone() == (1,)
    assert [file.name for file in tmp_path.iterdir()] == ["st%a te?.db"]


def test_a_copied_write_ahead_log_is_recovered(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    connection = sqlite3.connect(tmp_path / "before" / "state.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES ('committed')")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES ('not')")
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    copied = sqlite3.connect(tmp_path / "after" / "state.db")
    assert copied.execute("SELECT x FROM t").fetchall() == [("committed",)]


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_databases_without_a_file_work_as_ever(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    connection = sqlite3.connect(name)
    connection.execute("CREATE TABLE t (x)")
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] in ("memory", "delete")
    shared = sqlite3.connect("file:shared?mode=memory&cache=shared", uri=True)
    shared.execute("CREATE TABLE t (x)")
    shared.close()
    assert list(tmp_path.iterdir()) == []
    sqlite3.connect("relative.db").execute("CREATE TABLE t (x)")
    assert [file.name for file in tmp_path.iterdir()] == ["relative.db"]

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultline.errors import SimEscape
from faultline.worlds.context import INCARNATION
from faultline.worlds.store import StoreGuard


def refuse(what: str, instead: str) -> SimEscape:
    return SimEscape(f"{what}: {instead}")


@pytest.fixture(autouse=True)
def as_a_client() -> Iterator[None]:
    token = INCARNATION.set(1)
    with StoreGuard(lambda: False, lambda call: call(), refuse, lambda seconds: None).installed():
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

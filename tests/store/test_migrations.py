from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from faultline.store import migrations
from faultline.store.address import Address, StoreError
from faultline.store.database import Database
from faultline.store.results import Results
from faultline.store.schema import METADATA
from tests.store.kit import One, recorded

INSERT = """INSERT INTO campaigns (
    id, began_at, label, host, revision, branch, faultline, exit_code, meaning, interrupted, planned,
    cases, expected, runs, receipts, wall_s)
    VALUES ('20260101-000000-abcdef', 5, 'run', 'h', '', '', '0', 0, 'm', FALSE, 1, 1, 1, 1, 1, 1)"""


@pytest.mark.parametrize("start", range(migrations.VERSION + 1))
def test_every_earlier_version_becomes_the_latest_and_keeps_its_rows(either: Address, start: int) -> None:
    database = Database(either)
    if start:
        with database.writing() as connection:
            migrations.migrate(connection, either.shown, up_to=start)
            connection.execute(text(INSERT))
    results = Results(either)
    with database.reading() as connection:
        assert migrations.version(connection) == migrations.VERSION
        there = inspect(connection)
        for table in METADATA.sorted_tables:
            columns = {column["name"]: column["nullable"] for column in there.get_columns(table.name)}
            assert columns == {column.name: column.nullable for column in table.columns}
            keys = there.get_pk_constraint(table.name)["constrained_columns"]
            assert set(keys) == {column.name for column in table.primary_key.columns}
        assert [index["name"] for index in there.get_indexes("cases")] == ["cases_by_key"]
    before = ["20260101-000000-abcdef"] if start else []
    new = recorded(results, One())
    assert [entry.id for entry in results.entries()] == [new, *before]


def test_a_newer_version_is_refused_and_left_as_it_is(either: Address) -> None:
    Results(either)
    database = Database(either)
    with database.writing() as connection:
        connection.execute(text("UPDATE faultline_schema SET version = 99"))
    with pytest.raises(StoreError, match="version 99, this faultline knows up to 2: update faultline"):
        Results(either)
    with database.reading() as connection:
        assert migrations.version(connection) == 99


def test_a_step_that_fails_leaves_the_version_before(either: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*migrations.STEPS[0], "CREATE TABEL x")
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "STEPS", (broken, *migrations.STEPS[1:]))
        with pytest.raises(StoreError, match="syntax error"):
            Results(either)
    with Database(either).reading() as connection:
        assert inspect(connection).get_table_names() == []


def test_what_is_no_database_is_told(sqlite: Address) -> None:
    assert sqlite.file is not None
    sqlite.root.mkdir()
    sqlite.file.write_bytes(b"not a database, but long enough to be taken for one" * 30)
    with pytest.raises(StoreError, match="file is not a database: move it away"):
        Results(sqlite)
    assert Path(sqlite.file).read_bytes().startswith(b"not a database")

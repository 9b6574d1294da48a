"""One SQLite file, one writer: transactions that either happened or did not, and a schema with a version.

The journal is a rollback journal and not a WAL: there is one process and one writer, nothing to gain from readers
beside it, and a store that is one file can be copied and moved without leaving its last commits behind in a
``-wal``. ``synchronous=FULL`` because what was answered to a caller must outlive a power cut.

A locked database is waited for without blocking the event loop; one that stays locked, a full disk and a file that
cannot be opened are StateUnavailableError: the change did not happen.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from targets.resilience.errors import ConfigurationError, StateUnavailableError

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S: Final = 0.1
"""How long SQLite itself waits for a lock. Short, because it blocks the event loop while it does."""
BUSY_WAITS_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""And how long we wait between tries, which blocks nobody."""

Statement = tuple[str, Sequence[object]]
Migrations = Sequence[Sequence[str]]
"""Statements that take the schema from version ``i`` to ``i + 1``; the first ones make it."""


class Database:
    """The file. ``commit`` is the only way to change it."""

    def __init__(self, path: str, migrations: Migrations) -> None:
        self._path = path
        self._migrations = migrations

    async def open(self) -> None:
        """Open the file and bring its schema up to date.

        Raises StateUnavailableError, and may then be called again; ConfigurationError for a file that is not ours or
        was written by a newer version.
        """
        try:
            # Transactions are written out (isolation_level=None): the module's own begin too late and end too quietly.
            self._db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except sqlite3.Error as error:
            raise StateUnavailableError(f"{self._path}: {error}") from error
        try:
            self._db.execute("PRAGMA journal_mode=TRUNCATE")
            self._db.execute("PRAGMA synchronous=FULL")
            await self._migrate()
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise StateUnavailableError(f"{self._path}: {error}") from error
            raise

    async def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        newest = len(self._migrations)
        if version == 0 and self._db.execute("SELECT name FROM sqlite_master").fetchone():
            raise ConfigurationError(f"{self._path}: holds tables that are not this program's; name another file")
        if version > newest:
            raise ConfigurationError(
                f"{self._path}: has schema {version}, this program knows up to {newest}: run the program that wrote it"
            )
        if version < newest:
            steps = [(statement, ()) for step in self._migrations[version:] for statement in step]
            await self.commit(*steps, (f"PRAGMA user_version={newest}", ()))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def rows(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        """Everything that ``query`` finds."""
        return self._db.execute(query, parameters).fetchall()

    async def commit(self, *statements: Statement) -> None:
        """Carry out all ``statements``, or none and raise StateUnavailableError."""
        for wait_s in (*BUSY_WAITS_S, None):
            try:
                self._transact(statements)
                return
            except sqlite3.OperationalError as error:
                if wait_s is None or "locked" not in str(error):
                    log.error("%s: nothing was written: %s", self._path, error)
                    raise StateUnavailableError(f"{self._path}: {error}") from error
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))

    def _transact(self, statements: Iterable[Statement]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement, parameters in statements:
                self._db.execute(statement, parameters)
            self._db.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, and not after others.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

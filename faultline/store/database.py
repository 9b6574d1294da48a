"""One database of results: opened, brought up to date, read from and written to in transactions.

SQLite is put into WAL mode, where readers and a writer do not wait for each other, and writers take their turn at the
beginning of a transaction: one that begins by reading could not be made to wait for its turn to write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from faultline.store import migrations
from faultline.store.address import Address, StoreError

WAIT_S: Final = 10.0
"""How long to wait for another writer, or for a server to answer."""


class Database:
    """An open store. Connections last as long as a transaction; nothing has to be closed."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._engine = _engine(address)

    def up_to_date(self) -> None:
        """Make or migrate the tables. Raises StoreError; a newer version is left as it is."""
        with self.reading() as connection:
            found = migrations.version(connection)
            migrations.refuse_newer(found, self.address.shown)
        if found < migrations.VERSION:
            with self.writing() as connection:
                migrations.migrate(connection, self.address.shown)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database. Raises StoreError."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of what is written in it stays, or nothing. Raises StoreError."""
        with self._transaction(writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(faultline_writes=writes) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(f"{self.address.shown}: {self._said(error)}") from error

    def _said(self, error: SQLAlchemyError) -> str:
        """The driver's own words in one line, without the statement, its values and the password."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        said = self.address.clean(lines[0] if lines else type(cause).__name__)
        if "file is not a database" in said:
            return f"{said}: move it away, or use another --store"
        return said


def _engine(address: Address) -> Engine:
    if address.file is None:
        try:
            return create_engine(address.url, poolclass=NullPool, connect_args={"connect_timeout": round(WAIT_S)})
        except ImportError as error:
            raise StoreError(
                "PostgreSQL needs psycopg: pip install 'psycopg[binary]', or faultline with its extra `postgres`"
            ) from error
    try:
        address.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{address.shown}: {error.strerror}") from error
    engine = create_engine(address.url, poolclass=NullPool, connect_args={"timeout": WAIT_S})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        # By itself the driver begins at the first INSERT: too late for a writer to wait, and never for CREATE TABLE.
        writes = connection.get_execution_options().get("faultline_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine

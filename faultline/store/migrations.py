"""How the tables came to be what they are: numbered steps, each run once, in order.

A step never changes after it was released: databases that have run it exist. All missing steps run in the one
transaction that the caller holds, so a process killed half-way leaves the version that was there.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect, text

from faultline.store.address import StoreError

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE campaigns (
            id TEXT NOT NULL PRIMARY KEY, began_at DOUBLE PRECISION NOT NULL, label TEXT NOT NULL, host TEXT NOT NULL,
            revision TEXT NOT NULL, branch TEXT NOT NULL, faultline TEXT NOT NULL, exit_code INTEGER NOT NULL,
            meaning TEXT NOT NULL, interrupted BOOLEAN NOT NULL, planned INTEGER NOT NULL, cases INTEGER NOT NULL,
            expected INTEGER NOT NULL, runs INTEGER NOT NULL, receipts INTEGER NOT NULL,
            wall_s DOUBLE PRECISION NOT NULL)""",
        """CREATE TABLE cases (
            campaign TEXT NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            case_key TEXT NOT NULL, path TEXT NOT NULL, line INTEGER NOT NULL, scenario TEXT NOT NULL,
            target TEXT NOT NULL, target_name TEXT NOT NULL, world TEXT NOT NULL, status TEXT NOT NULL,
            oracles TEXT NOT NULL, runs INTEGER NOT NULL, receipts INTEGER NOT NULL, wall_s DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (campaign, number))""",
        """CREATE TABLE failures (
            campaign TEXT NOT NULL, number INTEGER NOT NULL, what TEXT NOT NULL, stated BOOLEAN NOT NULL,
            seeds TEXT NOT NULL, finding TEXT NOT NULL, faults_before INTEGER NOT NULL, faults_left INTEGER NOT NULL,
            minimal BOOLEAN NOT NULL, differs BOOLEAN NOT NULL, schedule TEXT NOT NULL, history TEXT NOT NULL,
            PRIMARY KEY (campaign, number, what),
            FOREIGN KEY (campaign, number) REFERENCES cases (campaign, number) ON DELETE CASCADE)""",
        """CREATE TABLE runs (
            campaign TEXT NOT NULL, number INTEGER NOT NULL, seed TEXT NOT NULL, history_hash TEXT NOT NULL,
            virtual_s DOUBLE PRECISION NOT NULL, wall_s DOUBLE PRECISION NOT NULL,
            operation_ms_p50 DOUBLE PRECISION, operation_ms_p99 DOUBLE PRECISION, recovery_ms DOUBLE PRECISION,
            PRIMARY KEY (campaign, number, seed),
            FOREIGN KEY (campaign, number) REFERENCES cases (campaign, number) ON DELETE CASCADE)""",
    ),
    (
        # The history of one case is looked up by its key, and lists of campaigns by time.
        "CREATE INDEX cases_by_key ON cases (case_key, campaign)",
        "CREATE INDEX campaigns_by_time ON campaigns (began_at)",
    ),
)

VERSION: Final = len(STEPS)
_TABLE: Final = "faultline_schema"
_LOCK: Final = 0x6661756C
"""Number of the advisory lock under which PostgreSQL migrates: two first writers must not both begin."""


def version(connection: Connection) -> int:
    """The version of the tables; 0 for a database without any."""
    if not inspect(connection).has_table(_TABLE):
        return 0
    return int(connection.execute(text(f"SELECT version FROM {_TABLE}")).scalar_one())


def refuse_newer(found: int, shown: str) -> None:
    """Raises StoreError for tables that a later faultline made."""
    if found > VERSION:
        raise StoreError(
            f"{shown}: its tables are version {found}, this faultline knows up to {VERSION}: "
            "update faultline, or use another --store"
        )


def migrate(connection: Connection, shown: str, up_to: int = VERSION) -> None:
    """Run the missing steps. The caller holds a transaction that is allowed to write. Raises StoreError."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    found = version(connection)
    refuse_newer(found, shown)
    if found == 0:
        connection.execute(text(f"CREATE TABLE {_TABLE} (version INTEGER NOT NULL)"))
        connection.execute(text(f"INSERT INTO {_TABLE} (version) VALUES (0)"))
    for number, statements in enumerate(STEPS[found:up_to], start=found + 1):
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text(f"UPDATE {_TABLE} SET version = {number}"))

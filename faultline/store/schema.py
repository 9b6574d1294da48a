"""The tables as the latest version has them. :mod:`faultline.store.migrations` makes them.

A case is known over time by ``case_key``; seeds are text, as they may be larger than a database's integers.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Double, Integer, MetaData, Table, Text

METADATA: Final = MetaData()

CAMPAIGNS: Final = Table(
    "campaigns",
    METADATA,
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("label", "host", "revision", "branch", "faultline", "meaning")),
    *(Column(name, Integer, nullable=False) for name in ("exit_code", "planned", "cases", "expected", "runs")),
    Column("receipts", Integer, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("wall_s", Double, nullable=False),
)

CASES: Final = Table(
    "cases",
    METADATA,
    Column("campaign", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("case_key", "path", "scenario", "target", "target_name")),
    *(Column(name, Text, nullable=False) for name in ("world", "status", "oracles")),
    *(Column(name, Integer, nullable=False) for name in ("line", "runs", "receipts")),
    Column("wall_s", Double, nullable=False),
)

FAILURES: Final = Table(
    "failures",
    METADATA,
    Column("campaign", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("what", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("seeds", "finding", "schedule", "history")),
    *(Column(name, Integer, nullable=False) for name in ("faults_before", "faults_left")),
    *(Column(name, Boolean, nullable=False) for name in ("stated", "minimal", "differs")),
)

RUNS: Final = Table(
    "runs",
    METADATA,
    Column("campaign", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("seed", Text, primary_key=True),
    Column("history_hash", Text, nullable=False),
    *(Column(name, Double, nullable=False) for name in ("virtual_s", "wall_s")),
    *(Column(name, Double) for name in ("operation_ms_p50", "operation_ms_p99", "recovery_ms")),
)

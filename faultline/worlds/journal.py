"""Where a client's store keeps its rollback journal and its locks: in memory, and nobody can tell.

Most of what a commit costs is the journal, in some forty system calls. It is there for a machine that stops in the
middle of writing; here a process can only crash between two statements, so no journal is ever read again. It stays
in memory, with a page cache that never spills, and the file changes at commits only. A client that asks for its
journal mode, or sets one, is told what it would be. Write-ahead logs are another thing, and left alone.

Locks exclude processes as well as connections. Only this process opens a client's store, so one of SQLite's own file
systems serves that keeps the locks among the connections of a process and never asks the kernel again.
"""

from __future__ import annotations

import os
import re
import sqlite3
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

_STATEMENT: Final = re.compile(r"\s*PRAGMA\s+(?:\w+\.)?journal_mode\b\s*(?:[=(]\s*['\"]?(\w+))?", re.IGNORECASE)
_ROLLBACK: Final = ("delete", "truncate", "persist")
_PRIVATE_LOCKS: Final = "unix-excl"


class Journal:
    """The journal of one connection. A database that cannot be read is left as it is: that is to show later."""

    __slots__ = ("_mode",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._mode = ""
        execute = sqlite3.Cursor(connection).execute
        try:
            (mode,) = execute("PRAGMA journal_mode").fetchone()
            if mode in _ROLLBACK:
                execute("PRAGMA journal_mode=MEMORY")
                execute("PRAGMA cache_spill=OFF")
                self._mode = mode
        except sqlite3.DatabaseError:
            pass

    def instead_of(self, sql: str) -> str:
        """What to execute in the place of ``sql``: ``sql``, unless that is about the journal mode."""
        asked = _asked_mode(sql)
        if asked is None or not self._mode:
            return sql
        if asked and asked not in _ROLLBACK:
            self._mode = ""
            return sql
        self._mode = asked or self._mode
        return f"SELECT '{self._mode}' AS journal_mode"


@lru_cache(maxsize=1000)
def _asked_mode(sql: str) -> str | None:
    """The mode that a statement sets; empty when it only asks for it, None when it is about something else."""
    about = _STATEMENT.match(sql)
    return (about[1] or "").lower() if about else None


def with_private_locks(database: Any) -> tuple[Any, bool]:
    """The name under which to open ``database``, and whether that is a URI: itself where SQLite has no such thing."""
    path = database if isinstance(database, bytes) else os.fspath(database)
    if not isinstance(path, str) or path in ("", ":memory:") or not _has_private_locks():
        return database, False
    return f"file:{quote(path)}?vfs={_PRIVATE_LOCKS}", True


@lru_cache
def _has_private_locks() -> bool:
    try:
        sqlite3.dbapi2.Connection(f"file::memory:?vfs={_PRIVATE_LOCKS}", uri=True).close()
    except sqlite3.OperationalError:
        return False
    return True

"""SQLite in the simulated world: fault points at its statements and commits, and a crash that stops in the middle.

SQLite's clock and its busy wait are C code, so what the world needs is wrapped around :func:`sqlite3.connect`: the
connection that it returns inside a run is a subclass that asks for faults before each statement that writes and
around each commit. Traps that shaped it:

* the C ``__exit__`` commits past an overridden ``commit``, so ``with connection:`` is written out here;
* in autocommit (``isolation_level=None``) a writing statement is its own commit;
* a crash at a commit happens inside the client's running step, which then finishes in the void: a fenced process
  writes on into files that nobody will open again, because its successor got a copy (see ``SimWorld.crash``);
* copying an open SQLite file drops its POSIX locks, which is harmless here only because its owner is dead by then;
* a busy store waits ``timeout`` seconds: virtual ones.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from tempfile import gettempdir
from types import ModuleType
from typing import Any, Final, cast

from faultline.worlds.sim.context import INCARNATION

from faultline.errors import SimEscape
from faultline.faults.actions import Action, Crash, Restart, StoreError
from faultline.faults.injector import Injector
from faultline.faults.points import Plane

INTENT: ContextVar[str] = ContextVar("intent", default="")
"""The intent on whose behalf the client is running, where the driver knows."""

_MESSAGES: Final = {"busy": "database is locked", "full": "database or disk is full", "io": "disk I/O error"}
_READS: Final = ("SELECT", "PRAGMA", "EXPLAIN", "BEGIN", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "WITH")
_folders = count(1)
_real_connect = sqlite3.connect
_scanned: set[str] = set()


def memory_folder() -> Path:
    """A new private folder, on a memory file system where there is one.

    Not by ``tempfile``, which would draw from the simulated entropy for its name.
    """
    root = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(gettempdir())
    while True:
        folder = root / f"faultline-{os.getpid()}-{next(_folders)}"
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder


class StoreGuard:
    """Asks for faults at the store of the client. ``gone`` says whether the running code belongs to a dead process."""

    def __init__(self, gone: Callable[[], bool]) -> None:
        self._gone = gone
        self._injector: Injector | None = None
        self._nth: dict[str, int] = {}

    def arm(self, injector: Injector, upon: Callable[[Action], None]) -> None:
        """From now on ask ``injector``; ``upon`` carries out a crash or a restart that strikes here."""
        self._injector = injector
        self._upon = upon

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within, ``sqlite3.connect`` gives guarded connections to the client's code, also through aliases."""
        global _guard
        _install()
        _guard = self
        try:
            yield
        finally:
            _guard = None

    def ask(self, phase: str, timeout_s: float) -> None:
        """A store point. ``before`` starts a new one; ``after`` is its commit. Raises what the store would."""
        if self._injector is None or INCARNATION.get() is None or self._gone():
            return
        entity = INTENT.get() or "-"
        if phase == "before":
            self._nth[entity] = self._nth.get(entity, 0) + 1
        for receipt, action in self._injector.ask(Plane.TARGET, "store", entity, self._nth.get(entity, 1), phase):
            self._injector.resolve(receipt, "not_applied" if phase == "before" else "applied")
            if isinstance(action, StoreError):
                if action.error == "busy":
                    time.sleep(timeout_s)  # virtual, and it blocks the client's loop, as the real busy wait does
                raise sqlite3.OperationalError(_MESSAGES[action.error])
            if isinstance(action, Crash | Restart):
                self._upon(action)


_guard: StoreGuard | None = None


def _writes(sql: str) -> bool:
    return not sql.lstrip().upper().startswith(_READS)


class _Guarded(sqlite3.Connection):
    """A connection that asks before it writes and around its commits."""

    _timeout_s: float = 5.0

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(_GuardedCursor if factory is None else factory)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return cast("sqlite3.Cursor", self.cursor().execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        return cast("sqlite3.Cursor", self.cursor().executemany(sql, parameters))

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        return cast("sqlite3.Cursor", self.cursor().executescript(sql_script))

    def commit(self) -> None:
        self._committing(super().commit) if self.in_transaction else super().commit()

    def _committing(self, commit: Callable[[], Any]) -> Any:
        guard = _guard
        if guard is None:
            return commit()
        guard.ask("before", self._timeout_s)
        result = commit()
        guard.ask("after", self._timeout_s)
        return result

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if kind is None:
            self.commit()
        else:
            self.rollback()
        return False


class _GuardedCursor(sqlite3.Cursor):
    """Statements of a guarded connection; in autocommit a writing statement is a commit of its own."""

    def execute(self, sql: str, parameters: Any = (), /) -> _GuardedCursor:
        return cast("_GuardedCursor", self._run(sql, lambda: super(_GuardedCursor, self).execute(sql, parameters)))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> _GuardedCursor:
        return cast("_GuardedCursor", self._run(sql, lambda: super(_GuardedCursor, self).executemany(sql, parameters)))

    def executescript(self, sql_script: str, /) -> _GuardedCursor:
        return cast(
            "_GuardedCursor", self._run(sql_script, lambda: super(_GuardedCursor, self).executescript(sql_script))
        )

    def _run(self, sql: str, statement: Callable[[], Any]) -> Any:
        connection = self.connection
        if not isinstance(connection, _Guarded) or not _writes(sql):
            return statement()
        ends = sql.lstrip().upper().startswith(("COMMIT", "END"))
        if ends or (connection.isolation_level is None and not connection.in_transaction):
            return connection._committing(statement)
        return statement()


def _connect(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
    if _guard is None or INCARNATION.get() is None:
        plain: sqlite3.Connection = _real_connect(database, *args, **kwargs)
        return plain
    if "factory" in kwargs:
        raise SimEscape(
            "sqlite3.connect(factory=...) inside a simulation: the store's fault points need a connection class of "
            "their own. Use the default factory in the simulated world, or run this target in a live world."
        )
    connection: _Guarded = _real_connect(database, *args, factory=_Guarded, **kwargs)
    connection._timeout_s = float(args[0] if args else kwargs.get("timeout", 5.0))
    return connection


def _install() -> None:
    """Put the wrapper in place of ``sqlite3.connect``, once, also where it was imported by name before."""
    if sqlite3.connect is not _connect:
        setattr(sqlite3, "connect", _connect)  # noqa: B010  # mypy knows only the real signature
        setattr(sqlite3.dbapi2, "connect", _connect)  # noqa: B010
    for known, module in list(sys.modules.items()):
        if known in _scanned:
            continue
        _scanned.add(known)
        if isinstance(module, ModuleType) and known != __name__:
            for name, value in list(vars(module).items()):
                if value is _real_connect:
                    setattr(module, name, _connect)

"""SQLite of a client: fault points at its statements and commits, and a crash that stops in the middle.

SQLite's clock and its busy wait are C code, so what the world needs is wrapped around :func:`sqlite3.connect`: the
connection that it returns inside a run is a subclass that asks for faults before each statement that writes and
around each commit. A statement and a commit are counted alike (``nth`` of their points); what commits has an ``after``
as well. Traps that shaped it:

* the C ``__exit__`` commits past an overridden ``commit``, so ``with connection:`` is written out here; like the
  original it rolls back when the commit fails;
* in autocommit (``isolation_level=None``) a writing statement is its own commit; in the default mode only INSERT,
  UPDATE, DELETE and REPLACE open a transaction, so a CREATE TABLE outside of one commits itself too;
* ``executescript`` commits first what is open, and then statement by statement: it is one point;
* after a failed write for lack of space or for an I/O error SQLite has rolled the whole transaction back, while a
  busy one leaves it open;
* a crash at a commit happens inside the client's running step, which then finishes in the void: a fenced process
  writes on into files that nobody will open again, because its successor got a copy (see ``SimWorld.crash``);
* copying an open SQLite file drops its POSIX locks, which is harmless here only because its owner is dead by then;
* a busy store waits ``timeout`` seconds: virtual ones;
* the rollback journal is kept in memory (see ``journal.py``).
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from itertools import count
from pathlib import Path
from tempfile import gettempdir
from types import ModuleType
from typing import Any, Final, cast

from faultline.errors import FaultlineError
from faultline.faults.actions import Action, Crash, Restart, StoreError
from faultline.faults.injector import Injector
from faultline.faults.points import Plane
from faultline.worlds.context import INCARNATION
from faultline.worlds.journal import Journal, with_private_locks

INTENT: Final[ContextVar[str]] = ContextVar("faultline_intent", default="")
"""The intent on whose behalf the client is running, where the driver knows."""

_MESSAGES: Final = {"busy": "database is locked", "full": "database or disk is full", "io": "disk I/O error"}
_COMMENTS: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z]*")
_READS: Final = frozenset(
    {"", "SELECT", "VALUES", "PRAGMA", "EXPLAIN", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "ATTACH", "DETACH"}
)
_OPENS_TRANSACTION: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_COMMITS: Final = frozenset({"COMMIT", "END"})
_WRITING_WITH: Final = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_ARGUMENTS_BEFORE_FACTORY: Final = 4
_NO_FACTORY: Final = (
    "use the default connection and cursor classes in the simulated world, or run this target in a live world"
)
_folders = count(1)
_real_connect = sqlite3.connect
_scanned: set[str] = set()


def memory_folder() -> Path:
    """A new private folder, on a memory file system where there is one.

    Not by ``tempfile``, which would draw from the simulated entropy for its name.
    """
    root = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(gettempdir())
    _sweep(root)
    while True:
        folder = root / f"faultline-{os.getpid()}-{next(_folders)}"
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder


@cache
def _sweep(root: Path) -> None:
    """Remove, once, what processes left behind that were killed before they could."""
    for folder in root.glob("faultline-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class StoreGuard:
    """Asks for faults at the store of the client.

    ``gone`` says whether the running code belongs to a dead process. ``as_the_world`` calls something outside of the
    client's process, ``escaped`` notes an escape and gives the error, ``stand_still`` lets the client wait.
    """

    def __init__(
        self,
        gone: Callable[[], bool],
        as_the_world: Callable[[Callable[[], None]], None],
        escaped: Callable[[str, str], FaultlineError],
        stand_still: Callable[[float], None],
    ) -> None:
        self._gone = gone
        self._as_the_world = as_the_world
        self._stand_still = stand_still
        self.escaped = escaped
        self._injector: Injector | None = None
        self._upon: Callable[[Action], object] = lambda action: None
        self._nth: dict[str, int] = {}

    def arm(self, injector: Injector, upon: Callable[[Action], object]) -> None:
        """From now on ask ``injector``; ``upon`` carries out a crash or a restart that strikes here."""
        self._injector = injector if injector.concerns(Plane.TARGET) else None
        self._upon = upon

    @property
    def asks(self) -> bool:
        """Whether anything can strike here in this run."""
        return self._injector is not None

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
        """A store point. ``before`` is a new one; ``after`` is its commit. Raises what the store would."""
        if self._injector is None or INCARNATION.get() is None or self._gone():
            return
        entity = INTENT.get() or "-"
        if phase == "before":
            self._nth[entity] = self._nth.get(entity, 0) + 1
        nth = self._nth.get(entity, 1)
        self._as_the_world(lambda: self._ask(entity, nth, phase, timeout_s))

    def _ask(self, entity: str, nth: int, phase: str, timeout_s: float) -> None:
        assert self._injector is not None
        refused: StoreError | None = None
        for receipt, action in self._injector.ask(Plane.TARGET, "store", entity, nth, phase):
            self._injector.resolve(receipt, "not_applied" if phase == "before" else "applied")
            if isinstance(action, StoreError):
                refused = refused or action
            elif isinstance(action, Crash | Restart):
                self._upon(action)
        if refused is not None:
            if refused.error == "busy":
                self._stand_still(timeout_s)
            raise _Refused(refused.error, _MESSAGES[refused.error])


class _Refused(Exception):
    """A store error on its way to the connection that it strikes."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


_guard: StoreGuard | None = None


@lru_cache(maxsize=1000)
def _first_word(sql: str) -> str:
    start = _COMMENTS.match(sql)
    word = _WORD.match(sql, start.end() if start else 0)
    return word[0].upper() if word else ""


def _writes(sql: str, word: str) -> bool:
    return _WRITING_WITH.search(sql) is not None if word == "WITH" else word not in _READS


class _Guarded(sqlite3.Connection):
    """A connection that asks before it writes and around its commits."""

    timeout_s: float = 5.0
    journal: Journal

    def cursor(self, factory: Any = None) -> Any:
        if factory is not None and _guard is not None:
            raise _guard.escaped("cursor() with a class of its own", _NO_FACTORY)
        return super().cursor(_GuardedCursor if factory is None else factory)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return cast("sqlite3.Cursor", self.cursor().execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        return cast("sqlite3.Cursor", self.cursor().executemany(sql, parameters))

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        return cast("sqlite3.Cursor", self.cursor().executescript(sql_script))

    def commit(self) -> None:
        self.asked(super().commit, commits=True) if self.in_transaction else super().commit()

    def asked(self, act: Callable[[], Any], *, commits: bool) -> Any:
        """Do ``act``, with whatever strikes before it and, when it commits, after it."""
        guard = _guard
        if guard is None:
            return act()
        try:
            guard.ask("before", self.timeout_s)
        except _Refused as refused:
            if refused.error != "busy" and self.in_transaction:
                self.rollback()
            raise sqlite3.OperationalError(str(refused)) from None
        result = act()
        if commits:
            guard.ask("after", self.timeout_s)
        return result

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if kind is not None:
            self.rollback()
            return False
        try:
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return False


class _GuardedCursor(sqlite3.Cursor):
    """Statements of a guarded connection."""

    def execute(self, sql: str, parameters: Any = (), /) -> _GuardedCursor:
        sql = cast("_Guarded", self.connection).journal.instead_of(sql)
        return cast("_GuardedCursor", self._run(sql, partial(super().execute, sql, parameters)))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> _GuardedCursor:
        return cast("_GuardedCursor", self._run(sql, partial(super().executemany, sql, parameters)))

    def executescript(self, sql_script: str, /) -> _GuardedCursor:
        connection = cast("_Guarded", self.connection)
        script = super().executescript
        return cast("_GuardedCursor", connection.asked(lambda: script(sql_script), commits=True))

    def _run(self, sql: str, statement: Callable[[], Any]) -> Any:
        if _guard is None or not _guard.asks:
            return statement()
        word = _first_word(sql)
        if not _writes(sql, word):
            return statement()
        connection = cast("_Guarded", self.connection)
        return connection.asked(statement, commits=_commits_itself(connection, word))


def _commits_itself(connection: sqlite3.Connection, word: str) -> bool:
    if connection.in_transaction:
        return word in _COMMITS
    # Python 3.12 has an attribute of its own for this; isolation_level says nothing then.
    autocommit = getattr(connection, "autocommit", None) is True or connection.isolation_level is None
    return autocommit or word not in _OPENS_TRANSACTION


class _Unasked(sqlite3.Connection):
    """A connection in a run where nothing strikes the store."""

    journal: Journal

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute(self.journal.instead_of(sql), parameters)


def _connect(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
    if _guard is None or INCARNATION.get() is None:
        return cast("sqlite3.Connection", _real_connect(database, *args, **kwargs))
    if "factory" in kwargs or len(args) > _ARGUMENTS_BEFORE_FACTORY:
        raise _guard.escaped("sqlite3.connect() with a connection class of its own", _NO_FACTORY)
    if not kwargs.get("uri"):
        database, kwargs["uri"] = with_private_locks(database)
    if not _guard.asks:
        unasked: _Unasked = _real_connect(database, *args, factory=_Unasked, **kwargs)
        unasked.journal = Journal(unasked)
        return unasked
    connection: _Guarded = _real_connect(database, *args, factory=_Guarded, **kwargs)
    connection.timeout_s = float(args[0] if args else kwargs.get("timeout", 5.0))
    connection.journal = Journal(connection)
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

"""SQLite in the simulated world: where it can be struck, what it says then, and what the next process finds."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from sqlite3 import connect as connect_by_alias
from typing import Any

import pytest

from faultline.errors import SimEscape
from faultline.faults.actions import Action, Crash, Restart, StoreError
from faultline.faults.injector import Decision, Injector
from faultline.faults.points import Moment, Plane
from faultline.history import History
from faultline.history.event import Resolved
from faultline.worlds.context import INCARNATION
from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.world import SimWorld

Client = Callable[[str], Any]


class Planned:
    """Strikes the points that a test named, ``(nth, phase)``, and remembers all."""

    planes = frozenset(Plane)

    def __init__(self, plan: dict[tuple[int, str], Action]) -> None:
        self.plan = plan
        self.asked: list[tuple[str, int, str]] = []

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        point = moment.point
        if point.endpoint != "store":
            return ()
        self.asked.append((point.entity, point.nth, point.phase))
        action = self.plan.get((point.nth, point.phase))
        return () if action is None else (Decision("test", action),)


class Scene:
    """A simulated world with one client process after the other."""

    def __init__(self, plan: dict[tuple[int, str], Action] | None = None) -> None:
        self.world = SimWorld(1, time_limit_s=1000.0)
        self.decider = Planned(plan or {})
        self.history = History()
        self.injector = Injector(self.decider, self.history, self.world.now_s)
        self.injector.armed = True
        self.upon: list[Action] = []
        self.process = 1
        self.rows: list[Any] = []
        self.said: Any = None

    def carry_out(self, action: Action) -> None:
        self.upon.append(action)
        if isinstance(action, Crash):
            self.world.crash(self.process, action.how)

    def run(self, client: Client, intent: str = "") -> Scene:
        """Run ``client`` with the path of its store, then read what its successor finds there."""

        async def call() -> Any:
            try:
                return client(path)
            except (sqlite3.Error, SimEscape) as error:
                return error

        async def main() -> None:
            nonlocal path
            self.world.arm(self.injector, self.carry_out)
            path = str(self.world.store_path())
            task = self.world.spawn(call(), self.process, intent)
            while not task.done() and not self.world.crashed(self.process):  # noqa: ASYNC110 -- the fenced say nothing
                await asyncio.sleep(0)
            self.said = task.result() if task.done() else None
            self.rows = self.read()

        path = ""
        self.world.run(main)
        return self

    def read(self) -> list[Any]:
        db = sqlite3.connect(self.world.store_path())
        try:
            return [value for (value,) in db.execute("SELECT v FROM t ORDER BY v")]
        except sqlite3.OperationalError:
            return ["no table"]
        finally:
            db.close()

    @property
    def points(self) -> list[str]:
        """Points asked, as ``1 before``."""
        return [f"{nth} {phase}" for _, nth, phase in self.decider.asked]

    @property
    def effects(self) -> list[str]:
        return [event.effect for event in self.history.of(Resolved)]


def open_table(path: str, **options: Any) -> sqlite3.Connection:
    """A store with an empty table, made before the points of a test."""
    plain = sqlite3.Connection(path)
    plain.execute("CREATE TABLE IF NOT EXISTS t (v)")
    plain.close()
    return sqlite3.connect(path, **options)


def insert_and_commit(path: str) -> None:
    db = open_table(path)
    db.execute("INSERT INTO t VALUES (1)")
    db.commit()
    db.close()


# Where the points are


def test_a_statement_and_its_commit_are_points() -> None:
    assert Scene().run(insert_and_commit).points == ["1 before", "2 before", "2 after"]


def test_reading_is_no_point() -> None:
    def read(path: str) -> None:
        db = open_table(path)
        db.execute("  -- what is there\n SELECT * FROM t")
        db.execute("/* all */ WITH a AS (SELECT 1) SELECT * FROM a").fetchall()
        db.execute("PRAGMA journal_mode")
        db.execute("EXPLAIN INSERT INTO t VALUES (1)")
        db.execute("VALUES (1)")
        db.execute("")
        db.commit()
        db.close()

    scene = Scene().run(read)
    assert scene.said is None
    assert scene.points == []


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)",
        "  insert into t values (1)",
        "-- one\nINSERT INTO t VALUES (1)",
        "/* a */ /* b */ REPLACE INTO t VALUES (1)",
        "WITH a AS (SELECT 1 AS v) INSERT INTO t SELECT v FROM a",
    ],
)
def test_every_way_to_write_is_a_point(sql: str) -> None:
    def write(path: str) -> None:
        db = open_table(path, isolation_level=None)
        db.execute(sql)
        db.close()

    scene = Scene().run(write)
    assert scene.rows == [1]
    assert scene.points == ["1 before", "1 after"]


def with_block(db: sqlite3.Connection) -> None:
    with db:
        db.execute("INSERT INTO t VALUES (1)")


def cursor(db: sqlite3.Connection) -> None:
    cursor = db.cursor()
    cursor.execute("INSERT INTO t VALUES (1)")
    db.commit()


def many(db: sqlite3.Connection) -> None:
    db.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    db.commit()


def written_out(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (1)")
    db.execute("COMMIT")


def ended(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    db.execute("INSERT INTO t VALUES (1)")
    db.execute("end transaction")


def script(db: sqlite3.Connection) -> None:
    db.executescript("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);")


def script_commits_what_is_open(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1)")
    db.executescript("SELECT 1;")


def new_table(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE u (v)")


def new_table_in_a_transaction(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1)")
    db.execute("CREATE TABLE u (v)")
    db.commit()


def nothing_to_commit(db: sqlite3.Connection) -> None:
    db.commit()


def rolled_back(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1)")
    db.rollback()
    with suppress(ZeroDivisionError), db:
        db.execute("INSERT INTO t VALUES (1)")
        raise ZeroDivisionError


IN_A_TRANSACTION = ["1 before", "2 before", "2 after"]


@pytest.mark.parametrize(
    ("write", "points"),
    [
        (with_block, IN_A_TRANSACTION),
        (cursor, IN_A_TRANSACTION),
        (many, IN_A_TRANSACTION),
        (script, ["1 before", "1 after"]),
        (script_commits_what_is_open, IN_A_TRANSACTION),
        (new_table, ["1 before", "1 after"]),
        (new_table_in_a_transaction, ["1 before", "2 before", "3 before", "3 after"]),
        (nothing_to_commit, []),
        (rolled_back, ["1 before", "2 before"]),
    ],
)
def test_the_points_of_the_default_mode(write: Callable[[sqlite3.Connection], None], points: list[str]) -> None:
    scene = Scene().run(lambda path: write(open_table(path)))
    assert scene.said is None
    assert scene.points == points


@pytest.mark.parametrize(
    ("write", "points"),
    [
        (written_out, IN_A_TRANSACTION),
        (ended, IN_A_TRANSACTION),
        (many, ["1 before", "1 after"]),
        (new_table, ["1 before", "1 after"]),
        (with_block, ["1 before", "1 after"]),
    ],
)
def test_the_points_of_autocommit(write: Callable[[sqlite3.Connection], None], points: list[str]) -> None:
    scene = Scene().run(lambda path: write(open_table(path, isolation_level=None)))
    assert scene.said is None
    assert scene.points == points


def test_points_belong_to_the_intent_and_count_for_each() -> None:
    async def write(path: str) -> None:
        insert_and_commit(path)

    scene = Scene()

    async def main() -> None:
        scene.world.arm(scene.injector, scene.carry_out)
        path = str(scene.world.store_path())
        for intent in ("I1", "I2", "I1", ""):
            await scene.world.spawn(write(path), 1, intent)

    scene.world.run(main)
    assert [(who, nth) for who, nth, phase in scene.decider.asked if phase == "after"] == [
        ("I1", 2),
        ("I2", 2),
        ("I1", 4),
        ("-", 2),
    ]


def test_nothing_is_asked_while_disarmed_or_for_the_harness() -> None:
    scene = Scene()

    async def main() -> None:
        insert_and_commit(str(scene.world.store_path()))
        scene.world.arm(scene.injector, scene.carry_out)
        insert_and_commit(str(scene.world.store_path()))

    scene.world.run(main)
    assert scene.points == []
    scene = Scene({(1, "before"): StoreError("full")})
    scene.injector.armed = False
    assert scene.run(insert_and_commit).rows == [1]


# Errors


@pytest.mark.parametrize(
    ("error", "message"),
    [("busy", "database is locked"), ("full", "database or disk is full"), ("io", "disk I/O error")],
)
@pytest.mark.parametrize("nth", [1, 2])
def test_a_refused_statement_or_commit_says_what_sqlite_says(error: Any, message: str, nth: int) -> None:
    scene = Scene({(nth, "before"): StoreError(error)}).run(insert_and_commit)
    assert isinstance(scene.said, sqlite3.OperationalError)
    assert str(scene.said) == message
    assert scene.rows == []
    assert scene.effects == ["not_applied"]


def test_a_busy_store_waits_for_its_timeout_in_virtual_time() -> None:
    times: list[float] = []
    scene = Scene({(1, "before"): StoreError("busy")})

    def write(path: str) -> None:
        db = open_table(path, timeout=2.5)
        times.append(scene.world.now_s())
        try:
            db.execute("INSERT INTO t VALUES (1)")
        finally:
            times.append(scene.world.now_s())

    scene.run(write)
    assert times[1] - times[0] == pytest.approx(2.5)
    assert str(scene.said) == "database is locked"


def test_the_timeout_is_five_seconds_unless_given_by_name_or_place() -> None:
    for options, waited_s in (((), 5.0), ((1.5,), 1.5)):
        scene = Scene({(1, "before"): StoreError("busy")})

        def write(path: str, options: tuple[float, ...] = options) -> None:
            open_table(path)
            sqlite3.connect(path, *options).execute("INSERT INTO t VALUES (1)")

        scene.run(write)
        assert scene.world.now_s() == pytest.approx(waited_s, abs=0.1)


def test_a_full_disk_rolls_the_transaction_back_and_a_busy_one_leaves_it_open() -> None:
    for error, open_still in (("full", False), ("io", False), ("busy", True)):
        seen: list[bool] = []

        def write(path: str, seen: list[bool] = seen) -> None:
            db = open_table(path, timeout=0.1)
            db.execute("INSERT INTO t VALUES (1)")
            try:
                db.commit()
            except sqlite3.OperationalError:
                seen.append(db.in_transaction)
                db.commit()

        scene = Scene({(2, "before"): StoreError(error)}).run(write)  # type: ignore[arg-type]
        assert seen == [open_still]
        assert scene.rows == ([1] if open_still else [])


def test_a_with_block_whose_commit_is_refused_rolls_back() -> None:
    def write(path: str) -> bool:
        db = open_table(path, timeout=0.1)
        with suppress(sqlite3.OperationalError), db:
            db.execute("INSERT INTO t VALUES (1)")
        return db.in_transaction

    scene = Scene({(2, "before"): StoreError("busy")}).run(write)
    assert scene.said is False
    assert scene.rows == []


def test_the_real_wrapper_behaves_as_the_real_sqlite_does(tmp_path: Path) -> None:
    """What the three tests above hold the simulation to, of SQLite itself: a lock that somebody else holds."""
    path = str(tmp_path / "real.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE t (v)")
    db = sqlite3.connect(path, timeout=0)
    db.execute("INSERT INTO t VALUES (1)")
    holder.execute("BEGIN")
    holder.execute("SELECT * FROM t").fetchall()
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        db.commit()
    assert db.in_transaction
    with pytest.raises(sqlite3.OperationalError, match="database is locked"), db:
        db.execute("INSERT INTO t VALUES (2)")
    assert not db.in_transaction


# Crashes


def two_transactions(path: str) -> None:
    db = open_table(path)
    for value in (1, 2):
        db.execute("INSERT INTO t VALUES (?)", (value,))
        db.commit()


@pytest.mark.parametrize(
    ("nth", "phase", "found"),
    [
        (1, "before", []),
        (2, "before", []),
        (2, "after", [1]),
        (3, "before", [1]),
        (4, "before", [1]),
        (4, "after", [1, 2]),
    ],
)
@pytest.mark.parametrize("journal", ["DELETE", "WAL", "TRUNCATE"])
def test_the_next_process_finds_exactly_what_was_committed(
    nth: int, phase: str, found: list[int], journal: str
) -> None:
    def write(path: str) -> None:
        plain = sqlite3.Connection(path)
        plain.execute(f"PRAGMA journal_mode={journal}")
        plain.close()
        two_transactions(path)

    scene = Scene({(nth, phase): Crash()}).run(write)
    assert scene.upon == [Crash()]
    assert scene.rows == found
    assert scene.effects == ["applied" if phase == "after" else "not_applied"]


@pytest.mark.parametrize(("phase", "found"), [("before", []), ("after", [1, 2])])
def test_a_script_or_an_autocommit_statement_is_there_whole_or_not_at_all(phase: str, found: list[int]) -> None:
    def write(path: str) -> None:
        open_table(path).executescript("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);")

    assert Scene({(1, phase): Crash()}).run(write).rows == found


def test_a_transaction_too_large_for_memory_is_undone_by_the_next_process() -> None:
    def write(path: str) -> None:
        open_table(path).close()
        db = sqlite3.connect(path)
        db.execute("PRAGMA cache_size=1")
        db.executemany("INSERT INTO t VALUES (?)", [(str(number) * 50,) for number in range(5000)])
        db.commit()

    scene = Scene({(2, "before"): Crash()}).run(write)
    assert scene.upon == [Crash()]
    assert scene.rows == []


def test_what_a_dead_process_writes_in_the_same_step_reaches_no_store() -> None:
    survived: list[str] = []

    def write(path: str) -> None:
        db = open_table(path)
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()
        db.execute("INSERT INTO t VALUES (2)")
        db.commit()
        other = sqlite3.connect(path)
        with other:
            other.execute("INSERT INTO t VALUES (3)")
        Path(path).with_name("note.txt").write_text("from the void")
        survived.append("the step went on")

    scene = Scene({(2, "after"): Crash()})
    beside: list[bool] = []
    read = scene.read

    def read_and_look() -> list[Any]:
        beside.append(scene.world.store_path().with_name("note.txt").exists())
        return read()

    scene.read = read_and_look  # type: ignore[method-assign]
    scene.run(write)
    assert survived == ["the step went on"]
    assert scene.rows == [1]
    assert beside == [False]
    assert scene.points == ["1 before", "2 before", "2 after"], "the dead have no points"


def test_other_files_beside_the_store_survive_a_crash_too() -> None:
    scene = Scene({(2, "after"): Crash()})
    found: list[str] = []
    read = scene.read

    def read_and_look() -> list[Any]:
        found.append(scene.world.store_path().with_name("note.txt").read_text())
        return read()

    scene.read = read_and_look  # type: ignore[method-assign]

    def write(path: str) -> None:
        Path(path).with_name("note.txt").write_text("before")
        insert_and_commit(path)

    scene.run(write)
    assert found == ["before"]


def test_a_restart_that_strikes_at_the_store_lets_the_step_go_on() -> None:
    scene = Scene({(2, "before"): Restart()}).run(insert_and_commit)
    assert scene.upon == [Restart()]
    assert scene.rows == [1]


def test_what_follows_from_a_fault_runs_outside_the_process_that_it_struck() -> None:
    seen: list[Any] = []
    scene = Scene({(1, "before"): Crash()})
    scene.carry_out = lambda action: seen.append((INCARNATION.get(), HOST.get()))  # type: ignore[method-assign]
    scene.run(insert_and_commit)
    assert seen == [(None, None)]


# What cannot be simulated


class Own(sqlite3.Connection):
    """A connection class of the client's."""


class OwnCursor(sqlite3.Cursor):
    """A cursor class of the client's."""


@pytest.mark.parametrize(
    "reach",
    [
        lambda path: sqlite3.connect(path, factory=Own),
        lambda path: sqlite3.connect(path, 5.0, 0, None, True, Own),
        lambda path: sqlite3.connect(path).cursor(OwnCursor),
    ],
)
def test_classes_of_the_clients_own_are_refused_and_noted(reach: Client) -> None:
    scene = Scene().run(reach)
    assert isinstance(scene.said, SimEscape)
    assert "class" in str(scene.said)
    assert "test_store.py" in str(scene.said)
    assert "What to do" in str(scene.said)
    assert [complaint.what for complaint in scene.world.complaints()] == ["escape"]


# Outside


def test_an_alias_made_before_the_run_is_guarded_too() -> None:
    def write(path: str) -> None:
        open_table(path)
        db = connect_by_alias(path)
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()

    assert Scene().run(write).points == ["1 before", "2 before", "2 after"]


def test_outside_of_a_run_sqlite_is_what_it_was(tmp_path: Path) -> None:
    Scene().run(insert_and_commit)
    db = sqlite3.connect(tmp_path / "x.db", factory=Own)
    assert type(db) is Own
    plain = connect_by_alias(tmp_path / "x.db")
    assert type(plain) is sqlite3.Connection
    assert type(plain.cursor()) is sqlite3.Cursor
    plain.close()
    db.close()


def test_nothing_is_wrapped_before_the_first_run() -> None:
    code = (
        "import sqlite3; real = sqlite3.connect\n"
        "import faultline.worlds.sim.world, faultline.worlds.store\n"
        "assert sqlite3.connect is real"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])

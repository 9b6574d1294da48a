from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from faultline.errors import UsageError
from faultline.store import folder
from faultline.store.address import Address, StoreError, address
from faultline.store.database import Database
from faultline.store.results import Results, Wanted
from faultline.store.retention import Keep, keep, prune, span_s
from tests.store.kit import DAY_S, T0, One, recorded, written


def test_everything_of_a_run_comes_back(either: Address) -> None:
    results = Results(either)
    hostile = 'it\'s 100 % "bad"; DROP TABLE runs; -- \x00 \U0001f4a5'
    schedule = "missing.json"
    id = recorded(
        results,
        One("orders", fails=[1, 2**70], seeds=[0, 1, 2**70], finding=hostile, schedule=schedule, recovery_ms=4.0),
        One("stated", fails=[0], stated={"no_duplicates": "known"}),
        One("doubtful", status="inconclusive", doubts=("fault latency never fired",)),
        One("unmet", unmet=("no_loss",), stated={"no_loss": "it should"}),
        One("broken", error="boom"),
        revision="a" * 40,
        branch="main",
    )
    whole = results.whole(results.find("latest"))
    entry = whole.entry
    assert (entry.id, entry.verdict, entry.cases, entry.expected, entry.runs) == (id, "broke", 5, 1, 15)
    assert (entry.began_at, entry.receipts, entry.source, entry.interrupted) == (T0, 45, "main@aaaaaaaaa", False)
    orders, stated, doubtful, unmet, broken = whole.cases
    assert (orders.label, orders.path, orders.line, orders.oracles) == (
        "orders · careful", "scenarios/orders.yaml", 7, ("no_duplicates",),
    )  # fmt: skip
    (failure,) = whole.failures_of(orders)
    assert failure.seeds == ("1", str(2**70))
    assert failure.finding == hostile.replace("\x00", "\\0")
    assert (failure.faults_left, failure.faults_before, failure.minimal, failure.stated) == (1, 13, True, False)
    assert failure.repeat == "faultline replay missing.json"
    assert [sample.seed for sample in whole.samples_of(orders)] == ["0", "1", str(2**70)]
    assert (whole.samples_of(orders)[0].operation_ms_p99, whole.samples_of(orders)[0].recovery_ms) == (100.0, 4.0)
    told = [(failure.what, failure.stated, failure.finding) for case in (stated, doubtful, unmet, broken)
            for failure in whole.failures_of(case)]  # fmt: skip
    assert told == [
        ("no_duplicates", True, "intent I1 became 2 orders"),
        ("inconclusive", False, "fault latency never fired"),
        ("no_loss did not fail as stated", False, "it should"),
        ("broke", False, "KeyError: boom"),
    ]
    assert results.figures([entry])[id, 0].operation_ms_p99 == 100.0
    assert folder.pending(either.root) == []


def test_a_run_is_named_in_many_ways(either: Address) -> None:
    results = Results(either)
    with pytest.raises(UsageError, match="has no run 'latest'; faultline history lists them"):
        results.find("latest")
    first = recorded(results, One(), day=0, revision="ab" * 20, branch="main")
    second = recorded(results, One(), day=1, revision="cd" * 20, branch="fix_100%")
    third = recorded(results, One("other"), day=2, revision="ab" * 20, branch="main")
    named = ("latest", "latest~1", "latest~2", first, first[:-1], "main", "fix_100%", "abab", "cdcdcd")
    assert [results.find(ref).id for ref in named] == [third, second, first, first, first, third, second, third, second]
    for ref in ("latest~3", "", "mai", "%", "fix_1000", "ab", "20"):
        with pytest.raises(UsageError):
            results.find(ref)
    with pytest.raises(UsageError, match="several runs begin with '2'"):
        results.find("2")
    before = results.before(results.find(second))
    assert before is not None
    assert before.id == first
    assert results.before(results.find(third)) is None


def test_runs_by_scenario_time_and_verdict(either: Address) -> None:
    results = Results(either)
    first = recorded(results, One("orders"), day=0)
    second = recorded(results, One("Crash_now"), One("orders", fails=[0]), day=1)
    third = recorded(results, One("crash now"), day=2)

    def ids(**wanted: object) -> list[str]:
        return [entry.id for entry in results.entries(Wanted(**wanted))]  # type: ignore[arg-type]

    assert ids() == [third, second, first]
    assert ids(limit=1) == [third]
    assert ids(scenario="CRASH_") == [second]
    assert ids(scenario="scenarios/orders") == [second, first]
    assert ids(since=T0 + DAY_S) == [third, second]
    assert ids(until=T0 + DAY_S) == [second, first]
    assert ids(codes=(1,)) == [second]
    key = results.whole(results.find(first)).cases[0].key
    seen = results.seen([key], results.entries())
    assert [(each.entry.id, len(each.failed)) for each in seen[key]] == [(second, 1), (first, 0)]


def _record(url: str, number: int) -> None:
    where = address(url)
    assert where is not None
    results = Results(where)
    for day in range(5):
        recorded(results, One(seeds=range(20)), day=day)


def test_parallel_writers_lose_nothing(either: Address) -> None:
    """They also race for making the tables, and for taking in each other's folders."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_record, args=(either.url.replace("+psycopg", ""), n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4
    results = Results(either)
    entries = results.entries()
    assert len(entries) == len({entry.id for entry in entries}) == 20
    assert all(len(results.whole(entry).samples) == 20 for entry in entries)
    assert folder.pending(either.root) == []


def test_a_folder_that_cannot_be_read_is_told_and_stops_nobody(results: Results) -> None:
    root = results.address.root
    damaged, good = written(root, One(), day=0), written(root, One(), day=1)
    (root / "runs" / damaged / "report.json").write_text('{"faultline_report": 7}')
    (wrong,) = results.take_in()
    assert f"runs/{damaged} cannot be read, and was not recorded" in wrong
    assert [entry.id for entry in results.entries()] == [good]


def test_a_row_that_was_changed_by_hand_is_told(results: Results) -> None:
    recorded(results, One(fails=[0]))
    with Database(results.address).writing() as connection:
        connection.exec_driver_sql("UPDATE failures SET seeds = 'nonsense'")
    with pytest.raises(StoreError, match="a row of StoredFailure in the store is damaged"):
        results.whole(results.find("latest"))


def test_the_same_folder_twice_is_one_run(results: Results) -> None:
    id = recorded(results, One(fails=[0]))
    (results.address.root / "runs" / id / folder.PENDING).touch()
    assert results.take_in() == []
    assert len(results.entries()) == 1
    assert folder.pending(results.address.root) == []


def test_a_server_that_is_away_is_told_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    where = address(f"postgresql://ci:s3cret@/night?host={tmp_path}")
    assert where is not None
    with pytest.raises(StoreError, match="postgresql://ci@/night: ") as told:
        Results(where)
    assert "s3cret" not in str(told.value)


def test_what_is_too_old_goes_with_its_artifacts_and_the_latest_stays(either: Address) -> None:
    results = Results(either)
    ids = [recorded(results, One(fails=[0]), day=day) for day in range(5)]
    now = T0 + 4 * DAY_S
    assert prune(results, Keep(), now) == []
    assert prune(results, Keep(for_s=2.5 * DAY_S), now) == [ids[1], ids[0]]
    assert [path.name for path in sorted((either.root / "runs").iterdir())] == ids[2:]
    with Database(either).reading() as connection:
        rows = [connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() for table in
                ("campaigns", "cases", "failures", "runs")]  # fmt: skip
    assert rows == [3, 3, 3, 9]
    assert prune(results, Keep(count=2), now) == [ids[2]]
    assert prune(results, Keep(for_s=1.0), now + 1000 * DAY_S) == [ids[3]]
    assert [entry.id for entry in results.entries()] == [ids[4]]


def test_how_long_to_keep() -> None:
    assert keep("90d") == Keep(for_s=90 * DAY_S)
    assert keep(" 2w ") == Keep(for_s=14 * DAY_S)
    assert keep("200") == Keep(count=200)
    assert keep("Forever") == Keep()
    assert span_s("12h", "--since") == 12 * 3600
    for text in ("0", "-3d", "soon", "3 moons"):
        with pytest.raises(UsageError, match="--keep"):
            keep(text)

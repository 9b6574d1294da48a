"""A writer is killed at every write, on disk and in the database: the store holds all of its run, or nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = '''
import os, resource, shutil, signal, sys, time
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from faultline.store import folder, recorder
from faultline.store.address import address
from faultline.store.database import Database
from faultline.store.results import Results
from tests.store.kit import One, report, recorded

WHERE = address(sys.argv[1]) if sys.argv[1:] else address(None)
CASES = (One("orders", fails=[1], schedule="saved.json"), One("crash"))
Path("saved.json").write_text("x")
Path("saved.history.jsonl").write_text("x")
counted = 0
armed_at = 0

def write(what, *rest):
    global counted
    if armed_at:
        counted += 1
        if counted == armed_at:
            os.kill(os.getpid(), signal.SIGKILL)

def audited(name, args):
    if sys.argv[1:]:
        return  # what happens on disk is the same with a server
    if name == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        write(name)
    elif name in ("os.rename", "os.mkdir", "os.symlink", "os.remove", "shutil.copyfile", "sqlite3.connect"):
        write(name)

sys.addaudithook(audited)
for when in ("before_cursor_execute", "after_cursor_execute", "begin", "commit"):
    event.listen(Engine, when, lambda *rest: write("sql"))

def in_a_child(work):
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(7)
    return os.waitpid(child, 0)[1]

def check(before):
    """Everything or nothing, now and after what was pending has been taken in; and the next run is recorded."""
    def look():
        results = Results(WHERE)
        entries = results.entries()
        for entry in entries[:1]:
            whole = results.whole(entry)
            assert (len(whole.cases), len(whole.failures), len(whole.samples)) == (2, 1, 6), entry
            assert (folder.runs(WHERE.root) / entry.id / "report.json").exists(), entry
        return {entry.id for entry in entries}

    first = look()
    assert len(first - before) <= 1 and before <= first
    Results(WHERE).take_in()
    second = look()
    there = {path.parent.name for path in folder.runs(WHERE.root).glob("*/run.json") if path.parent.name[0] != "."}
    assert second == there and len(second - before) <= 1 and first <= second, (first, second, there)
    return second
'''

KILLS = (
    SCRIPT
    + """
def killed():
    global armed_at
    armed_at = number
    assert recorder.record(WHERE, report(*CASES), 1_800_000_000.0 + number) is not None

known, number, outcomes = set(), 0, []
while True:
    number += 1
    status = in_a_child(killed)
    after = check(known)
    outcomes.append(len(after) - len(known))
    known = after
    if not os.WIFSIGNALED(status):
        assert os.waitstatus_to_exitcode(status) == 0
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert number < 200
print(number - 1, sum(outcomes), outcomes[-1])
"""
)

FULL_DISK = (
    SCRIPT
    + """
import contextlib, io
recorded(Results(WHERE), *CASES)
known = check({entry.id for entry in Results(WHERE).entries()})
print(len(known))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = WHERE.file.stat().st_size
for limit in (0, 50, 1500, 3000, 5000, 9000, 20_000, 40_000, size - 4096, size, size + 4096):
    def squeezed():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            recorder.record(WHERE, report(*CASES), 1_800_000_000.0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        lines = said.getvalue().splitlines()
        assert all(line.startswith("faultline: ") for line in lines), lines
        Path("said").write_text(said.getvalue())
    assert os.waitstatus_to_exitcode(in_a_child(squeezed)) == 0
    known_now = check(known)
    print(limit, len(known_now) - len(known), Path("said").read_text().strip())
    known = known_now
"""
)


def run(script: str, folder: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_writer_killed_at_any_write_leaves_all_of_its_run_or_nothing(tmp_path: Path) -> None:
    (line,) = run(KILLS, tmp_path)
    kills, kept, last = map(int, line.split())
    assert kills > 25
    assert 5 < kept < kills
    assert last == 1


@pytest.mark.usefixtures("postgres")
def test_so_does_one_that_writes_to_a_server(tmp_path: Path, postgres_server: Path) -> None:
    (line,) = run(KILLS, tmp_path, f"postgresql://tester@/store?host={postgres_server}")
    kills, kept, last = map(int, line.split())
    assert kills > 15
    assert kept == kills + 1  # the folder was there each time
    assert last == 1


def test_a_full_disk_is_told_and_leaves_all_or_nothing(tmp_path: Path) -> None:
    begun, *lines = run(FULL_DISK, tmp_path)
    assert begun == "1"
    told = [line for line in lines if "faultline: this run" in line]
    assert len(told) >= 5
    assert "was not recorded in .faultline/runs: File too large" in lines[0]
    assert any("is not in the store yet, the next command that opens it takes it in" in line for line in lines)
    assert lines[-1].split() == [lines[-1].split()[0], "1"]

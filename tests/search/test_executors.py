"""Work in this process and in others, and workers that do not survive it."""

from __future__ import annotations

import math
import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faultline.errors import HarnessError
from faultline.search.executors import Crew, Inline, executor


def test_inline_does_the_work_here_and_one_at_a_time() -> None:
    crew: Crew[str] = Crew(1)
    crew.add("a", os.getpid)
    crew.add("b", operator.add, 1, 2)
    crew.add("c", math.sqrt, 9.0, first=True)
    assert list(crew.results()) == [("c", 3.0), ("a", os.getpid()), ("b", 3)]


def test_jobs_may_be_added_while_results_come() -> None:
    crew: Crew[int] = Crew(1)
    crew.add(0, operator.neg, 0)
    seen = []
    for key, _ in crew.results():
        seen.append(key)
        if key < 3:
            crew.add(key + 1, operator.neg, key)
    assert seen == [0, 1, 2, 3]


def test_what_a_job_raises_is_raised() -> None:
    crew: Crew[str] = Crew(1)
    crew.add("a", math.sqrt, -1.0)
    with pytest.raises(ValueError, match="math domain error"):
        list(crew.results())


def test_unwanted_jobs_are_dropped_before_they_begin() -> None:
    crew: Crew[int] = Crew(1)
    for key in range(5):
        crew.add(key, operator.neg, key)
    assert crew.drop_waiting(lambda key: key % 2 == 1) == [1, 3]
    assert [key for key, _ in crew.results()] == [0, 2, 4]


def test_a_worker_that_dies_takes_only_its_own_job_with_it() -> None:
    crew: Crew[int] = Crew(2)
    for key in range(8):
        if key == 3:
            crew.add(key, os._exit, 1)
        else:
            crew.add(key, operator.mul, key, key)
    results = dict(crew.results())
    crew.close()
    assert {key: value for key, value in results.items() if key != 3} == {
        key: key * key for key in range(8) if key != 3
    }
    assert isinstance(results[3], HarnessError)
    assert "died twice" in str(results[3])


def test_workers_leave_ctrl_c_to_this_process() -> None:
    pool = executor(2)
    with pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() is signal.SIG_IGN
        assert pool.submit(os.getpid).result() != os.getpid()


def test_what_was_under_way_when_it_closed_is_not_lost() -> None:
    crew: Crew[str] = Crew(2)
    crew.add("quick", operator.neg, 1)
    crew.add("slow", time.sleep, 0.2)
    key, _ = next(crew.results())
    crew.close()
    assert {key, *(name for name, _ in crew.finished())} == {"quick", "slow"}


def test_closing_now_waits_for_nobody() -> None:
    crew: Crew[str] = Crew(2)
    crew.add("quick", operator.neg, 1)
    crew.add("endless", time.sleep, 1_000.0)
    assert next(crew.results())[0] == "quick"
    began_s = time.monotonic()
    crew.close(now=True)
    assert time.monotonic() - began_s < 100


def test_inline_keeps_an_error_for_whoever_asks() -> None:
    assert isinstance(Inline().submit(math.sqrt, -1.0).exception(), ValueError)


PARENT = """
import sys, time
from faultline.search.executors import executor
crew = executor(2)
for _ in range(4):
    crew.submit(time.sleep, 0.01).result()
print(*{process.pid for process in crew._processes.values()}, flush=True)
sys.stdin.read()
"""


def test_workers_end_when_their_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert workers
    finally:
        parent.kill()
        parent.wait()
    deadline_s = time.monotonic() + 20
    while (left := [pid for pid in workers if running(pid)]) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert left == []


def running(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of one that nobody has asked about."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

"""The same seed is the same run, in this process and in any other; what makes it differ is found."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faultline.history.event import Boot, Crashed, Delivered, Received, Struck
from faultline.runner import run
from faultline.search.repeat import first_difference

from .everything import play
from .playing import NAIVE, planned

ROOT = Path(__file__).parent.parent
SEED = 5


def test_everything_is_really_in_it() -> None:
    played = play(SEED)
    assert played.error is None
    history = played.history
    assert {event.plane for event in history.of(Struck)} == {"stream", "message", "venue", "target"}
    assert len({event.fault for event in history.of(Struck)}) >= 15
    assert {event.how for event in history.of(Crashed)} == {"fin", "stop"}
    assert len(history.of(Boot)) >= 3
    assert max(event.nth for event in history.of(Received) if event.entity != "-") > 1, "retries"
    assert {event.fate for event in history.of(Delivered)} >= {"sent", "dropped", "delayed", "duplicated"}


def test_a_seed_gives_the_same_history_in_fresh_processes_with_other_hash_seeds() -> None:
    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.everything", str(SEED)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with ThreadPoolExecutor(2) as pool:
        digests = list(pool.map(digest, ["0", "1", "4711", "random"]))
    assert digests == [play(SEED).history.digest] * 4


def test_a_seed_repeats_after_other_runs_and_of_another_target() -> None:
    first = play(SEED)
    others = {play(SEED, NAIVE).history.digest, play(SEED + 1).history.digest}
    again = play(SEED)
    assert first_difference(first.history, again.history) is None
    assert first.history.digest == again.history.digest
    assert first.schedule == again.schedule
    assert len({first.history.digest, *others}) == 3


def test_a_client_that_iterates_over_a_set_of_objects_is_caught_by_running_it_twice() -> None:
    plan = planned("unordered.py:Unordered")
    first, again = run(plan, 1), run(plan, 1)
    assert first.error is None
    assert first.history.digest != again.history.digest
    difference = first_difference(first.history, again.history)
    assert difference is not None
    assert difference.index is not None
    assert '"kind":"received"' in difference.first
    assert "GET /" in difference.first
    assert "GET /" in difference.second
    assert difference.first != difference.second


def test_the_same_client_with_a_list_in_its_place_repeats() -> None:
    plan = planned("unordered.py:Ordered")
    first = run(plan, 1)
    assert all(first_difference(first.history, run(plan, 1).history) is None for _ in range(3))

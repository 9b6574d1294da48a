"""The whole path of one run: phases, digests, and what is left of a run that broke or was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from faultline.errors import HarnessError, SimEscape, SimTimeLimit, TargetError
from faultline.faults import DuplicateRequest, LateRequest, LostResponse, SlowFill
from faultline.history import History, read_history
from faultline.history.event import (
    Answer,
    Belief,
    Contracted,
    Disconnected,
    Effect,
    Intent,
    Phase,
    Received,
    Struck,
    Trouble,
)
from faultline.oracles import NoDuplicates
from faultline.oracles.base import Verdict, verdict
from faultline.runner import TAIL_MIN_S, run
from faultline.stage import Stage
from faultline.venues.generic import GenericVenue
from faultline.worlds.sim import active

from .playing import CLIENTS, TINY, planned

HALF_LOST = LostResponse(on="POST /orders", probability=0.5, during_s=(0.0, 5.0))

# Phases


def phases(history: History) -> dict[str, float]:
    return {event.name: event.t for event in history.of(Phase)}


def test_phases_come_in_order() -> None:
    history = run(planned(TINY, HALF_LOST), 1).history
    assert list(phases(history)) == ["load", "faults_over", "tail", "quiescence", "judgement"]
    assert list(phases(history).values()) == sorted(phases(history).values())
    times = [event.t for event in history]
    assert times == sorted(times)


def test_a_history_begins_with_its_contract() -> None:
    played = run(planned(), 7)
    first = next(iter(played.history))
    assert isinstance(first, Contracted)
    assert (first.seed, first.scenario, first.world) == (7, "test", "sim")
    assert first.target == TINY


def test_a_fault_without_end_strikes_until_the_load_is_over_and_no_longer() -> None:
    played = run(planned(TINY, LostResponse(on="POST /orders", how="fin"), linger_s=4.0), 1)
    over_t = phases(played.history)["faults_over"]
    last_t = played.history.of(Intent)[-1].t
    assert over_t == pytest.approx(last_t + 4.0, abs=0.6)
    struck = [event.t for event in played.history.of(Struck)]
    assert len(struck) > 20
    assert over_t - 0.2 < max(struck) <= over_t
    assert {event.outcome for event in played.history.of(Answer)} == {"ok"}, "the tail put it right"
    assert max(event.t for event in played.history.of(Answer)) < over_t + 1


def test_the_load_is_over_when_all_is_answered_and_no_fault_is_due() -> None:
    played = run(planned(TINY, linger_s=60.0), 1)
    assert phases(played.history)["faults_over"] < 3


def test_the_load_waits_for_the_end_of_a_fault() -> None:
    late = LostResponse(on="POST /orders", during_s=(20.0, 30.0))
    assert phases(run(planned(TINY, late), 1).history)["faults_over"] == pytest.approx(30.5, abs=0.51)


def test_the_tail_has_its_least_length() -> None:
    at = phases(run(planned(), 1).history)
    assert at["quiescence"] - at["tail"] == pytest.approx(TAIL_MIN_S, abs=0.6)


def test_quiescence_waits_for_a_late_request() -> None:
    played = run(planned(TINY, LateRequest(on="POST /orders", nth=3, by_s=40.0)), 1)
    assert phases(played.history)["quiescence"] > 41.0
    assert max(event.t for event in played.history.of(Effect)) < phases(played.history)["quiescence"]


def test_quiescence_waits_for_a_copy_that_is_on_its_way() -> None:
    played = run(planned(TINY, DuplicateRequest(on="POST /orders", nth=3, gap_s=40.0)), 1)
    (copied_t,) = [event.t for event in played.history.of(Received) if event.injected]
    assert copied_t > 40.0
    assert phases(played.history)["quiescence"] > copied_t


def test_quiescence_waits_for_a_fill_that_is_outstanding() -> None:
    played = run(planned(TINY, SlowFill(nth=3, by_s=40.0)), 1)
    filled_t = max(event.t for event in played.history.of(Effect) if event.what == "fill")
    assert filled_t > 40.0
    assert phases(played.history)["quiescence"] > filled_t


def test_the_tail_ends_although_the_run_does_not_come_to_rest() -> None:
    played = run(planned(f"{CLIENTS}/broken.py:NeverAnswers", tail_s=20.0), 1)
    at = phases(played.history)
    assert at["quiescence"] - at["tail"] == pytest.approx(20.0, abs=0.6)


def test_the_last_belief_is_read_at_quiescence() -> None:
    history = run(planned(), 1).history
    (final,) = [event for event in history.of(Belief) if event.final]
    assert final.t == phases(history)["quiescence"]


# Digests


def test_the_same_seed_gives_the_same_history_and_another_seed_another_one() -> None:
    plan = planned(TINY, HALF_LOST, orders=10)
    first, again, other = run(plan, 1), run(plan, 1), run(plan, 2)
    assert first.history.digest == again.history.digest
    assert list(first.history) == list(again.history)
    assert first.history.digest != other.history.digest
    assert first.schedule == again.schedule


def test_the_digest_covers_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned()
    before = run(plan, 1).history
    monkeypatch.setattr("faultline.worlds.sim.world.SimWorld.digest", lambda world: "another wire")
    after = run(plan, 1).history
    assert list(after) == list(before)
    assert after.digest != before.digest


def test_a_history_on_disk_is_the_one_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    played = run(planned(TINY, HALF_LOST), 1, path=path)
    read = read_history(path)
    assert read.digest == played.history.digest
    assert list(read) == list(played.history)


def test_streaming_a_history_changes_nothing(tmp_path: Path) -> None:
    plan = planned(TINY, HALF_LOST)
    assert run(plan, 1, path=tmp_path / "h").history.digest == run(plan, 1).history.digest


# Judgement


class Breaks:
    name: ClassVar[str] = "breaks"
    checks: ClassVar[tuple[str, ...]] = ()

    def judge(self, history: History) -> Verdict:
        raise ZeroDivisionError("nothing to divide")


class Late:
    """Fails when it is asked before the history is sealed."""

    name: ClassVar[str] = "late"
    checks: ClassVar[tuple[str, ...]] = ()

    def judge(self, history: History) -> Verdict:
        before = len(history)
        history.append(Trouble(0.0, "unhandled", "too late"))
        return verdict(self.name, 1, [], unknown="" if len(history) == before else "the history is still open")


def test_oracles_judge_the_sealed_history_and_one_that_breaks_says_so() -> None:
    played = run(planned(expect=[NoDuplicates(), Breaks(), Late()]), 1)
    assert [(each.oracle, each.verdict) for each in played.verdicts] == [
        ("no_duplicates", "pass"),
        ("breaks", "unknown"),
        ("late", "pass"),
    ]
    assert "ZeroDivisionError: nothing to divide" in played.verdicts[1].why
    assert played.failed == ()


def test_what_the_teardown_does_is_no_part_of_the_history() -> None:
    played = run(planned(f"{CLIENTS}/broken.py:LeavesStream"), 1)
    assert played.error is None
    assert played.history.of(Disconnected) == [], "its stream was open when the run was judged"
    assert played.history.end_t == pytest.approx(played.virtual_s, abs=1)


# Runs that break


def test_a_run_that_breaks_has_no_verdicts_and_a_readable_history(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    played = run(planned(f"{CLIENTS}/broken.py:WrongWord", expect=[NoDuplicates()]), 1, path=path)
    assert isinstance(played.error, TargetError)
    assert played.verdicts == ()
    assert list(read_history(path)) == list(played.history)
    assert read_history(path).digest == played.history.digest


def test_an_escape_that_the_client_swallowed_is_still_an_escape() -> None:
    for client in ("SwallowsEscape", "EscapesInStop"):
        played = run(planned(f"{CLIENTS}/broken.py:{client}", expect=[NoDuplicates()]), 1)
        assert isinstance(played.error, SimEscape)
        assert "a thread" in str(played.error)
        assert played.verdicts == ()
        assert [event.what for event in played.history.of(Trouble)] == ["escape"]


def test_a_venue_that_breaks_is_our_fault_and_names_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*args: Any) -> Any:
        raise ZeroDivisionError("the book is empty")

    monkeypatch.setattr(GenericVenue, "_place", break_down)
    played = run(planned(expect=[NoDuplicates()]), 1)
    assert isinstance(played.error, HarnessError)
    assert "ZeroDivisionError: the book is empty" in str(played.error)
    assert isinstance(played.error.__cause__, ZeroDivisionError), "with the traceback that says where"
    assert played.virtual_s < 5, "and it ends the run"


def test_a_stage_that_breaks_is_our_fault_and_keeps_its_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def break_down(stage: Stage) -> None:
        raise ZeroDivisionError("no load")

    monkeypatch.setattr(Stage, "load", break_down)
    path = tmp_path / "run.jsonl"
    played = run(planned(), 1, path=path)
    assert isinstance(played.error, HarnessError)
    assert isinstance(played.error.__cause__, ZeroDivisionError)
    assert list(read_history(path)) == list(played.history)


def test_a_driver_that_breaks_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("no answer")

    monkeypatch.setattr("faultline.driver.Answer", break_down)
    played = run(planned(), 1)
    assert isinstance(played.error, HarnessError)
    assert isinstance(played.error.__cause__, ZeroDivisionError)


def test_a_run_beyond_its_limit_of_time_says_so_and_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    played = run(planned(TINY, time_limit_s=5.0), 1, path=path)
    assert isinstance(played.error, SimTimeLimit)
    assert played.virtual_s <= 5.0
    assert max(event.t for event in played.history) <= 5.0
    assert read_history(path).digest == played.history.digest


def test_an_interrupt_goes_through_and_leaves_a_readable_history(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(planned(f"{CLIENTS}/broken.py:Interrupted"), 1, path=path)
    assert [event.id for event in read_history(path).of(Intent)] == ["I1"]
    assert active.STATE.sim is None
    assert run(planned(), 1).error is None


def test_a_killed_process_leaves_everything_it_wrote_readable(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    code = (
        "import sys; from pathlib import Path; from faultline.runner import run\n"
        "from tests.playing import planned, TINY\n"
        "run(planned(TINY, orders=100_000, rate_per_s=50.0), 1, path=Path(sys.argv[1]))\n"
    )
    root = str(CLIENTS.parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=root, env={**os.environ, "PYTHONPATH": root}
    )
    try:
        deadline = time.monotonic() + 60
        while not path.exists() or path.stat().st_size < 200_000:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    history = read_history(path)
    assert len(history) > 500
    assert [event.id for event in history.of(Intent)][:2] == ["I1", "I2"]
    assert history.of(Received)
    assert "judgement" not in phases(history)
    for folder in Path("/dev/shm").glob(f"faultline-{process.pid}-*"):
        # A killed process cannot clean up after itself.
        for file in sorted(folder.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        folder.rmdir()

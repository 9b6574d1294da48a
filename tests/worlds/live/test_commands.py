"""Clients that are processes: how they are spoken to, killed and stopped, what they do wrong, and that none is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faultline.errors import ScenarioError, TargetError, UnsupportedFault, UsageError
from faultline.faults import Crash, Pause, Restart, StoreError
from faultline.faults.base import Fault
from faultline.history.event import Answer, Belief, Boot, Crashed, Resolved, Stuck, Trouble
from faultline.plan import Plan, make_plan
from faultline.runner import Run, run
from faultline.scenario.model import OrdersWorkload
from faultline.targets import TargetRef
from faultline.worlds.command import Command

from ...playing import CLIENTS, TINY, planned

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

SPEAKER = str(CLIENTS / "speaker.py")
Make = Callable[..., Plan]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Plans a live run of three orders against a speaker with these habits, or against another program."""
    monkeypatch.setattr("faultline.worlds.live.command_target.ASK_S", 0.05)
    monkeypatch.setattr("faultline.driver.START_AGAIN_S", 0.1)

    def make(
        *faults: Fault, habits: str = "", program: tuple[str, ...] = (), world: str = "live", **settings: Any
    ) -> Plan:
        own = {name: settings.pop(name) for name in ("channel", "ready_within_s", "folder") if name in settings}
        line = program or (sys.executable, "-S", SPEAKER, *habits.split())
        it = Command(line, {"NOTES": str(tmp_path)}, **own)
        scenario = planned(**({"rate_per_s": 10.0, "linger_s": 2.0} | settings)).scenario
        scenario = replace(scenario, world=world, faults=faults, targets={"it": it.spec}, commands={"it": it})
        scenario = replace(scenario, path=str(tmp_path / "test.yaml"))
        return make_plan(scenario, scenario.target("it"))

    return make


def notes(folder: Path, incarnation: int = 1) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / f"{incarnation}.json").read_text())
    return told


def state(process: int) -> str:
    """The kernel's letter for it; empty when there is no such process (a zombie executes nothing any more)."""
    try:
        letter = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return "" if letter in "ZX" else letter


def until(what: Callable[[], object], limit_s: float = 10.0) -> None:
    limit = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.01)


def outcomes(done: Run) -> list[tuple[str, int]]:
    return [(answer.outcome, answer.incarnation) for answer in done.history.of(Answer)]


def broken(done: Run) -> str:
    assert isinstance(done.error, TargetError), done.error
    assert done.virtual_s < 20
    return str(done.error)


# How it is spoken to


@pytest.mark.parametrize("channel", ["stdio", "fd", "files", "http"])
def test_it_is_asked_and_heard_over_every_channel(
    command: Make, tmp_path: Path, left: Callable[[], list[str]], channel: str
) -> None:
    done = run(command(channel=channel), 7)
    assert done.error is None
    assert outcomes(done) == [("ok", 1)] * 3
    assert {order.intent for belief in done.history.of(Belief) for order in belief.orders} == {"I1", "I2", "I3"}
    assert not done.history.of(Trouble)
    assert not done.history.of(Stuck)
    told = notes(tmp_path)
    assert told["folder"] == str(tmp_path), "it runs in the folder of its scenario"
    assert told["env"]["FAULTLINE_SEED"] == "7"
    assert told["env"]["FAULTLINE_REST_URL"].startswith("http://127.0.0.1:")
    assert left() == []
    assert state(told["pid"]) == ""


def test_every_variable_that_it_is_told_is_documented(command: Make, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "any-language.md").read_text()
    for channel in ("stdio", "fd", "files", "http"):
        assert run(command(channel=channel, orders=1), 0).error is None
        for name in notes(tmp_path)["env"]:
            assert f"| `{name}` |" in page


# What happens to its process


def test_a_crash_kills_it_and_all_that_it_started_and_its_store_stays(command: Make, tmp_path: Path) -> None:
    done = run(command(Crash(at_s=0.8, down_s=0.05), habits="children", rate_per_s=2.0), 0)
    assert done.error is None
    assert [boot.incarnation for boot in done.history.of(Boot)] == [1, 2]
    assert [event.effect for event in done.history.of(Resolved)] == ["applied"]
    assert len(outcomes(done)) == 3
    first, second = notes(tmp_path, 1), notes(tmp_path, 2)
    assert second["stored"] == ["1", "2"]
    assert second["env"]["FAULTLINE_STORE_PATH"] == first["env"]["FAULTLINE_STORE_PATH"]
    assert [state(process) for process in (first["pid"], *first["children"])] == ["", "", ""]


def test_a_pause_stops_it_and_lets_it_go_on(command: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faultline.driver import Driver

    seen: list[str] = []
    pause = Driver.pause

    def seeing(driver: Driver, action: Any) -> bool:
        paused = pause(driver, action)
        until(lambda: state(notes(tmp_path)["pid"]) == "T")
        seen.append("T")
        return paused

    monkeypatch.setattr(Driver, "pause", seeing)
    done = run(command(Pause(at_s=0.9, lasts_s=0.5), rate_per_s=2.0), 0)
    assert done.error is None
    assert seen == ["T"]
    assert [event.effect for event in done.history.of(Resolved)] == ["applied"]
    assert outcomes(done) == [("ok", 1)] * 3
    assert max(answer.t for answer in done.history.of(Answer)) >= 1.4, "the third was answered after the pause"


def test_a_restart_asks_it_to_stop(command: Make, tmp_path: Path) -> None:
    done = run(command(Restart(at_s=0.8, down_s=0.05), rate_per_s=2.0), 0)
    assert done.error is None
    assert [crashed.how for crashed in done.history.of(Crashed)] == ["stop"]
    assert not done.history.of(Trouble)
    assert notes(tmp_path, 2)["stored"] == ["1", "2"]


def test_one_that_ends_after_a_fault_has_struck_is_started_again(command: Make) -> None:
    done = run(command(Pause(at_s=0.05, lasts_s=0.02), habits="exit"), 0)
    assert done.error is None
    assert [crashed.how for crashed in done.history.of(Crashed)] == ["exit"]
    assert outcomes(done) == [("ok", 2)] * 3
    (trouble,) = done.history.of(Trouble)
    assert "exit status 7" in trouble.detail
    assert "out of money" in trouble.detail


# Nothing is left, whoever dies


def test_nothing_is_left_when_the_runner_is_killed(tmp_path: Path) -> None:
    line = [sys.executable, "-S", SPEAKER, "children", "never_ready"]
    (tmp_path / "s.yaml").write_text(
        f"name: n\ntarget: {{command: {json.dumps(line)}, env: {{NOTES: {tmp_path}}}, ready_within: 60s}}\n"
        "venue: generic\nworld: live\nseeds: 1\nexpect: [no_duplicates]\n"
    )
    program = "import sys; from faultline.cli import main; sys.exit(main())"
    runner = subprocess.Popen(
        [sys.executable, "-c", program, "run", "s.yaml", "--jobs", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.DEVNULL,
    )
    try:
        until((tmp_path / "1.json").exists, 30.0)
    finally:
        runner.kill()
        runner.wait()
    told = notes(tmp_path)
    until(lambda: not any(map(state, (told["pid"], *told["children"]))), 5.0)


def test_nothing_is_left_when_its_supervisor_is_killed(command: Make, tmp_path: Path) -> None:
    message = broken(run(command(habits="child orphan"), 0))
    assert "its supervisor ended" in message
    told = notes(tmp_path)
    until(lambda: not any(map(state, (told["pid"], *told["children"]))), 5.0)


# What it does wrong


SAY = "say="
WRONG = {
    "it exits at once": ({"program": ("sh", "-c", "echo no config >&2; exit 3")}, "exit status 3", "no config"),
    "it is killed": ({"program": ("sh", "-c", "kill -9 $$")}, "signal 9 (SIGKILL)", "wrote nothing"),
    "it is never ready": ({"habits": "never_ready", "ready_within_s": 1.5}, "within 1.5 s", "waiting for godot"),
    "it writes garbage": ({"program": ("sh", "-c", "echo hello there; sleep 100")}, "'hello there'", "any-language.md"),
    "it writes what is not text": ({"program": ("sh", "-c", r"printf '\377\n'; sleep 100")}, "not of the protocol", ""),
    "it says what there is no word for": ({"habits": SAY + '{"redy":true}'}, "unknown field `redy`", "redy"),
    "it says something of another type": ({"habits": SAY + '{"id":1}'}, "Expected `str", "$.id"),
    "it says it over HTTP": ({"habits": SAY + "x", "channel": "http"}, "not of the protocol", "'x'"),
    "it answers with a word of its own": ({"habits": "answer=done"}, "answered 'done'", "accepted"),
    "it believes what there is no word for": ({"habits": "believes=open"}, "snapshot()", "'open'"),
    "it exits while it is asked": ({"habits": "exit"}, "exit status 7", "out of money"),
    "it closes its output": ({"habits": "close"}, "closed its standard output", "its process goes on"),
    "it never ends a line": (
        {"program": ("sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; sleep 100")}, "longer than 65536", "",
    ),
    "it is no program": ({"program": ("./empty",)}, "cannot be executed: Exec format error", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_it_does_wrong_ends_the_run_and_says_so(
    command: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: Callable[[], list[str]], case: str
) -> None:
    for user in ("pipes", "channels"):
        monkeypatch.setattr(f"faultline.worlds.live.{user}.LINE_MAX_BYTES", 65536)
    (tmp_path / "empty").write_bytes(b"\0")
    (tmp_path / "empty").chmod(0o755)
    settings, *said = WRONG[case]
    message = broken(run(command(**settings), 0))
    for words in said:
        assert words in message
    assert left() == []
    if (tmp_path / "1.json").exists():
        assert state(notes(tmp_path)["pid"]) == ""


def test_a_flood_on_stderr_hurts_nobody(command: Make) -> None:
    done = run(command(habits="flood"), 0)
    assert done.error is None
    assert outcomes(done) == [("ok", 1)] * 3


def test_one_that_hangs_at_its_stop_is_stuck_and_killed(
    command: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faultline.driver.STOP_MAX_S", 0.3)
    done = run(command(habits="hang"), 0)
    assert done.error is None
    assert [stuck.task for stuck in done.history.of(Stuck)] == ["stop()"]
    assert state(notes(tmp_path)["pid"]) == ""


def test_one_that_stops_badly_and_leaves_children_is_told(command: Make, tmp_path: Path) -> None:
    done = run(command(habits="children status=4"), 0)
    assert done.error is None
    (trouble,) = done.history.of(Trouble)
    assert "exit status 4" in trouble.detail
    assert [stuck.task for stuck in done.history.of(Stuck)] == ["process sleep"] * 2
    assert not any(map(state, notes(tmp_path)["children"]))


# What is refused while planning


def test_what_a_command_cannot_do_is_refused_while_planning(command: Make, live: Make) -> None:
    with pytest.raises(ScenarioError, match=r"the sim world cannot run a command, .*use world: live"):
        command(world="sim")
    with pytest.raises(UnsupportedFault, match="in another process"):
        command(StoreError())
    with pytest.raises(UnsupportedFault, match="in another process"):
        command(Crash(on="store"))
    with pytest.raises(UnsupportedFault, match="closes the connections of a killed process"):
        command(Crash(how="silence"))
    for fault, what in ((Crash(at_s=1), "kill"), (Pause(at_s=1), "stop")):
        with pytest.raises(UnsupportedFault, match=f"cannot {what} a Python class alone.*run it as a command"):
            make_plan(replace(live().scenario, faults=(fault,)), TargetRef("it", TINY))
    with pytest.raises(UnsupportedFault, match="has no process to stop"):
        planned("tiny.py:Tiny", Pause(at_s=1))
    plan = command(Crash(at_s=1), Pause(at_s=1), Restart(at_s=1))
    assert make_plan(replace(plan.scenario, workload=OrdersWorkload(cancels=0.5)), plan.target)


def test_a_program_or_folder_that_is_not_there_is_told_with_its_place(command: Make, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    for settings, said in (
        ({"program": ("no-such-program", "x")}, "no-such-program cannot be started: no such program on the PATH"),
        ({"program": ("./nowhere",)}, "there is no such file"),
        ({"program": ("./plain",)}, "it may not be executed"),
        ({"folder": "nowhere"}, "no such folder"),
    ):
        with pytest.raises(UsageError, match=r"test\.yaml:\d+:\d+: ") as caught:
            command(**settings)
        assert said in str(caught.value)


def test_its_environment_is_the_runners_and_its_own_and_its_python_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTLINE_WORLD", "live")
    monkeypatch.setenv("SOME_SETTING", "1")
    told = Command(("python",), {"MORE": "2"}).environment()
    assert (told["SOME_SETTING"], told["MORE"]) == ("1", "2")
    assert "FAULTLINE_WORLD" not in told
    found = TargetRef("it", "python", "x.yaml", Command(("python",))).command
    assert found is not None
    assert Path(found.found("x.yaml").command[0]).parent == Path(sys.executable).parent

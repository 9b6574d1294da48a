"""Whole nights, short ones: what is run, in which order, how it ends, who is told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from faultline.campaign.model import Case, RunRecord
from faultline.cli import main
from faultline.cli.selection import Selection, cases
from faultline.nightly import Memory, Night, Outcome, Terms
from faultline.nightly.memory import FIRST_FRESH
from faultline.search.interruption import INTERRUPTION

ROOT = Path(__file__).parents[2]
CLIENT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from targets.naive_flow import NaiveFlow as Naive
from targets.order_flow import OrderFlow as Careful
class Client({{base}}): pass
"""
SCENARIO = """
version: 1
name: {name}
target: client.py:Client
venue: {{profile: generic, idempotency: unique_forever}}
seeds: 2
workload: {{orders: 3, rate: 20/s, linger: 2s, tail: 30s}}
faults:
  - lost_response: {{on: POST /orders, probability: 70%}}
expect: [no_duplicates]
"""


class Ticking:
    """A clock that moves by a second with every batch of runs, so that a budget is a number of batches."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.seen: list[tuple[str, tuple[int, ...]]] = []

    def __call__(self) -> float:
        return self.at_s

    def ran(self, case: Case, records: Sequence[RunRecord]) -> None:
        self.at_s += 1.0
        self.seen.append((case.scenario.name, tuple(record.seed for record in records)))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "client.py").write_text(CLIENT.format(base="Naive"))
    (tmp_path / "one.yaml").write_text(SCENARIO.format(name="one"))
    return tmp_path


def night(project: Path, budget_s: float) -> tuple[Outcome, Ticking, Memory]:
    clock = Ticking()
    memory = Memory(project / "state")
    terms = Terms(budget_s, 1, project / "state" / "failures")
    found = Night(cases(Selection((".",))), memory, terms, ran=clock.ran, clock_s=clock, wall_s=lambda: 1e9).run()
    return found, clock, memory


def test_the_second_night_begins_with_what_failed_and_goes_on_with_seeds_that_are_new(project: Path) -> None:
    first, clock, memory = night(project, budget_s=1.5)
    (result,) = first.campaign.results
    assert result.status == "fail"
    assert first.new == ("one.yaml::one::Client: no_duplicates",)
    assert (first.ended_by, first.campaign.interrupted, memory.nights) == ("its deadline", False, 1)
    used = {seed for _, seeds in clock.seen for seed in seeds}
    assert min(used) == FIRST_FRESH
    failed = Memory(project / "state").of(result.case).failed
    assert failed
    (failure,) = result.failures
    assert (failure.minimal, failure.faults_left) == (True, 1), "cut short by the deadline, and explained all the same"
    assert not INTERRUPTION.asked

    second, clock, memory = night(project, budget_s=2.5)
    assert set(clock.seen[0][1]) <= set(failed), "known failures first"
    fresh = {seed for _, seeds in clock.seen for seed in seeds} - set(failed)
    assert fresh
    assert not fresh & used, "never again"
    assert (second.new, second.still) == ((), ("one.yaml::one::Client: no_duplicates",))
    assert {each.why for each in second.replayed} == {"no_duplicates"}, "its saved schedule failed again"


def test_a_mended_client_is_reported_as_fixed(project: Path) -> None:
    # A night with one process, in processes of their own: the client is another one in the second.
    command = [sys.executable, "-m", "faultline", "nightly", ".", "--budget", "100ms", "--jobs", "1"]
    first = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert first.returncode == 1, first.stdout + first.stderr
    assert "NEW: one.yaml::one::Client: no_duplicates" in first.stdout
    (project / "client.py").write_text(CLIENT.format(base="Careful"))
    # An empty environment, as cron's: no HOME, no PATH, no terminal, no locale.
    second = subprocess.run(
        [*command[:-4], "--budget", "2s", "--jobs", "1"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={},
    )
    assert second.returncode == 0, second.stdout + second.stderr
    assert "fixed: one.yaml::one::Client: no_duplicates" in second.stdout
    assert "0 failures in " in second.stdout


def test_a_terminated_night_reports_what_it_has(project: Path) -> None:
    command = [sys.executable, "-m", "faultline", "nightly", ".", "--budget", "10min", "--jobs", "1"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        memory = project / ".faultline" / "nightly" / "memory.json"
        deadline = threading.Event()
        for _ in range(600):
            if memory.exists() and json.loads(memory.read_text())["cases"]["one.yaml::one::Client"]["runs"]:
                break
            deadline.wait(0.05)
        again = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert again.returncode == 75
        assert f"process {process.pid} holds" in again.stderr
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, out + err
    assert "ended by SIGTERM" in out
    assert "no_duplicates" in out
    assert json.loads(memory.read_text())["nights"] == 0, "a night that was cut short does not count as one"


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, object]]]]:
    got: list[dict[str, object]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204 if self.path == "/good" else 500)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_is_told_of_a_change_until_it_has_heard(
    project: Path, webhook: tuple[str, list[dict[str, object]]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, got = webhook
    words = ["nightly", ".", "--budget", "10ms", "--jobs", "1", "--notify"]
    assert main([*words, f"{url}/bad?token=secret"]) == 1
    told = capsys.readouterr()
    assert "nobody could be told: the webhook answered 500" in told.err
    assert "secret" not in told.out + told.err
    assert main([*words, f"{url}/good"]) == 1
    assert main([*words, f"{url}/good"]) == 1
    capsys.readouterr()
    assert main(["history"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["nightly"] * 3, "each is recorded"
    assert [each["new"] for each in got] == [["one.yaml::one::Client: no_duplicates"]] * 2, "and not a third time"


def test_the_freshness_check_says_yes_no_and_why(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nightly", "--check", "26h"]) == 1
    assert "no night has ever ended here" in capsys.readouterr().out
    memory = Memory(project / ".faultline" / "nightly")
    memory.finish(time.time())
    memory.save()
    assert main(["nightly", "--check", "26h"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "30"], "30"),
        (["--budget", "0s"], "more than nothing"),
        (["--install", "upstart"], "there are cron, systemd, kubernetes, github"),
        (["--junit", "/nowhere/x.xml", "."], "there is no folder /nowhere"),
    ],
)
def test_wrong_words_run_nothing(
    project: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["nightly", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (project / ".faultline").exists()


def test_a_state_folder_that_cannot_be_written_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "file").write_text("")
    assert main(["nightly", ".", "--state", str(project / "file" / "state")]) == 3
    assert "cannot be opened" in capsys.readouterr().err

"""Terminals, pipes and Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

Project = Callable[..., Path]
Command = Callable[..., subprocess.Popen[str]]

CURSOR = ("\x1b[?25l", "\x1b[2K", "\x1b[1A", "\r")


def on_a_terminal(folder: Path, *arguments: str, **env: str) -> tuple[str, int]:
    """What a terminal gets to see of a command, and its exit code."""
    script = "import sys; from faultline.cli import main; sys.exit(main())"
    terminal, own = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **env},
        stdin=own,
        stdout=own,
        stderr=own,
    )
    os.close(own)
    seen = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(terminal)
    return seen.decode(), process.wait()


def test_on_a_terminal_a_bar_moves_and_goes_away(project: Project, tmp_path: Path) -> None:
    project()
    shown, code = on_a_terminal(tmp_path, "run", "s.yaml", "--jobs", "1", NO_COLOR="")
    assert code == 0
    assert "2/2" in shown
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "✓" in shown


def test_in_a_pipe_nothing_moves_whatever_the_environment_says(project: Project, command: Command) -> None:
    project()
    out, err = command("run", "s.yaml", "--jobs", "1", env={"FORCE_COLOR": "1"}).communicate(timeout=60)
    assert err == ""
    assert not any(code in out for code in CURSOR)
    assert "\x1b[32m" in out, "colours were asked for"


@pytest.mark.parametrize(("arguments", "env"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"})])
def test_colours_can_be_forbidden(project: Project, tmp_path: Path, arguments: list[str], env: dict[str, str]) -> None:
    project(seeds=1)
    shown, _ = on_a_terminal(tmp_path, "run", "s.yaml", "-q", "--jobs", "1", *arguments, **env)
    assert "1 of 1 as expected" in shown
    assert "\x1b[3" not in shown


@pytest.mark.parametrize(("jobs", "number"), [("1", signal.SIGINT), ("2", signal.SIGINT), ("2", signal.SIGTERM)])
def test_ctrl_c_and_sigterm_still_report_and_are_130(
    project: Project, command: Command, tmp_path: Path, jobs: str, number: int
) -> None:
    project(seeds=5_000)
    waiting = tmp_path / "waiting"
    (tmp_path / "clients.py").write_text(
        (tmp_path / "clients.py").read_text() + f"\nclass Signals(Careful):\n    async def start(self):\n"
        f"        open({str(waiting)!r}, 'a').write('x')\n        await super().start()\n"
    )
    project(target="Signals", seeds=5_000)
    process = command("run", "s.yaml", "--jobs", jobs, "--json")
    deadline = time.monotonic() + 60
    while not (waiting.exists() and waiting.stat().st_size > 25):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)  # a worker that was left behind would keep the pipes open
    report = json.loads(out)
    assert process.returncode == report["exit_code"] == 130
    assert report["interrupted"]
    assert 0 < len(report["runs"]) < 5_000
    assert report["results"][0]["status"] == "unfinished"
    assert "Traceback" not in err


def test_an_output_that_takes_nothing_is_told_in_plain_words() -> None:
    script = "import sys; from faultline.cli import main; sys.exit(main())"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", script, "schema"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3
    assert done.stderr.splitlines()[0] == "the output: No space left on device"


def test_a_reader_that_goes_away_is_no_error(project: Project, command: Command) -> None:
    for number in range(40):
        project(f"many/{number}.yaml", name=f"scenario {number} " + "x" * 3_000)
    process = command("list", "many")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(60)

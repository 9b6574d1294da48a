"""A newcomer's first commands: an example that fails and is mended, a look at the machine, a shell that completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from faultline.cli import doctor, main
from faultline.cli.doctor import Finding

BUG = '            order["client_order_id"] = uuid.uuid4().hex\n'
LOOP = "        for attempt in range(ATTEMPTS):\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> tuple[int, str, str]:
        code = main(list(argv))
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_the_example_fails_as_it_says_and_passes_when_it_is_mended_as_it_says(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    code, out, _ = run("init")
    assert code == 0
    client = tmp_path / "chaos" / "client.py"
    lines = client.read_text().splitlines(keepends=True)
    number = lines.index(BUG)
    assert f"In chaos/client.py, line {number + 1}," in out

    code, out, _ = run("run", "chaos/")
    assert code == 1
    assert "no_duplicates" in out
    assert "1 of " in out

    lines.insert(lines.index(LOOP), lines.pop(number).removeprefix("    "))
    client.write_text("".join(lines))
    # In a new process, as a person would: this one has the old module.
    done = subprocess.run(
        [sys.executable, "-m", "faultline", "run", "chaos/"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, "1 of 1 as expected" in done.stdout) == (0, True), done.stdout + done.stderr


def test_nothing_is_overwritten_and_nothing_half_written(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "chaos").mkdir()
    (tmp_path / "chaos" / "lost_responses.yaml").write_text("mine")
    code, _, err = run("init")
    assert code == 2
    assert "chaos/lost_responses.yaml is there already" in err
    assert [path.name for path in (tmp_path / "chaos").iterdir()] == ["lost_responses.yaml"]


def test_a_disk_that_fills_leaves_nothing_behind(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def full(path: Path, *args: Any, **kwargs: Any) -> int:
        if path.suffix == ".yaml":
            raise OSError(28, "No space left on device", str(path))
        return write(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full)
    code, _, err = run("init", "here")
    assert code == 3
    assert "lost_responses.yaml cannot be written: No space left on device" in err
    assert list((tmp_path / "here").iterdir()) == []


def test_the_doctor_finds_nothing_wrong_here_and_says_so(run: Callable[..., Any]) -> None:
    code, out, _ = run("doctor")
    assert code == 0
    assert "✓ CPython 3." in out
    assert "✓ a simulated day repeats itself" in out
    assert out.endswith("nothing stands in the way\n")


def test_the_doctor_explains_what_it_finds(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble() -> Iterator[Finding]:
        yield Finding("note", "a note", "do that")
        yield Finding("bad", "very \x1b[31mbad", "mend it")

    def breaks() -> Iterator[Finding]:
        raise OSError("no such thing")
        yield

    monkeypatch.setattr(doctor, "LOOKS", (trouble, breaks))
    code, out, _ = run("doctor")
    assert code == 3
    assert out.splitlines()[:6] == [
        "! a note",
        "    do that",
        "✗ very \\x1b[31mbad",
        "    mend it",
        "✗ breaks: OSError: no such thing",
        "    that is a bug: report it",
    ]
    code, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert (code, found["ok"], len(found["findings"])) == (3, False, 3)


@pytest.mark.parametrize(
    ("look", "setting", "expected"),
    [
        ("_clocks", ("LD_PRELOAD", "/usr/lib/libfaketime.so.1"), ("bad", "libfaketime is preloaded")),
        ("_clocks", ("PYTHONASYNCIODEBUG", "1"), ("note", "asyncio's debug mode is on")),
        ("_network", ("HTTPS_PROXY", "http://proxy:3128"), ("note", "HTTPS_PROXY set")),
    ],
)
def test_the_environment_is_read(
    look: str, setting: tuple[str, str], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*setting)
    assert expected in [(finding.level, finding.what) for finding in getattr(doctor, look)()]


def test_a_missing_package_a_namesake_and_a_frozen_clock_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name == "faultline":
            return "9.9"
        if name == "msgspec":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    found = {finding.what: finding.advice for finding in doctor._packages()}
    assert found["not installed: msgspec"] == "pip install msgspec"
    assert any("another project called faultline (9.9)" in what for what in found)
    monkeypatch.setitem(sys.modules, "freezegun", sys)
    assert "freezegun is loaded" in [finding.what for finding in doctor._clocks()]


def test_a_folder_that_cannot_be_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        os.getcwd()
    monkeypatch.setattr(doctor, "LOOKS", (doctor._files,))
    assert [finding.level for finding in doctor.examine()] == ["bad"]
    monkeypatch.chdir(tmp_path)


def test_two_runs_that_differ_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from faultline.worlds.sim.simulation import Simulation

    count = iter(range(10))
    monkeypatch.setattr(Simulation, "trace_digest", lambda self: str(next(count)))
    assert [finding.level for finding in doctor._simulation()] == ["bad"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(run: Callable[..., Any], shell: str) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0
    assert "_FAULTLINE_COMPLETE" in out


def test_commands_and_options_complete(tmp_path: Path) -> None:
    def completed(words: str, word: int) -> list[str]:
        env = {**os.environ, "_FAULTLINE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(word)}
        done = subprocess.run(
            [sys.executable, "-m", "faultline"], env=env, capture_output=True, text=True, cwd=tmp_path
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("faultline repl", 1) == ["replay"]
    assert "--fail-fast" in completed("faultline run --fa", 2)

"""``faultline history``, ``compare`` and ``serve``, and what ``run`` records for them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Done

Cli = Callable[..., Done]
Project = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]

CHANGED = """
from pathlib import Path
class Changed(Careful):
    "A client in which somebody makes a bug."
    def __new__(cls, **surroundings):
        return NaiveFlow(**surroundings) if Path("broken").exists() else super().__new__(cls)
"""
RUN = ("run", "s.yaml", "--jobs", "1", "-q")


def test_runs_are_recorded_listed_shown_and_compared(cli: Cli, project: Project) -> None:
    assert cli("history").out.startswith("no runs are recorded in .faultline/results.db yet; faultline run")
    assert cli("compare").code == 4
    project(target="Changed")
    with Path("clients.py").open("a") as clients:
        clients.write(CHANGED)
    assert cli(*RUN).code == 0
    lone = cli("compare")
    assert (lone.code, "not comparable: no run before" in lone.err) == (4, True)
    Path("broken").touch()
    done = cli(*RUN)
    assert (done.code, done.err) == (1, "")
    first, second = cli("history").out.splitlines()
    assert re.search(r"^\d{8}-\d{6}-\w{6}   .*   fail   0 of 1 as expected   2 runs ", first)
    assert "   pass   1 of 1 as expected   2 runs " in second
    shown = cli("history", "latest").out
    assert "orders · Changed · no_duplicates under seed 0" in shown
    (line,) = re.findall(r"repeat  faultline (replay \.faultline/runs/\S+)", shown)
    Path(".faultline").joinpath(Path(line.split("/")[-1]).name).unlink()  # the next run's place for it
    assert cli(*line.split()).code == 1
    compared = cli("compare")
    assert compared.code == 1
    assert "new: 1\n  orders · Changed · no_duplicates\n    failed: before 0 of 2 runs, after " in compared.out
    assert "worse: 1 new" in compared.out
    assert cli("compare", "latest", "latest~1").code == 0
    assert cli("compare", "--baseline", "latest~1").out == compared.out


def test_programs_read_the_same(cli: Cli, project: Project) -> None:
    project(target="Naive")
    for _ in range(2):
        assert cli(*RUN).code == 1
    (latest, before) = json.loads(cli("history", "--json").out)["runs"]
    assert (latest["verdict"], latest["cases"], latest["label"]) == ("fail", 1, "run")
    whole = json.loads(cli("history", latest["id"], "--json").out)
    assert whole["results"][0]["failures"][0]["repeat"].startswith("faultline replay .faultline/runs/")
    assert f".faultline/runs/{latest['id']}/report.json" in whole["artifacts"]
    assert len(whole["results"][0]["samples"]) == 2
    compared = json.loads(cli("compare", "--json").out)
    assert (compared["exit_code"], compared["worse"], compared["before"]["id"]) == (0, False, before["id"])
    assert {change["kind"] for change in compared["changes"]} == {"still failing"}
    rows = cli("history", "--scenario", "ORDERS", "--since", "1h").out.splitlines()
    assert len(rows) == 2
    assert "no_duplicates under seed 0" in rows[0]
    assert cli("history", "--scenario", "nothing").out == "no run is like that\n"
    assert cli("history", "--prune", "--keep", "1").out == "1 run removed, 1 left in .faultline/results.db\n"
    assert [path.name for path in Path(".faultline/runs").iterdir()] == [latest["id"]]


def test_where_and_whether_to_record(cli: Cli, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project()
    assert cli(*RUN, "--no-store").code == 0
    assert cli(*RUN, "--store", "none").code == 0
    monkeypatch.setenv("FAULTLINE_STORE", "off")
    assert cli(*RUN).code == 0
    assert not Path(".faultline").exists()
    assert "results are not kept here" in cli("history").err
    monkeypatch.delenv("FAULTLINE_STORE")
    Path("pyproject.toml").write_text('[tool.faultline]\nstore = "kept/r.db"\nkeep = "1"\n')
    for _ in range(2):
        assert cli(*RUN).code == 0
    assert (Path("kept/r.db").exists(), Path(".faultline").exists()) == (True, False)
    assert len(cli("history").out.splitlines()) == len(list(Path("kept/runs").iterdir())) == 1
    assert len(cli("history", "--store", "sqlite:///kept/r.db").out.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "s.yaml", "--store", "mysql://u:secret@h/d"), "mysql:// is not known"),
        (("run", "s.yaml", "--keep", "soon"), "--keep: 'soon' is not a duration"),
        (("history", "--since", "soon"), "--since: 'soon' is not a duration"),
        (("history", "nothing"), "has no run 'nothing'"),
        (("compare", "nothing"), "has no run 'nothing'"),
        (("compare", "latest", "latest"), "both are the run "),
        (("compare", "latest", "latest~1", "--baseline", "main"), "--baseline takes the place of A"),
        (("serve", "--host", "0.0.0.0"), "ask for a token with --token-file"),
    ],
)
def test_wrong_usage_is_2_and_runs_nothing(cli: Cli, project: Project, arguments: tuple[str, ...], said: str) -> None:
    project()
    assert cli(*RUN).code == 0
    done = cli(*arguments)
    assert (done.code, said in done.err, done.out) == (2, True, "")
    assert "secret@" not in done.err
    assert len(cli("history").out.splitlines()) == 1


def test_what_cannot_be_recorded_changes_no_exit_code(cli: Cli, project: Project) -> None:
    project()
    Path(".faultline").write_text("a file where the folder should be")
    done = cli(*RUN, "--json")
    assert done.code == 0
    assert json.loads(done.out)["exit_code"] == 0
    assert done.err == "faultline: this run was not recorded in .faultline/runs: Not a directory\n"


def test_the_page_begins_and_ends_cleanly(project: Project, cli: Cli, command: Start) -> None:
    project()
    assert cli(*RUN).code == 0
    serving = command("serve", "--port", "0")
    try:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        address = re.fullmatch(r"results of \.faultline/results\.db at (http://127\.0\.0\.1:(\d+)/) .*\n", line)
        assert address, line
        with urllib.request.urlopen(address[1]) as answer:
            assert b"Nothing is broken" in answer.read()
        second = command("serve", "--port", address[2])
        assert second.communicate()[1].startswith(f"cannot listen on 127.0.0.1:{address[2]}: ")
        assert second.returncode == 2
        with socket.create_connection(("127.0.0.1", int(address[2]))):  # one that never asks
            serving.send_signal(signal.SIGINT)
            assert serving.wait(20) == 0
        assert serving.communicate() == ("", "")
    finally:
        serving.kill()
        serving.wait()


def test_a_run_imports_sqlalchemy_at_its_end_and_works_without() -> None:
    script = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "sqlalchemy": raise ModuleNotFoundError(name)
if "hide" in sys.argv: sys.meta_path.insert(0, Hidden())
import faultline, faultline.cli.run_command, faultline.cli.storing, faultline.store.recorder, faultline.reports.json
faultline.cli.storing.Recording.asked(None, None)
loaded = "sqlalchemy" in sys.modules
from faultline.cli import main
code = main(["history"])
print(loaded, code)
"""
    env = {key: value for key, value in os.environ.items() if not key.startswith("FAULTLINE_")}
    for arguments, expected, said in (
        ((), "False 0", ""),
        (("hide",), "False 3", "need SQLAlchemy: install faultline"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == expected
        assert said in done.stderr

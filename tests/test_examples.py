"""Examples: a client that knows nothing of faultline, a page that says what one sees, and tests that run alone."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faultline.oracles import ORACLES

EXAMPLES = Path(__file__).parent.parent / "examples"
INDEX = (EXAMPLES / "README.md").read_text()
PROJECTS = re.findall(r"^\| \[(\w+)\]\(\1\) \|", INDEX, re.MULTILINE)


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_the_index_names_every_folder() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and any(path.glob("test_*.py"))}
    assert {*PROJECTS, "any_language"} == folders
    assert len(PROJECTS) >= 9


@pytest.mark.parametrize("project", PROJECTS)
def test_only_the_tests_of_a_project_know_of_faultline(project: str) -> None:
    (test,) = (EXAMPLES / project).glob("test_*.py")
    assert "faultline" in imported(test)
    clients = [path for path in (EXAMPLES / project).glob("*.py") if path != test]
    assert clients
    for client in clients:
        assert not imported(client) & {"faultline", "targets"}, client


@pytest.mark.parametrize("project", PROJECTS)
def test_a_page_says_how_to_run_it_what_one_sees_and_what_mends_it(project: str) -> None:
    page = (EXAMPLES / project / "README.md").read_text()
    code = "".join(path.read_text() for path in (EXAMPLES / project).iterdir() if path.suffix in (".py", ".sh"))
    assert "\n    pytest\n" in page
    (failure,) = re.findall(r"^\*\*The failure\*\*.*?^    (\w+): ", page, re.MULTILINE | re.DOTALL)
    assert failure in ORACLES
    fix = page[page.index("**The fix**") :]
    named = re.search(r"`([\w.]+)`", fix)
    assert named is not None
    assert named[1].rpartition(".")[2] in code or (EXAMPLES / project / named[1]).is_file()
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page):
        assert (EXAMPLES / project / target).exists(), target


def test_a_project_that_is_copied_elsewhere_runs_as_it_stands(tmp_path: Path) -> None:
    for project in ("first_test", "tenacity_function", "webhook_receiver"):
        shutil.copytree(EXAMPLES / project, tmp_path / project, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error::pytest.PytestWarning"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout

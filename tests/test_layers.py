"""The shape of the code is a promise too: imports go one way, logic owns no clock, files stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "faultline"

LAYERS = [
    {"errors", "units"},
    {"plugins"},
    {"history"},
    {"inline"},
    {"faults"},
    {"oracles"},
    {"venues"},
    {"worlds"},
    {"targets"},
    {"scenario"},
    {"plan"},
    {"clockwork", "shared", "driver", "stage"},
    {"runner"},
    {"search"},
    {"campaign"},
    {"reports"},
    {"store"},
    {"nightly"},
    {"byhand", "checked", "stops"},
    {"session", "gateway"},
    {"injectors", "mutants"},
    {"cli", "pytest_plugin", "testing", "__init__", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

PURE = ("history", "faults", "oracles", "venues", "targets")
FORBIDDEN_WHERE_A_RUN_HAPPENS = {"socket", "ssl", "time", "random", "uuid", "secrets", "threading"}
SOCKETS_ARE_THEIR_JOB = {"venues/raw.py", "venues/rest.py", "venues/stream.py", "venues/kill.py"}

MODULES = sorted(PACKAGE.rglob("*.py"))
LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def layer_of(path: Path) -> str:
    return relative(path).split("/")[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            yield node.lineno, module
            for name in node.names:
                yield node.lineno, f"{module}.{name.name}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_go_one_way(path: Path) -> None:
    here = layer_of(path)
    assert here in LEVEL, f"{here} has no place in the import order: add it to LAYERS"
    for line, name in imported(path):
        parts = name.split(".")
        assert parts[0] != "targets", f"{path}:{line}: faultline never imports the targets folder"
        if parts[0] != "faultline" or len(parts) < 2 or parts[1] not in LEVEL:
            continue
        assert LEVEL[parts[1]] < LEVEL[here] or parts[1] == here or {parts[1], here} <= LAYERS[LEVEL[here]], (
            f"{path}:{line}: {here} must not import {parts[1]}"
        )


RUN_INSIDE = [path for path in MODULES if layer_of(path) in PURE and relative(path) not in SOCKETS_ARE_THEIR_JOB]


@pytest.mark.parametrize("path", RUN_INSIDE, ids=relative)
def test_what_runs_inside_a_run_owns_no_clock_chance_or_socket(path: Path) -> None:
    found = {name.split(".")[0] for _, name in imported(path)} & FORBIDDEN_WHERE_A_RUN_HAPPENS
    assert not found, f"{path} imports {sorted(found)}"
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    assert not [node for node in calls if node.attr in ("now", "utcnow") and ast.unparse(node.value) == "datetime"]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LINES_MAX, f"{path}: does it own one thing?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{path}:{node.lineno}: {node.name} has {length} lines"


def public(path: Path) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_public_name_is_documented(path: Path) -> None:
    undocumented = [node.name for node in public(path) if not ast.get_docstring(node)]
    assert not undocumented, f"{path}: {undocumented}"
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no design note on top"


def test_no_file_speaks_of_unfinished_work() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error", "place" + "holder")
    found = [
        f"{path}: {word}"
        for folder in ("faultline", "targets", "tests", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
        for word in words
        if word in path.read_text()
    ]
    assert not found

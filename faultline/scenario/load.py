"""Files -> Scenarios: found, read, expanded, built. All problems of all files are reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from faultline.errors import Problem, ScenarioError, UsageError
from faultline.scenario.document import START, Document, Plain, Problems, did_you_mean
from faultline.scenario.model import Scenario
from faultline.scenario.tables import Tables

SUFFIXES: Final = (".yaml", ".yml", ".toml")
SIZE_MAX_BYTES: Final = 1_000_000

_NOTHING: Final[Mapping[str, str]] = {}


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The scenario files under ``paths``, folders searched through, each once, in a fixed order.

    Raises UsageError for a path that does not exist and for a folder without any.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and _is_visible(file, path))
            if not files:
                raise UsageError(f"{path}: no scenario files ({', '.join(SUFFIXES)}) in this folder")
            found.update(dict.fromkeys(files))
        elif path.exists():
            found[path] = None
        else:
            raise UsageError(f"{path}: no such file or folder")
    return list(found)


def _is_visible(file: Path, under: Path) -> bool:
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(under).parts)


def load(
    path: str | Path, *, params: Mapping[str, str] = _NOTHING, tables: Tables | None = None
) -> tuple[Scenario, ...]:
    """The scenarios of one file: several when it has a matrix.

    ``params`` override those of the file, as text. Raises ScenarioError with every problem of the file, UsageError
    for a file that cannot be read or a parameter that it does not have.
    """
    return load_all([path], params=params, tables=tables)


def load_all(
    paths: Sequence[str | Path], *, params: Mapping[str, str] = _NOTHING, tables: Tables | None = None
) -> tuple[Scenario, ...]:
    """The scenarios of all files. A parameter in ``params`` must be known to at least one of them."""
    tables = tables if tables is not None else Tables.shipped()
    scenarios: list[Scenario] = []
    problems: list[Problem] = []
    known: set[str] = set()
    for path in paths:
        try:
            made, used = _scenarios(_text(Path(path)), str(path), params, tables)
        except ScenarioError as error:
            problems += error.problems
        else:
            scenarios += made
            known |= used
    if problems:
        raise ScenarioError(problems)
    for name in params:
        if name not in known:
            raise UsageError(f"no scenario has a parameter {name!r}{did_you_mean(name, known)}")
    return tuple(scenarios)


def loads(
    text: str, path: str = "scenario.yaml", *, params: Mapping[str, str] = _NOTHING, tables: Tables | None = None
) -> tuple[Scenario, ...]:
    """The scenarios in ``text``. ``path`` is how problems call it; one that ends in ``.toml`` is TOML."""
    return tuple(_scenarios(text, path, params, tables if tables is not None else Tables.shipped())[0])


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > SIZE_MAX_BYTES:
            raise UsageError(f"{path}: larger than {SIZE_MAX_BYTES} bytes; this is not a scenario")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise ScenarioError([Problem(str(path), line, column, "not UTF-8 text")]) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _document(text: str, path: str) -> Document:
    if path.endswith(".toml"):
        from faultline.scenario.toml import read_toml

        return read_toml(text, path)
    from faultline.scenario.yaml12 import read_yaml

    return read_yaml(text, path)


def _scenarios(text: str, path: str, params: Mapping[str, str], tables: Tables) -> tuple[list[Scenario], set[str]]:
    from faultline.scenario.build import Builder
    from faultline.scenario.expand import expand

    document = _document(text, path)
    problems = Problems(path, document.marks)
    tree: Plain = document.tree
    if not isinstance(tree, dict) or not tree:
        problems.at_mark(START, "this is not a scenario: expected keys such as name, target, faults and expect")
        problems.raise_any()
        return [], set()
    cells, known = expand(document, tree, params, problems)
    scenarios = [Builder(document, cell, tables, problems).build() for cell in cells]
    problems.raise_any()
    return [scenario for scenario in scenarios if scenario is not None], known

"""Parameters and matrices: one file, several scenarios.

``params: {p: 50%}`` gives ``${p}`` a value, ``matrix: {how: [fin, rst]}`` gives ``${how}`` several, one scenario for
each combination. Values that belong together are a named row, ``matrix: {at: {fast: {rate: 9/s, n: 50}, slow: ...}}``,
and are written ``${at.rate}`` and ``${at.n}``. A value that is nothing but ``${p}`` takes the parameter's type; inside
a longer text the parameter is put in as it was written. ``$${`` stands for a plain ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final, TypeAlias

from faultline.scenario.document import Document, Path, Plain, Problems, did_you_mean
from faultline.scenario.yaml12 import scalar

CELLS_MAX: Final = 1_000
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}")

Scalar: TypeAlias = "bool | int | float | str"


@dataclass(frozen=True, slots=True)
class _Row:
    """One value of an axis: how it is shown, and what it gives each reference."""

    shown: str
    values: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination: the tree with every parameter put in, the values of the matrix as text, and what overrode the
    file."""

    tree: dict[str, Plain]
    values: Mapping[str, str]
    overrides: Mapping[str, str]

    @property
    def suffix(self) -> str:
        """What tells its scenario's name from those of the other cells: `` [how=fin]``."""
        shown = ", ".join(f"{name}={value}" for name, value in self.values.items())
        return f" [{shown}]" if shown else ""


def show(value: Scalar) -> str:
    """A value as a scenario file writes it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def expand(
    document: Document, tree: dict[str, Plain], overrides: Mapping[str, str], problems: Problems
) -> tuple[list[Cell], set[str]]:
    """Every cell of the file, and which of ``overrides`` it knows.

    ``overrides`` are values from the command line, as text; one for a matrix keeps only that value.
    """
    axes, broken = _axes(tree, problems)
    known = set(axes) & set(overrides)
    for name in known:
        axes[name] = _overridden(name, axes[name], overrides[name], problems)
    cells = prod(len(rows) for rows in axes.values())
    if cells > CELLS_MAX:
        problems.at(("matrix",), f"{cells} combinations; a file may have up to {CELLS_MAX}")
        return [], known
    matrix = tree.get("matrix")
    of_matrix = [name for name in axes if isinstance(matrix, dict) and name in matrix]
    body = {key: value for key, value in tree.items() if key not in ("params", "matrix")}
    made: list[Cell] = []
    used: set[str] = set()
    for rows in product(*axes.values()):
        by_axis = dict(zip(axes, rows, strict=True))
        filler = _Filler({name: value for row in rows for name, value in row.values.items()}, broken, problems, used)
        filled = {key: filler.fill(value, (key,)) for key, value in body.items()}
        shown = {name: by_axis[name].shown for name in of_matrix}
        made.append(Cell(filled, shown, {name: overrides[name] for name in sorted(known)}))
    for name, rows in axes.items():
        for reference in rows[0].values:
            if reference not in used:
                section = "matrix" if name in of_matrix else "params"
                problems.at_key((section, name), f"nothing uses ${{{reference}}}; use it or remove it")
    return made, known


def _overridden(name: str, rows: tuple[_Row, ...], text: str, problems: Problems) -> tuple[_Row, ...]:
    if name not in rows[0].values:
        chosen = tuple(row for row in rows if row.shown == text)
        if not chosen:
            problems.at_key(("matrix", name), f"has no row {text!r}; it has {', '.join(row.shown for row in rows)}")
        return chosen or rows
    value = scalar(text)
    return (_row(name, text if value is None or isinstance(value, tuple | dict) else value),)


def _row(name: str, value: Scalar) -> _Row:
    return _Row(show(value), {name: value})


def _axes(tree: dict[str, Plain], problems: Problems) -> tuple[dict[str, tuple[_Row, ...]], set[str]]:
    """The values of each parameter (those of ``params`` have one), and the names of those that have none."""
    axes: dict[str, tuple[_Row, ...]] = {}
    broken: set[str] = set()
    for name, value in _section(tree, "params", problems):
        if (single := _scalar(value, ("params", name), problems)) is not None:
            axes[name] = (_row(name, single),)
        else:
            broken.add(name)
    for name, value in _section(tree, "matrix", problems):
        path: Path = ("matrix", name)
        if name in axes:
            problems.at_key(path, f"{name!r} is in params too; keep one")
        elif isinstance(value, dict) and value:
            axes[name] = _rows(name, value, problems)
        elif not isinstance(value, tuple) or not value:
            problems.at(path, "expected a list of values, such as [fin, rst], or a mapping of named rows")
            broken.add(name)
        else:
            singles = [_scalar(item, (*path, index), problems) for index, item in enumerate(value)]
            if None in singles:
                broken.add(name)
                continue
            axes[name] = tuple(_row(name, single) for single in singles if single is not None)
            if len({row.shown for row in axes[name]}) < len(axes[name]):
                problems.at(path, "a value is there twice")
    return axes, broken


def _rows(name: str, rows: dict[str, Plain], problems: Problems) -> tuple[_Row, ...]:
    """An axis of named rows. Each has the same columns, so that no reference is without a value in some of them."""
    made: list[_Row] = []
    for label, columns in rows.items():
        path: Path = ("matrix", name, label)
        if not isinstance(columns, dict) or not columns:
            problems.at(path, "expected a mapping of names to values")
            continue
        values: dict[str, Scalar] = {}
        for column, value in columns.items():
            single = _scalar(value, (*path, column), problems)
            values[f"{name}.{column}"] = "" if single is None else single
        made.append(_Row(label, values))
    for row in made:
        for reference in sorted(made[0].values.keys() ^ row.values.keys()):
            problems.at(("matrix", name, row.shown), f"one of its rows has {reference} and another has not")
    return tuple(made) or (_Row("", {}),)


def _section(tree: dict[str, Plain], section: str, problems: Problems) -> Iterator[tuple[str, Plain]]:
    names = tree.get(section)
    if names is None:
        return
    if not isinstance(names, dict):
        problems.at((section,), "expected a mapping of names to values")
        return
    for name, value in names.items():
        if NAME.fullmatch(name):
            yield name, value
        else:
            problems.at_key((section, name), f"{name!r} cannot be a name: use letters, digits and _")


def _scalar(value: Plain, path: Path, problems: Problems) -> Scalar | None:
    if value is None or isinstance(value, tuple | dict):
        problems.at(path, "expected a single value")
        return None
    if isinstance(value, str) and _REFERENCE.search(value):
        problems.at(path, "a parameter cannot refer to another")
        return None
    return value


class _Filler:
    """Puts one combination of values into a tree."""

    def __init__(self, values: Mapping[str, Scalar], broken: set[str], problems: Problems, used: set[str]) -> None:
        self._values = values
        self._broken = broken
        self._problems = problems
        self._used = used

    def fill(self, value: Plain, path: Path) -> Plain:
        """``value`` with its references replaced."""
        if isinstance(value, tuple):
            return tuple(self.fill(item, (*path, index)) for index, item in enumerate(value))
        if isinstance(value, dict):
            return {key: self.fill(item, (*path, key)) for key, item in value.items()}
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole and whole[1] is not None:
            return self._value(whole[1], path)
        return _REFERENCE.sub(lambda found: "${" if found[1] is None else show(self._value(found[1], path)), value)

    def _value(self, name: str, path: Path) -> Scalar:
        name = name.strip()
        if name in self._broken:
            self._problems.close(path)
            return ""
        if name not in self._values:
            hint = did_you_mean(name, self._values) or "; name it under params or matrix"
            self._problems.at(path, f"unknown parameter ${{{name}}}{hint}")
            self._problems.close(path)
            return ""
        self._used.add(name)
        return self._values[name]

"""What the readers of YAML and TOML hand on: a plain tree, and where each part of it stands in the file.

A sequence is a tuple and a mapping a dict with text keys; nothing below the readers knows which format it was.
Positions are kept beside the tree, by path, so that they survive the substitution of parameters: what a parameter
put there stands where the ``${name}`` stood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, TypeAlias

from faultline.errors import Problem, ScenarioError

Plain: TypeAlias = "bool | int | float | str | tuple[Plain, ...] | dict[str, Plain] | None"
Path: TypeAlias = tuple[str | int, ...]
Mark: TypeAlias = tuple[int, int]
"""Line and column, both counted from 1."""

START: Final[Mark] = (1, 1)


@dataclass(frozen=True, slots=True)
class Marks:
    """Where every value and every key stands."""

    values: Mapping[Path, Mark] = field(default_factory=dict)
    keys: Mapping[Path, Mark] = field(default_factory=dict)

    def value(self, path: Path) -> Mark:
        """Where the value at ``path`` stands, or what holds it when that has no place of its own."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, START)

    def key(self, path: Path) -> Mark:
        """Where the last key of ``path`` stands, or its value when it has none."""
        return self.keys.get(path) or self.value(path)


@dataclass(frozen=True, slots=True)
class Document:
    """One file as read: its path as the caller gave it, the tree, and the positions."""

    path: str
    tree: Plain
    marks: Marks


class Problems:
    """Collects what is wrong with one file, so that all of it is reported at once."""

    def __init__(self, path: str, marks: Marks | None = None) -> None:
        self._path = path
        self.marks = marks if marks is not None else Marks()
        self._found: dict[Problem, None] = {}
        self._closed: set[Mark] = set()

    def at(self, path: Path, message: str) -> None:
        """A problem with the value at ``path``."""
        self.at_mark(self.marks.value(path), message)

    def at_key(self, path: Path, message: str) -> None:
        """A problem with the key that ends ``path``."""
        self.at_mark(self.marks.key(path), message)

    def at_mark(self, mark: Mark, message: str) -> None:
        """A problem at a place of the file."""
        if mark not in self._closed:
            self._found[Problem(self._path, *mark, message)] = None

    def close(self, path: Path) -> None:
        """The value at ``path`` is known to be wrong: what else follows from that is not worth telling."""
        self._closed.add(self.marks.value(path))

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_any(self) -> None:
        """Raise ScenarioError with everything found so far, in the order of the file; nothing found, nothing raised."""
        if self._found:
            raise ScenarioError(sorted(self._found, key=lambda found: (found.line, found.column, found.message)))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown ``name``: the nearest known one, else all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, 1, 0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def kind_of(value: Plain) -> str:
    """What a value is, in the words of a scenario file."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}" if len(value) <= 40 else f"the text {value[:37]!r}..."
        case tuple():
            return "a list"
        case dict():
            return "a mapping"

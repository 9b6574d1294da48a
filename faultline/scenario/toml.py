"""TOML as a second way to write a scenario.

``tomllib`` keeps no positions, so they are looked for: a key stands where it is next found after the key that holds
it. That is exact for files written in order and near enough for the others.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Any, Final

from faultline.scenario.document import START, Document, Mark, Marks, Path, Plain, Problems
from faultline.scenario.yaml12 import DEPTH_MAX

_WHERE: Final = re.compile(r"\(at line (\d+), column (\d+)\)")


def read_toml(text: str, path: str) -> Document:
    """The document in ``text``. Raises ScenarioError for what is not TOML, or has no meaning in a scenario."""
    problems = Problems(path)
    tree: Plain = None
    finder = _Finder(text)
    try:
        tree = finder.plain(tomllib.loads(text), (), 0, problems)
    except tomllib.TOMLDecodeError as error:
        found = _WHERE.search(str(error))
        mark = (int(found[1]), int(found[2])) if found else finder.end
        problems.at_mark(mark, f"not TOML: {_WHERE.sub('', str(error)).removesuffix('(at end of document)').strip()}")
    except RecursionError:
        problems.at_mark(START, f"nested more than {DEPTH_MAX} levels deep")
    except ValueError as error:  # a number of thousands of digits
        problems.at_mark(START, f"not TOML: {error}")
    problems.raise_any()
    return Document(path, tree, Marks(finder.values, finder.keys))


class _Finder:
    """Makes the tree plain and finds its keys in the text on the way."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self.values: dict[Path, Mark] = {(): START}
        self.keys: dict[Path, Mark] = {}

    @property
    def end(self) -> Mark:
        """The end of the text."""
        return self._mark(len(self._text))

    def _mark(self, offset: int) -> Mark:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def plain(self, value: Any, path: Path, offset: int, problems: Problems) -> Plain:
        """``value`` as a plain tree, its parts looked for from ``offset`` on."""
        if len(path) > DEPTH_MAX:
            problems.at_mark(self._mark(offset), f"nested more than {DEPTH_MAX} levels deep")
            return None
        if isinstance(value, dict):
            return {key: self._member(key, child, path, offset, problems) for key, child in value.items()}
        if isinstance(value, list):
            return self._items(value, path, offset, problems)
        if isinstance(value, str | int | float):
            return value
        problems.at_mark(self._mark(offset), "dates and times of day are not used in scenarios; put it in quotes")
        return None

    def _member(self, key: str, child: Any, path: Path, offset: int, problems: Problems) -> Plain:
        key_at, value_at = self._find(key, offset)
        self.keys[*path, key] = self._mark(key_at)
        self.values[*path, key] = self._mark(value_at)
        return self.plain(child, (*path, key), value_at, problems)

    def _items(self, items: list[Any], path: Path, offset: int, problems: Problems) -> Plain:
        plain: list[Plain] = []
        for index, item in enumerate(items):
            at = offset
            if isinstance(item, dict) and item:
                # Two items that begin with the same key are two places: go on behind the last one.
                at, offset = self._find(next(iter(item)), offset)
            self.values[*path, index] = self._mark(at)
            plain.append(self.plain(item, (*path, index), at, problems))
        return tuple(plain)

    def _find(self, key: str, offset: int) -> tuple[int, int]:
        """Where ``key`` and its value are; both ``offset`` when it is written in a way that is not looked for."""
        name = re.escape(key)
        pattern = rf"""(?:^|(?<=[\s\[{{,.]))(?P<key>"{name}"|'{name}'|{name})[ \t]*(?:=[ \t]*|(?=[\].]))"""
        found = re.compile(pattern).search(self._text, offset)
        if found is None:
            return offset, offset
        after = found.end() if "=" in found[0][len(found["key"]) :] else found.start("key")
        return found.start("key"), after

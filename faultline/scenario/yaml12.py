"""YAML 1.2 as scenarios need it, read from the events of libyaml's parser.

Stock loaders read ``on`` as true and ``1:30`` as 90, let duplicate keys pass and keep no positions. Here the core
schema of YAML 1.2 decides what a plain scalar is (https://yaml.org/spec/1.2.2/#103-core-schema), every key is text,
and tags are refused. The tree is built from events, not by ``compose()``: that recurses in C and ends the process
on a few thousand open brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from faultline.scenario.document import START, Document, Mark, Marks, Path, Plain, Problems

DEPTH_MAX: Final = 40
VALUES_MAX: Final = 20_000
"""After aliases are expanded: a few lines of them can stand for billions of values."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def scalar(text: str) -> Plain:
    """What an unquoted scalar means. Numbers too long to be one are text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base) if len(text) <= 100 else text
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return float(text.replace(".", ""))
    return text


@dataclass(slots=True)
class _Node:
    """A value with its place: ``items`` of a sequence, ``members`` of a mapping, else ``value``.

    ``size`` counts the values in it, ``height`` the levels below it.
    """

    mark: Mark
    value: Plain = None
    items: list[_Node] | None = None
    members: dict[str, tuple[Mark, _Node]] | None = None
    size: int = 1
    height: int = 0


@dataclass(slots=True)
class _Open:
    """A sequence or mapping whose end has not come yet. ``key`` waits for its value."""

    node: _Node
    anchor: str | None
    key: tuple[str, Mark] | None = None
    expects_key: bool = True


class _Builder:
    """Builds the tree of one document from events."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._open: list[_Open] = []
        self._anchors: dict[str, _Node] = {}
        self._values = 0
        self.root: _Node | None = None

    def build(self, events: Iterable[yaml.Event]) -> None:
        """Consume all events. Raises ScenarioError where going on makes no sense."""
        documents = 0
        for event in events:
            mark = _mark(event.start_mark)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._give_up(mark, "a second document begins here; one file holds one scenario")
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, mark)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event, mark)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._begin(event, mark)
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                self._end()

    def _give_up(self, mark: Mark, message: str) -> None:
        self._problems.at_mark(mark, message)
        self._problems.raise_any()

    def _count(self, values: int, height: int, mark: Mark) -> None:
        self._values += values
        if self._values > VALUES_MAX:
            self._give_up(mark, f"more than {VALUES_MAX} values; is an alias repeated too often?")
        if len(self._open) + height > DEPTH_MAX:
            self._give_up(mark, f"nested more than {DEPTH_MAX} levels deep")

    def _alias(self, event: yaml.AliasEvent, mark: Mark) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            self._give_up(mark, f"*{event.anchor} refers to nothing: no &{event.anchor} is complete before it")
        else:
            self._count(node.size, node.height, mark)
            self._add(node, mark)

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> None:
        self._refuse_tag(event.tag, mark)
        plain = event.implicit[0] and not event.style
        top = self._open[-1] if self._open else None
        if top is not None and top.node.members is not None and top.expects_key:
            self._key(top, top.node.members, event.value, mark)
            return
        self._count(1, 0, mark)
        node = _Node(mark, scalar(event.value) if plain else event.value)
        self._anchor(event.anchor, node)
        self._add(node, mark)

    def _begin(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent, mark: Mark) -> None:
        self._refuse_tag(event.tag, mark)
        self._count(1, 1, mark)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        node = _Node(mark, members={}) if is_mapping else _Node(mark, items=[])
        self._open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        node = done.node
        children = [child for _, child in node.members.values()] if node.members is not None else node.items or []
        node.size += sum(child.size for child in children)
        node.height = 1 + max((child.height for child in children), default=0)
        self._anchor(done.anchor, node)
        self._add(node, node.mark)

    def _add(self, node: _Node, mark: Mark) -> None:
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if top.node.items is not None:
            top.node.items.append(node)
        elif top.expects_key:
            self._problems.at_mark(mark, "a key must be text")
            top.expects_key = False
        else:
            if top.key is not None and top.node.members is not None:
                key, key_mark = top.key
                top.node.members[key] = (key_mark, node)
            top.key, top.expects_key = None, True

    def _key(self, top: _Open, members: dict[str, tuple[Mark, _Node]], key: str, mark: Mark) -> None:
        top.expects_key = False
        if key in members:
            line = members[key][0][0]
            self._problems.at_mark(mark, f"{key!r} is there twice (first on line {line}); keep one")
        else:
            top.key = (key, mark)

    def _anchor(self, anchor: str | None, node: _Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    def _refuse_tag(self, tag: str | None, mark: Mark) -> None:
        if tag is not None:
            self._problems.at_mark(mark, f"tags such as {tag!r} are not used in scenarios; remove it")


def _mark(mark: Any) -> Mark:
    return START if mark is None else (mark.line + 1, mark.column + 1)


def _advice(text: str, mark: Mark) -> str:
    """What mends the two slips that YAML's own words do not explain."""
    line = text.splitlines()[mark[0] - 1] if mark[0] <= len(text.splitlines()) else ""
    if line[mark[1] - 1 : mark[1]] == "\t":
        return "; this is a tab, and YAML indents with spaces"
    return '; within {...} write "${name}" in quotes' if re.search(r"[^\"']\$\{", line) else ""


def read_yaml(text: str, path: str) -> Document:
    """The document in ``text``. Raises ScenarioError with every problem that can be told without its meaning."""
    problems = Problems(path)
    builder = _Builder(problems)
    try:
        builder.build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.at_mark(_mark(mark), f"not YAML: {error.problem or error.context}{_advice(text, _mark(mark))}")
    except yaml.reader.ReaderError as error:
        problems.at_mark(_place(text, error.position), f"not YAML: {error.reason}")
    except UnicodeEncodeError as error:
        problems.at_mark(_place(text, error.start), "a character that is not text")
    problems.raise_any()
    values: dict[Path, Mark] = {}
    keys: dict[Path, Mark] = {}
    tree = None if builder.root is None else _plain(builder.root, (), values, keys)
    return Document(path, tree, Marks(values, keys))


def _place(text: str, position: int) -> Mark:
    before = text[: max(position, 0)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _plain(node: _Node, path: Path, values: dict[Path, Mark], keys: dict[Path, Mark]) -> Plain:
    values[path] = node.mark
    if node.items is not None:
        return tuple(_plain(child, (*path, index), values, keys) for index, child in enumerate(node.items))
    if node.members is not None:
        tree: dict[str, Plain] = {}
        for key, (mark, child) in node.members.items():
            keys[*path, key] = mark
            tree[key] = _plain(child, (*path, key), values, keys)
        return tree
    return node.value

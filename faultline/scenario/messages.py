"""pydantic's findings in the words of a scenario file, each at the exact value.

A value that may be of several kinds is reported by pydantic once per kind; here it becomes one message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from faultline.scenario.document import Path, Plain, Problems, did_you_mean, kind_of

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_EXPECTED: Final = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "finite_number": "a finite number",
}

_Finding: TypeAlias = "tuple[Path, bool, ErrorDetails]"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was being read when pydantic found fault with it.

    ``tree`` stands at ``path`` and messages call it ``label``. ``written`` maps each key to the word that the file
    used for it, ``nested_keys`` are those of the values within.
    """

    tree: dict[str, Plain]
    written: dict[str, str]
    path: Path
    label: str
    nested_keys: Sequence[str]
    problems: Problems

    def explain(self, error: ValidationError) -> None:
        """Note every finding of ``error``."""
        groups: dict[Path, list[_Finding]] = {}
        for details in error.errors(include_url=False):
            where, choice = _follow(self.tree, details)
            groups.setdefault(where if choice is None else choice, []).append((where, choice is not None, details))
        for group, findings in groups.items():
            if not findings[0][1]:
                for where, _, details in findings:
                    self._note(where, [details])
                continue
            # Of several kinds that were tried, the one that fitted deepest is the one that was meant.
            deepest = max(len(where) for where, _, _ in findings)
            if deepest > len(group):
                for where, _, details in findings:
                    if len(where) == deepest:
                        self._note(where, [details])
            else:
                self._note(group, [details for _, _, details in findings])

    def _note(self, where: Path, findings: list[ErrorDetails]) -> None:
        shown = (self.written.get(str(where[0]), where[0]), *where[1:]) if where else ()
        name = ".".join([self.label] * bool(self.label) + [step for step in shown if isinstance(step, str)])
        prefix = f"{name}: " if name else ""
        at = (*self.path, *shown)
        first = findings[0]
        if first["type"] == "extra_forbidden":
            key = str(where[-1])
            self.problems.at_key(at, f"unknown key {key!r}{did_you_mean(key, self.nested_keys)}")
        elif first["type"] == "missing":
            lacking = first["loc"][-1]
            message = "too few values" if isinstance(lacking, int) else f"{lacking!r} is missing"
            self.problems.at(at, prefix + message)
        else:
            self.problems.at(at, prefix + _message(findings, _at(self.tree, where)))


def _follow(tree: Plain, details: ErrorDetails) -> tuple[Path, Path | None]:
    """Where in the tree a finding is, and where the choice between several kinds was made, if there was one.

    pydantic's location names the kind that it tried among the keys and indexes.
    """
    where: Path = ()
    choice: Path | None = None
    value = tree
    for step in details["loc"]:
        if _has(value, step):
            where = (*where, step)
            value = _at(tree, where)
        elif details["type"] != "missing" and choice is None:
            choice = where
    return where, choice


def _has(value: Plain, step: str | int) -> bool:
    return (isinstance(value, dict) and step in value) or (
        isinstance(value, tuple) and isinstance(step, int) and step < len(value)
    )


def _at(tree: Plain, where: Path) -> Plain:
    for step in where:
        tree = cast("dict[str | int, Plain]", tree)[step]
    return tree


def _message(findings: list[ErrorDetails], value: Plain) -> str:
    """One sentence for all that was tried: our own words first, then what was expected instead."""
    said: dict[str, None] = {}
    expected: dict[str, None] = {}
    hint = ""
    for details in findings:
        kind, context = details["type"], details.get("ctx", {})
        if kind == "none_required":
            continue
        if kind == "literal_error":
            expected[str(context["expected"])] = None
            if isinstance(value, str):
                close = did_you_mean(value, str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", "))
                hint = close if "did you mean" in close else hint
        elif kind in _EXPECTED:
            expected[_EXPECTED[kind]] = None
        elif kind == "value_error":
            said[str(context["error"])] = None
        elif kind == "too_long":
            said[f"expected {context['max_length']} values, not {context['actual_length']}"] = None
        else:
            said[details["msg"][:1].lower() + details["msg"][1:]] = None
    if expected:
        in_quotes = "; put it in quotes" if list(expected) == ["text"] and isinstance(value, bool | int | float) else ""
        said[f"expected {' or '.join(expected)}, not {kind_of(value)}{hint}{in_quotes}"] = None
    return "; or ".join(said)

"""YAML 1.2, not the YAML that stock loaders read."""

from __future__ import annotations

import math

import pytest

from faultline.errors import ScenarioError
from faultline.scenario.yaml12 import DEPTH_MAX, VALUES_MAX, read_yaml, scalar


def read(text: str) -> object:
    return read_yaml(text, "s.yaml").tree


def problem(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        read_yaml(text, "s.yaml")
    assert len(caught.value.problems) == 1
    return str(caught.value).removeprefix("s.yaml:")


@pytest.mark.parametrize(
    "word", ["on", "off", "yes", "no", "y", "n", "On", "1:30", "190:20:30", "2001-12-14", "<<", "="]
)
def test_what_yaml_1_1_would_convert_is_text(word: str) -> None:
    assert scalar(word) == word


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("010", 10), ("0o10", 8), ("0x1F", 31)],
)
def test_what_yaml_1_2_converts(word: str, value: object) -> None:
    assert scalar(word) == value
    assert type(scalar(word)) is type(value)


def test_numbers() -> None:
    assert scalar("-12") == -12
    assert scalar("1e3") == 1000.0
    assert scalar(".5") == 0.5
    assert scalar("-.inf") == -math.inf
    assert scalar("9" * 5000) == "9" * 5000, "too long to be a number, and no error either"


def test_a_quoted_scalar_is_text_and_a_key_is_always_text() -> None:
    assert read("{on: '1', 1: \"true\", true: x, null: y}") == {"on": "1", "1": "true", "true": "x", "null": "y"}


def test_every_value_and_key_has_its_place() -> None:
    document = read_yaml("a:\n  - {b: 1,  c: two}\n  - d\n", "s.yaml")
    assert document.tree == {"a": ({"b": 1, "c": "two"}, "d")}
    assert document.marks.key(("a", 0, "c")) == (2, 13)
    assert document.marks.value(("a", 0, "c")) == (2, 16)
    assert document.marks.value(("a", 1)) == (3, 5)
    assert document.marks.value(("a", 1, "deeper", "than", "the", "file")) == (3, 5)


def test_columns_count_characters_not_bytes() -> None:
    assert read_yaml("{é: ü, b: c}", "s.yaml").marks.value(("b",)) == (1, 11)


def test_an_alias_is_the_value_that_it_names() -> None:
    assert read("a: &x {b: [1]}\nc: *x\n") == {"a": {"b": (1,)}, "c": {"b": (1,)}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: 'a' is there twice (first on line 1); keep one"),
        ("a: !!str 5\n", "1:4: tags such as 'tag:yaml.org,2002:str' are not used in scenarios; remove it"),
        ("a: !!python/object/apply:os.system [x]\n", "1:4: tags such as"),
        ("a: *nowhere\n", "1:4: *nowhere refers to nothing: no &nowhere is complete before it"),
        ("a: &a [*a]\n", "1:8: *a refers to nothing: no &a is complete before it"),
        ("? [a]\n: b\n", "1:3: a key must be text"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document begins here; one file holds one scenario"),
        ("a: [1, 2\nb: 3\n", "2:2: not YAML: did not find expected ',' or ']'"),
        ("a:\n\t- b\n", "any token; this is a tab, and YAML indents with spaces"),
        ("a: {b: ${c}}\n", "1:9: not YAML: did not find expected ',' or '}'; within {...} write \"${name}\""),
        ("a: \x07\n", "1:4: not YAML: "),
        ("a: \ud800\n", "1:4: a character that is not text"),
        ("[" * 100_000, f"1:{DEPTH_MAX + 1}: nested more than {DEPTH_MAX} levels deep"),
        (f"[{', '.join('1' for _ in range(VALUES_MAX))}]", "more than"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    assert message in problem(text)


def test_a_few_lines_of_aliases_cannot_become_a_billion_values() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert problem("\n".join(lines)).endswith(f"more than {VALUES_MAX} values; is an alias repeated too often?")


def test_all_that_is_wrong_with_the_text_is_told_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        read_yaml("a: !x 1\na: 2\nb: !y 3\n", "s.yaml")
    assert [found.line for found in caught.value.problems] == [1, 2, 3]

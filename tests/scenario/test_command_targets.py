"""A target that is a command: how it is written, and every kind of mistake in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faultline.scenario.load import loads
from faultline.scenario.schema import schema
from faultline.scenario.tables import Tables
from faultline.worlds.command import Command

Problems = Callable[..., tuple[list[str], list[str]]]
REST = "\nvenue: plain\nexpect: [whole]\n"

CASES = {
    "a wrong key": ("{«comand: [x]}", "unknown key 'comand'; did you mean 'command'?"),
    "no command": ("«{env: {A: b}}", "'command' is missing"),
    "an empty command": ("{command: «[]}", "command is empty; write the program and its arguments: [node, client.js]"),
    "a command line": ("{command: «node client.js}", "command: expected a list, not the text 'node client.js'"),
    "an argument that is no text": ("{command: [sleep, «5]}", "command: expected text, not the number 5"),
    "an unknown channel": (
        "{command: [x], channel: «pipe}",
        "channel: expected 'stdio', 'fd', 'files' or 'http', not the text 'pipe'",
    ),
    "a variable that is no text": ("{command: [x], env: {PORT: «80}}", "env.PORT: expected text, not the number 80"),
    "a variable of ours": (
        "{command: [x], env: «{FAULTLINE_SEED: '1'}}",
        "env has FAULTLINE_SEED; names that begin with FAULTLINE_ are faultline's own",
    ),
    "a variable without a name": ("{command: [x], env: «{a=b: c}}", "env has 'a=b', which cannot be the name"),
    "a time without a unit": ("{command: [x], ready_within: «5}", "5 has no unit: write a duration like 250ms"),
    "a time too long": ("{command: [x], ready_within: «1h}", "ready_within is 3600s; it is more than 0s and 600s at"),
    "a character that ends text": ('{command: «["a\\0b"]}', "command has a NUL character"),
}


@pytest.mark.parametrize("key", ["target", "targets"])
@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_its_place(problems: Problems, case: str, key: str) -> None:
    text, said = CASES[case]
    found, marked = problems(f"name: n\n{key}: {f'{{it: {text}}}' if key == 'targets' else text}{REST}")
    (about,) = [each for each in found if each.startswith(f"{marked[0]}: ")]
    assert said in about
    assert all("is missing" in each or each == about for each in found)


def test_it_is_read_whole(tables: Tables) -> None:
    written = "{command: [node, 'a b.js'], env: {A: b}, channel: http, folder: .., ready_within: 2s}"
    (scenario,) = loads(f"name: n\ntargets: {{it: {written}, other: t.py:T}}{REST}", "x/s.yaml", tables=tables)
    command = Command(("node", "a b.js"), {"A": "b"}, "http", "..", 2.0)
    assert scenario.commands == {"it": command}
    assert dict(scenario.targets) == {"it": "node 'a b.js'", "other": "t.py:T"}
    assert scenario.target("it").command == command
    assert (scenario.target("other").command, scenario.target("other").spec) == (None, "t.py:T")
    (short,) = loads(f"name: n\ntarget: {{command: [node]}}{REST}", tables=tables)
    assert short.target("default").command == Command(("node",))


def test_parameters_reach_into_it(tables: Tables) -> None:
    text = "name: n ${p}\ntarget: {command: [x, --port, '${p}']}\nmatrix: {p: [a, b]}"
    assert [each.targets["default"] for each in loads(text + REST, tables=tables)] == ["x --port a", "x --port b"]


def test_the_schema_knows_it(tables: Tables) -> None:
    a_class, command = schema(tables)["properties"]["target"]["anyOf"]
    assert a_class["type"] == "string"
    assert command["required"] == ["command"]
    assert set(command["properties"]) == {"command", "env", "channel", "folder", "ready_within"}
    assert schema(tables)["properties"]["targets"]["additionalProperties"]["anyOf"] == [a_class, command]

"""The JSON Schema of a scenario file, made from the same classes that the loader reads.

Editors complete and check a scenario by it (``# yaml-language-server: $schema=...``). It knows the shape; what two
settings mean together, and what a parameter will turn into, only the loader can tell.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter

from faultline.history.contract import ClientPolicy
from faultline.scenario.build import Head, TargetNotes
from faultline.scenario.expand import NAME
from faultline.scenario.forms import Form, units_in
from faultline.scenario.model import VERSION, OrdersWorkload
from faultline.scenario.tables import Tables
from faultline.units import Bytes, BytesPerSecond, Fraction, PerSecond, Seconds, Unit, show_seconds
from faultline.worlds.command import Command
from faultline.worlds.effect_rule import EffectRule

Json: TypeAlias = dict[str, Any]
"""A JSON object on its way into a file; no stage of a run sees it."""

_CLASS: Final[Json] = {
    "type": "string",
    "pattern": ".+:[A-Za-z_]\\w*",
    "examples": ["targets/order_flow.py:OrderFlow"],
}
_WRITTEN: Final[Mapping[str, Callable[[float], str]]] = {
    "a duration": show_seconds,
    "a size": lambda value: f"{value:g}B",
    "a rate": lambda value: f"{value:g}/s",
    "a data rate": lambda value: f"{value:g}B/s",
    "a percentage": lambda value: f"{value * 100:g}%",
}
_UNITS: Final[Mapping[str, Unit]] = {
    unit.name.removeprefix("a ").replace(" ", "_"): unit
    for unit in (next(units_in(kind)) for kind in (Seconds, Bytes, PerSecond, BytesPerSecond, Fraction))
}
_SCALAR: Final[Json] = {"type": ["string", "number", "boolean"]}
_REFERENCE: Final = rf"^\$\{{{NAME.pattern}(\.{NAME.pattern})?\}}$"
_AXIS: Final[Json] = {
    "anyOf": [
        {"type": "array", "minItems": 1, "items": _SCALAR},
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "object", "minProperties": 1, "additionalProperties": _SCALAR},
        },
    ]
}
"""A list of values, or named rows of values that belong together."""


def schema(tables: Tables | None = None) -> Json:
    """The schema as JSON values. ``tables`` defaults to what is shipped."""
    tables = tables if tables is not None else Tables.shipped()
    head = _record(Form.of(Head))["properties"]
    head["version"] = {"const": VERSION, "description": "version of the format"}
    head["world"] = {"enum": list(tables.worlds), "default": "sim"}
    target: Json = {"anyOf": [_CLASS, _record(Form.of(Command))]}
    properties = {
        **head,
        "target": {"description": "the client under test: path/to/file.py:Class, or a command", **target},
        "targets": _names(target, "several clients under test, by name"),
        "venue": _venue(tables),
        "client": _record(Form.of(ClientPolicy)),
        "workload": _record(Form.of(OrdersWorkload)),
        "faults": {"type": "array", "items": _item("fault", tables.faults)},
        "effects": _effects(),
        "expect": {"type": "array", "minItems": 1, "items": _item("oracle", tables.oracles, tables.groups)},
        "expect_for": _names(_record(Form.of(TargetNotes)), "what is known of a target, by its name"),
        "params": _names(_SCALAR, "values for ${name}"),
        "matrix": _names(_AXIS, "values for ${name}: a scenario for each"),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "faultline scenario",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "venue", "expect"],
        "oneOf": [{"required": ["target"]}, {"required": ["targets"]}],
        "properties": properties,
        "$defs": {
            "parameter": {"type": "string", "pattern": _REFERENCE, "examples": ["${p}"]},
            **{name: _unit(unit) for name, unit in _UNITS.items()},
            **{f"fault.{name}": _record(Form.of(fault)) for name, fault in sorted(tables.faults.items())},
            **{f"oracle.{name}": _record(Form.of(oracle)) for name, oracle in sorted(tables.oracles.items())},
        },
    }


def schema_text(tables: Tables | None = None) -> str:
    """The schema as the file ``docs/scenario.schema.json`` has it."""
    return json.dumps(schema(tables), indent=2, ensure_ascii=False) + "\n"


def _unit(unit: Unit) -> Json:
    return {"type": "string", "description": f"{unit.name}, such as {unit.example}", "examples": [unit.example]}


def _names(of: Json, description: str) -> Json:
    return {"type": "object", "description": description, "additionalProperties": of}


def _item(kind: str, table: Iterable[str], groups: Iterable[str] = ()) -> Json:
    """An item of a list: a name alone, or a name with its settings."""
    names = sorted(table)
    settings: Json = {name: {"$ref": f"#/$defs/{kind}.{name}"} for name in names}
    return {
        "anyOf": [
            {"enum": sorted([*names, *groups])},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": settings,
            },
        ]
    }


def _effects() -> Json:
    """Like ``POST /orders: {...}``: what comes before the colon is the rule's ``on``."""
    record = _record(Form.of(EffectRule))
    del record["properties"]["on"], record["required"]
    record["description"] = "which answers are effects, and where their key and id are: header NAME, or json a.b.0"
    named: Json = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": record}
    return {
        "type": "array",
        "description": "effects at an upstream, for a gateway",
        "items": {"anyOf": [{"type": "string"}, named]},
    }


def _venue(tables: Tables) -> Json:
    kinds: list[Json] = []
    for name, settings in sorted(tables.settings.items()):
        record = _record(Form.of(settings))
        profile = {"anyOf": [{"const": name}, {"$ref": "#/$defs/parameter"}]}
        record["properties"] = {"profile": profile, **record["properties"]}
        record["required"] = ["profile", *record.get("required", [])]
        kinds.append(record)
    return {"anyOf": [{"enum": sorted(tables.settings)}, *kinds]}


def _record(form: Form[Any]) -> Json:
    """The schema of one class: its keys, their defaults as a file writes them, and its own words about itself."""
    properties: Json = {}
    for key, annotation in form.annotations.items():
        value = _cleaned(TypeAdapter(form.readable(annotation)).json_schema())
        default = _default(form.defaults[key], annotation)
        if default is not None:
            value["default"] = default
        properties[key] = _or_parameter(value)
    for word, key in form.synonyms.items():
        properties[word] = {**properties[key], "description": f"the same as {key}"}
    record: Json = {"type": "object", "additionalProperties": False, "properties": properties}
    required = [key for key, default in form.defaults.items() if default is dataclasses.MISSING]
    if required:
        record["required"] = required
    words = inspect.cleandoc(form.record.__doc__ or "").partition("\n\n")[0].replace("\n", " ").replace("``", "")
    return {"description": words, **record} if words else record


def _default(default: Any, annotation: Any) -> Any:
    """The default as a file would write it; None for one that says nothing."""
    unit = next(units_in(annotation), None)
    if isinstance(default, bool | str) or default is None:
        return default
    if isinstance(default, int | float):
        return default if unit is None else _WRITTEN[unit.name](default)
    return None


def _cleaned(value: Json) -> Json:
    """Without titles and nulls, and with nested classes in their place."""
    definitions = value.pop("$defs", {})

    def clean(node: Any) -> Any:
        if isinstance(node, list):
            return [clean(item) for item in node if item != {"type": "null"}]
        if not isinstance(node, Mapping):
            return node
        reference = node.get("$ref")
        if reference is not None:
            return clean(definitions[reference.removeprefix("#/$defs/")])
        cleaned = {
            key: {name: clean(each) for name, each in child.items()} if key == "properties" else clean(child)
            for key, child in node.items()
            if key != "title" and not (key == "default" and child is None)
        }
        for name, unit in _UNITS.items():
            if cleaned == _unit(unit):
                return {"$ref": f"#/$defs/{name}"}
        choices = cleaned.get("anyOf")
        if choices is not None and len(choices) == 1:
            del cleaned["anyOf"]
            cleaned = {**choices[0], **cleaned}
        return cleaned

    made: Json = clean(value)
    return made


def _or_parameter(value: Json) -> Json:
    if (value.get("type") == "string" and "enum" not in value) or "$ref" in value:
        return value
    outer: Json = {key: value.pop(key) for key in ("description", "default") if key in value}
    return {
        **outer,
        "anyOf": [*(value["anyOf"] if set(value) == {"anyOf"} else [value]), {"$ref": "#/$defs/parameter"}],
    }

"""The reference of scenario files, written from their JSON Schema so that it cannot say anything else."""

from __future__ import annotations

import json
from typing import Any

Schema = dict[str, Any]

HEAD = """# Scenario reference

*Generated from the JSON Schema by `docs/generate.py`. [Scenarios](scenarios.md) explains; this lists.*

`faultline schema` prints the schema itself, for an editor that completes and checks as you type: put
`# yaml-language-server: $schema=PATH/docs/scenario.schema.json` on the first line of a file. TOML files have the same
keys. Every value may be a parameter, `${name}`, given under `params` or `matrix`.
"""

UNITS = {
    "duration": "duration, `250ms`",
    "size": "size, `64KiB`",
    "rate": "rate, `20/s`",
    "data_rate": "data rate, `1MiB/s`",
    "percentage": "percentage, `50%`",
}


def shown(schema: Schema) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return UNITS.get(name, name)
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        parts = [shown(part) for part in schema["anyOf"] if not part.get("$ref", "").endswith("/parameter")]
        return " or ".join(dict.fromkeys(parts))
    kind = schema.get("type", "")
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(shown(item) for item in schema['prefixItems'])}]"
        return f"list of {shown(schema.get('items', {}))}"
    if kind == "object":
        return "mapping"
    return ", ".join(kind) if isinstance(kind, list) else kind or "anything"


def table(schema: Schema) -> str:
    """The keys of an object."""
    required = set(schema.get("required", ()))
    rows = ["| key | value | default |", "|---|---|---|"]
    for key, value in schema["properties"].items():
        text = shown(value).replace("|", "\\|")
        default = "required" if key in required else f"`{json.dumps(value['default'])}`" if "default" in value else ""
        rows.append(f"| `{key}` | {text} | {default} |")
    return "\n".join(rows) + "\n"


def section(title: str, schema: Schema) -> str:
    """One object of the format: what it is, and its keys."""
    about = schema.get("description", "")
    return f"## {title}\n\n{about}\n\n{table(schema)}" if about else f"## {title}\n\n{table(schema)}"


def objects(schema: Schema) -> list[Schema]:
    """The objects that a value may be."""
    return [part for part in schema.get("anyOf", [schema]) if "properties" in part]


def page(schema: Schema) -> str:
    """The whole page."""
    top = schema["properties"]
    parts = [HEAD, section("A scenario", {**schema, "properties": {k: _short(v) for k, v in top.items()}})]
    (command,) = objects(top["target"])
    parts.append(section("`target` as a command", command))
    for venue in objects(top["venue"]):
        name = venue["properties"]["profile"]
        profile = name.get("const") or name["anyOf"][0]["const"]
        parts.append(section(f"`venue: {{profile: {profile}}}`", {**venue, "description": ""}))
    parts += [section(f"`{key}`", top[key]) for key in ("client", "workload")]
    parts.append(section("`expect_for`, for each target", top["expect_for"]["additionalProperties"]))
    parts.append("Faults and oracles have [catalogues](faults.md) of [their own](oracles.md).\n")
    return "\n".join(parts)


def _short(value: Schema) -> Schema:
    """A top-level key with a section or catalogue of its own is only named here."""
    kinds = {"array": "list", "object": "mapping"}
    if value.get("type") in kinds:
        return {"type": kinds[value["type"]]}
    if objects(value) and "anyOf" in value:
        return {"anyOf": [part for part in value["anyOf"] if "properties" not in part] + [{"type": "object"}]}
    return value

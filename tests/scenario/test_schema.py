"""The JSON Schema says what the loader does."""

from __future__ import annotations

import json
from pathlib import Path

from faultline.faults import FAULTS
from faultline.oracles import ORACLES
from faultline.scenario.schema import schema, schema_text
from faultline.scenario.tables import Tables

WRITTEN = Path(__file__).parents[2] / "docs" / "scenario.schema.json"


def test_the_written_schema_is_in_step() -> None:
    # faultline schema > docs/scenario.schema.json
    assert WRITTEN.read_text() == schema_text()


def test_every_fault_and_oracle_is_in_it() -> None:
    defined = json.loads(schema_text())["$defs"]
    assert {f"fault.{name}" for name in FAULTS} <= set(defined)
    assert {f"oracle.{name}" for name in ORACLES} <= set(defined)


def test_keys_units_defaults_choices_and_synonyms(tables: Tables) -> None:
    made = schema(tables)
    lost = made["$defs"]["fault.lost"]
    assert lost["additionalProperties"] is False
    assert lost["properties"]["rate"] == {"$ref": "#/$defs/data_rate", "default": "1024B/s"}
    assert lost["properties"]["phase"]["default"] == "after"
    assert {"enum": ["before", "after"], "type": "string"} in lost["properties"]["phase"]["anyOf"]
    assert lost["properties"]["jitter"]["description"] == "the same as every_jitter"
    assert made["$defs"]["duration"]["examples"] == ["250ms"]


def test_a_parameter_may_stand_for_anything_that_is_not_text(tables: Tables) -> None:
    made = schema(tables)
    parameter = {"$ref": "#/$defs/parameter"}
    assert parameter in made["properties"]["seeds"]["anyOf"]
    assert "anyOf" not in made["properties"]["about"]


def test_nested_settings_are_in_their_place(tables: Tables) -> None:
    venue = schema(tables)["properties"]["venue"]["anyOf"][1]
    limits = venue["properties"]["limits"]["anyOf"][0]
    assert limits["items"]["required"] == ["count"]
    assert limits["items"]["properties"]["window"] == {"$ref": "#/$defs/duration"}


def test_an_effect_is_its_requests_with_where_its_id_is(tables: Tables) -> None:
    _, named = schema(tables)["properties"]["effects"]["items"]["anyOf"]
    rule = named["additionalProperties"]
    assert set(rule["properties"]) == {"id", "key", "statuses", "price", "quantity", "symbol", "side"}
    assert rule["additionalProperties"] is False
    assert "required" not in rule

"""docs/scenarios.md says what the loader does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from faultline.history.contract import ClientPolicy
from faultline.scenario.build import SECTIONS, Head, TargetNotes
from faultline.scenario.forms import Form
from faultline.scenario.load import loads
from faultline.scenario.model import OrdersWorkload

PAGE = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()


@pytest.mark.parametrize("record", [Head, OrdersWorkload, ClientPolicy, TargetNotes])
def test_every_key_is_documented(record: type[Any]) -> None:
    for key in Form.of(record).annotations:
        assert re.search(rf"^\|[^|]*`{key}`", PAGE, re.MULTILINE), key


def test_every_section_is_documented() -> None:
    for section in SECTIONS:
        assert re.search(rf"^\|[^|]*`{section}`", PAGE, re.MULTILINE), section


def test_the_examples_load() -> None:
    first, second = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (scenario,) = loads(first)
    assert list(scenario.targets) == ["careful", "naive"]
    cells = loads(second + "target: t.py:T\nexpect: [no_loss]\n")
    assert cells[0].name == "answers are lost: 50% [idempotency=none, how=fin]"
    assert f"`{cells[0].name}`" in PAGE
    assert len(cells) == 4

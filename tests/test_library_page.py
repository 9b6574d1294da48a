"""The page for strangers: its examples run, one after the other, as someone would type them in."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from faultline.campaign import known
from faultline.history.event import Intent
from faultline.plugins import GROUPS

PAGE = (Path(__file__).parent.parent / "docs" / "library.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_library_page_run(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_package")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for number, code in enumerate(blocks("python")):
        exec(compile(code, f"library.md, example {number + 1}", "exec"), vars(module))
    session = vars(module)["faultline"]
    assert [intent.price for intent in session.history.of(Intent)] == ["100"]
    assert len(session.history.ledger.orders) == 1
    assert vars(module)["apply"](1, 2) == 3


def test_the_settings_of_the_library_page_are_read(tmp_path: Path) -> None:
    failures, entry_points = blocks("toml")
    tmp_path.joinpath("pyproject.toml").write_text(failures)
    (failure,) = known.read(tmp_path / "pyproject.toml").failures
    assert failure.target == "naive"
    assert tuple(re.findall(r'"(faultline\.\w+)"', entry_points)) == GROUPS

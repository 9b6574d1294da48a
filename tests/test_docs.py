"""What the documents say is so: commands and paths exist, examples load, and the shown failure is what one sees."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_type_hints

import click
import pytest

import faultline
from faultline.cli.app import COMMANDS
from faultline.oracles import ORACLES
from faultline.scenario.forms import key_of
from faultline.scenario.load import loads
from faultline.targets import OUTCOMES, STATES, Surroundings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TARGETS = (ROOT / "docs" / "targets.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDERS = ("src/", ".faultline/", "/path/to/", "chaos/")


def blocks(text: str, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """Command lines in the page's blocks and in its inline code."""
    text = page.read_text()
    lines = [line for block in blocks(text) for line in block.splitlines()]
    lines += re.findall(r"`((?:faultline|make) [^`\n]+)`", text)
    for line in lines:
        command = line.strip().removeprefix("$ ").partition("#")[0]
        # The lower case word after it tells a command from a sentence or a heading that begins alike.
        if re.match(r"(faultline [a-z]+|make [a-z]+)(\s|$)", command):
            yield shlex.split(command)


EVERY_COMMAND = [(page.name, words) for page in PAGES for words in commands(page)]


def test_the_readme_shows_commands() -> None:
    shown = {" ".join(words[:2]) for page, words in EVERY_COMMAND if page == "README.md"}
    assert shown >= {"make run", "make test", "faultline run", "faultline validate"}


@pytest.mark.parametrize(("page", "words"), EVERY_COMMAND, ids=lambda value: str(value)[:60])
def test_a_command_that_is_shown_exists(page: str, words: list[str]) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words[1]
        return
    assert words[1] in COMMANDS
    command: click.Command = importlib.import_module(f"faultline.cli.{words[1]}_command").command
    given = [word for word in words[2:] if "[" not in word and "..." not in word and not word.isupper()]
    with click.Context(command) as context:
        options = {name for option in command.params for name in option.opts if name.startswith("-")}
        assert {word for word in given if word.startswith("-")} <= options | set(context.help_option_names) | {"-h"}
    for word in given:
        path = word.partition(":")[0]
        if ("/" in path or path.endswith(".yaml")) and not path.startswith(("-", *PLACEHOLDERS)):
            assert (ROOT / path).exists() or "*" in path or path.startswith(("my", "saved")), word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_failure_in_the_readme_is_what_one_sees(tmp_path: Path) -> None:
    """Line by line; durations and what the document leaves out (...) may be anything."""
    (block,) = [block for block in blocks(README) if block.startswith("$ faultline run")]
    first, *expected = block.splitlines()
    for folder in ("scenarios", "targets"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    program = "import sys; from faultline.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *shlex.split(first)[2:], "--jobs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = iter(done.stdout.splitlines())
    for wanted in filter(str.strip, expected):
        pattern = re.sub(r"\d+\.\d s   failed", "* s   failed", wanted.rstrip()).replace("[", "[[]").replace("...", "*")
        assert any(fnmatchcase(line.rstrip(), pattern) for line in lines), f"not shown, or not in this place: {wanted}"


def test_the_scenario_in_the_readme_loads() -> None:
    for text in blocks(README, "yaml"):
        assert loads(text)[0].faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_pages_compiles_and_uses_public_names(page: Path) -> None:
    for code in blocks(page.read_text(), "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fl":
                assert node.attr in faultline.__all__, node.attr
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("fl.faults", "fl.oracles"):
                holder = getattr(faultline, ast.unparse(node.value).removeprefix("fl."))
                assert hasattr(holder, node.attr), node.attr


def test_the_example_in_the_readme_is_the_one_that_is_tested() -> None:
    (shown,) = blocks(README, "python")
    tested = (ROOT / "examples" / "first_test" / "test_my_client.py").read_text()
    for call in ("faultline.venue(", "faultline.inject(", "faultline.intent(", "faultline.settle(", "faultline.check("):
        (line,) = [line.strip() for line in shown.splitlines() if call in line]
        core = line[line.index(call) :].rstrip(":")
        assert core in re.sub(r",\n\s*\)", ")", tested), core


# Targets


def test_the_words_of_a_target_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \(or `(\w+)`\) \| (\w+) \|", TARGETS, re.MULTILINE)
    assert {word: outcome for row in rows for word, outcome in ((row[0], row[2]), (row[1], row[2]))} == OUTCOMES


def test_the_states_of_a_snapshot_are_those_of_the_code() -> None:
    found = re.search(r"`status` is one of (.*?)\.", TARGETS, re.DOTALL)
    assert found is not None
    assert set(re.findall(r"`(\w+)`", found[1])) == STATES


def test_a_target_is_told_what_the_page_says() -> None:
    found = re.search(r"def __init__\(self, \*, (.*?)\)", TARGETS)
    assert found is not None
    assert found[1].split(", ") == [field.name for field in dataclasses.fields(Surroundings)]


# Oracles (faults have their own: tests/faults/test_kinds.py; commands: tests/cli/test_help.py)


@pytest.mark.parametrize("name", ORACLES)
def test_an_oracle_explains_its_parameters(name: str) -> None:
    oracle = ORACLES[name]
    text = inspect.getdoc(oracle) or ""
    hints = get_type_hints(oracle, include_extras=True)
    for field in dataclasses.fields(oracle):
        key = key_of(field.name, hints[field.name])
        named = f"``{key}``" in text or f"``{field.name}``" in text or f"{name}: {{{key}:" in text
        assert named, f"{key} is not explained"

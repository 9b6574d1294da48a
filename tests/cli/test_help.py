"""Help, version, and what a start costs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from faultline import __version__
from faultline.cli import exits
from faultline.cli.app import COMMANDS
from tests.cli.conftest import ROOT, Done

Cli = Callable[..., Done]


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_with_examples(cli: Cli, command: str, flag: str) -> None:
    done = cli(*([command] if command else []), flag)
    assert done.code == 0
    assert "Examples:\n    faultline" in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_does(cli: Cli, command: str) -> None:
    found = importlib.import_module(f"faultline.cli.{command}_command").command
    assert found.help
    for option in found.params:
        assert option.param_type_name == "argument" or option.help, option.name


def test_the_documented_exit_codes_are_in_the_help(cli: Cli) -> None:
    shown = cli("--help").out
    for code, meaning in exits.MEANING.items():
        assert f"{code:<4} {meaning}" in shown


def test_the_version(cli: Cli) -> None:
    assert cli("--version") == Done(0, f"faultline {__version__}\n", "")


def test_a_misspelt_command_or_option_is_answered_with_the_right_one(cli: Cli) -> None:
    done = cli("rum")
    assert (done.code, "did you mean 'run'?" in done.err) == (2, True)
    assert cli("rum").out == ""
    done = cli("run", "--sed", "1")
    assert (done.code, "--seed" in done.err) == (2, True)
    assert "there are: run, validate" in cli("xyz").err


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from faultline.cli import main; main(['--help']);"
        "heavy = {'rich', 'yaml', 'pydantic', 'aiohttp', 'msgspec', 'asyncio', 'websockets', 'faultline.plan'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_option_and_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    for command in COMMANDS:
        assert f"`faultline {command}" in page, command
        found = importlib.import_module(f"faultline.cli.{command}_command").command
        for option in found.params:
            names = [name for name in option.opts if name.startswith("-")]
            if command in ("run", "replay") and names:
                assert any(f"`{name}" in page or f", `{name}`" in page for name in names), names
    for code, meaning in exits.MEANING.items():
        assert f"| {code} | {meaning} |" in page

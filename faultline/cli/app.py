"""The group of commands, and what happens to the errors that end one."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from faultline import __version__
from faultline.cli import exits
from faultline.cli.signals import terminated_in_order
from faultline.errors import FaultlineError, ScenarioError, UsageError

COMMANDS: Final[Mapping[str, str]] = {
    "run": "Run scenarios and say which of them duplicated or lost something.",
    "validate": "Check scenario files and their targets; run nothing.",
    "list": "List scenarios, faults or oracles.",
    "search": "Try every single fault at every point of a scenario.",
    "replay": "Repeat a saved schedule.",
    "shrink": "Shrink a saved schedule, and what is asked for in it.",
    "report": "Show a saved run as text, a page, a trace or JSON.",
    "mutants": "Break a client on purpose and say which oracle notices.",
    "history": "Show the runs that were recorded.",
    "compare": "Say what changed between two recorded runs.",
    "serve": "Show recorded runs as a page: what broke, since when, how to see it.",
    "proxy": "Proxy TCP connections with faults, driven by any client of Toxiproxy.",
    "gateway": "Forward HTTP and WebSocket to an upstream, with faults on the messages.",
    "schema": "Print the JSON Schema of scenario files.",
    "init": "Write a small example that fails, and say what to do next.",
    "doctor": "Look at this machine for what could get in the way.",
    "nightly": "Run fresh seeds every night, and everything that ever failed.",
    "completion": "Print what a shell needs to complete commands.",
}
"""Name and short help of each command; module ``faultline.cli.<name>_command`` holds it as ``command``."""

STORE_KEYS: Final = ("store", "keep")
STORE_COMMANDS: Final = ("history", "compare", "serve", "nightly")
"""What ``[tool.faultline]`` says of results over time, and the commands beside ``run`` that go by it."""

EPILOG: Final = f"""\b
Exit codes:
{exits.table()}

\b
Examples:
  faultline run scenarios/
  faultline run scenarios/orders --target src/bot/client.py:Client --seeds 100
  faultline validate scenarios/
  faultline replay .faultline/lost_responses-naive-no_duplicates-seed0.json
"""


@dataclass(slots=True)
class State:
    """What commands tell the outermost frame."""

    verbose: bool = False


class _Lazy(click.Group):
    """Imports a command when it is called, and none of them for ``--help``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"faultline.cli.{cmd_name}_command").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(COMMANDS)}"
            ctx.fail(f"no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="faultline", message="%(prog)s %(version)s")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Prove that a client of a remote API neither duplicates nor loses anything.

    Scenarios say which faults happen and what must hold; faultline runs your client against a simulated venue, on a
    simulated network, in virtual time, and shows the smallest set of faults that breaks it.
    """
    configured = _configured(Path("pyproject.toml"))
    kept = {name: configured[name] for name in STORE_KEYS if name in configured}
    ctx.default_map = {"run": configured, **dict.fromkeys(STORE_COMMANDS, kept)}


KNOWN_FAILURES: Final = ("known-failures", "known_failures")
"""A list, and no option: see :mod:`faultline.campaign.known`."""


def _configured(path: Path) -> dict[str, Any]:
    """Defaults of ``run`` from ``[tool.faultline]``: after the command line and ``FAULTLINE_*``."""
    if not path.is_file():
        return {}
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("faultline", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    known = ("seeds", "jobs", "target", "tag", "fail-fast", *STORE_KEYS)
    for key in table:
        if key not in (*known, *KNOWN_FAILURES):
            names = ", ".join([*known, KNOWN_FAILURES[0]])
            raise UsageError(f"{path}: [tool.faultline] has an unknown key {key!r}; known: {names}")
    return {key.replace("-", "_"): value for key, value in table.items() if key not in KNOWN_FAILURES}


def invoke(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Every error ends here, as a message and an exit code."""
    state = State()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        with terminated_in_order():
            code = app.main(args=argv, prog_name="faultline", standalone_mode=False, obj=state)
        sys.stdout.flush()
        return code if isinstance(code, int) else exits.OK
    except click.ClickException as error:
        error.show()
        return exits.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except Exception as error:
        _tell(error, state)
        return exits.of_error(error)


_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
"""What the machine refuses is no fault of this program."""


def _tell(error: Exception, state: State) -> None:
    from faultline.reports.text import safe

    if state.verbose:
        traceback.print_exception(error)
    for line in str(error).splitlines() if isinstance(error, FaultlineError) else []:
        click.echo(safe(line), err=True)
    if isinstance(error, ScenarioError):
        count = len(error.problems)
        click.echo(f"{count} problem{'s' if count > 1 else ''}; nothing ran", err=True)
    elif isinstance(error, OSError) and error.errno in _DISK:
        click.echo(f"{safe(str(error.filename or 'the output'))}: {error.strerror}", err=True)
    elif not isinstance(error, FaultlineError):
        where = "" if state.verbose else " (-v shows where)"
        click.echo(f"faultline itself broke: {type(error).__name__}: {safe(str(error))}{where}", err=True)

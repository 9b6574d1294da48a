"""``faultline validate``: everything that can be wrong before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits
from faultline.cli.selection import Selection, read_params, selecting

if TYPE_CHECKING:
    from faultline.cli.app import State

EPILOG: Final = """\b
Examples:
  faultline validate scenarios/
  faultline validate my.yaml --target bot.py:Client
"""


@click.command("validate", epilog=EPILOG)
@selecting
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks of targets that do not import.")
@click.pass_obj
def command(
    state: State,
    paths: tuple[str, ...],
    tags: tuple[str, ...],
    keywords: tuple[str, ...],
    target: str | None,
    params: tuple[str, ...],
    verbose: bool,
) -> int:
    """Check scenario files and load their targets; run nothing.

    Every problem of every file is told at once, as file:line:column: message. Exit code 2 when there are any, 3 when
    only a target does not load.
    """
    from faultline.cli.selection import cases
    from faultline.oracles.base import plural

    state.verbose = verbose
    made = cases(Selection(paths, tags, keywords, target, params=read_params(params)))
    files = len({case.scenario.path for case in made})
    names = len({(case.scenario.path, case.scenario.name) for case in made})
    click.echo(f"{plural(names, 'scenario')} in {plural(files, 'file')}: all good")
    return exits.OK

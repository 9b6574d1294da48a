"""``faultline shrink``: a saved schedule, made smaller."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits
from faultline.cli.screen import stdout

if TYPE_CHECKING:
    from faultline.cli.app import State

EPILOG: Final = """\b
Examples:
  faultline shrink .faultline/lost_responses-naive-no_duplicates-seed0.json
  faultline shrink edited.json --target bot.py:Client    for another client
"""


@click.command("shrink", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", metavar="FILE:Class", help="This client instead of the one that was saved.")
@click.option("-v", "--verbose", is_flag=True, help="Logs and tracebacks.")
@click.option("--no-color", is_flag=True, help="No colours (also: NO_COLOR).")
@click.pass_obj
def command(state: State, file: Path, target: str | None, verbose: bool, no_color: bool) -> int:
    """Leave out of a saved schedule every fault that its failure does not need, then every intent.

    What is left goes to NAME.small.json beside it, with its history; faultline replay repeats it. The exit code says
    whether there was anything to shrink: 0 also when what is left still fails, as it should; 4 when nothing failed.
    """
    from faultline.campaign.shrinking import shrink_saved
    from faultline.reports.console import ConsoleReport
    from faultline.search.executors import set_logging

    state.verbose = verbose
    set_logging(logging.WARNING if verbose else 0)
    done = shrink_saved(file, target)
    if done.failure is None:
        click.echo(f"{file}: no oracle fails under it, so there is nothing to shrink", err=True)
        return exits.INCONCLUSIVE
    console = stdout(no_color)
    ConsoleReport(console, [done.case], verbose=verbose).failure(done.case, done.failure)
    return exits.BROKE if done.failure.error is not None else exits.OK

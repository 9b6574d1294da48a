"""``faultline replay``: a saved schedule, once more."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits
from faultline.cli.screen import stdout

if TYPE_CHECKING:
    from faultline.campaign.replay import Replay
    from faultline.cli.app import State

EPILOG: Final = """\b
Examples:
  faultline replay .faultline/lost_responses-naive-no_duplicates-seed0.json
  faultline replay saved.json --target bot.py:Client    the same faults against another client
"""


@click.command("replay", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", metavar="FILE:Class", help="This client instead of the one that was saved.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")
@click.option("-v", "--verbose", is_flag=True, help="Logs and tracebacks.")
@click.option("--no-color", is_flag=True, help="No colours (also: NO_COLOR).")
@click.pass_obj
def command(state: State, file: Path, target: str | None, as_json: bool, verbose: bool, no_color: bool) -> int:
    """Repeat the run that a failure saved: the same faults at the same points, the same seed, judged again.

    The scenario file is read again from where it was. Exit code 1 when an oracle fails that should not, 0 when all is
    as expected: after a repair, that is the proof.
    """
    from faultline.campaign.replay import replay
    from faultline.search.executors import set_logging

    state.verbose = verbose
    set_logging(logging.WARNING if verbose else 0)
    done = replay(file, target)
    code = exits.of_replay(done.record, bool(done.case.unexpected(done.record.failed)))
    if as_json:
        from faultline.reports.json import replay_text

        click.echo(replay_text(done, code, exits.MEANING[code]))
    else:
        _text(done, code, no_color)
    return code


def _text(done: Replay, code: int, no_color: bool) -> None:
    from faultline.reports.console import ConsoleReport

    console = stdout(no_color)
    ConsoleReport(console, [done.case]).replay(done, code, exits.MEANING[code])

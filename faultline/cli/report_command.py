"""``faultline report``: a saved run, shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from faultline import __version__
from faultline.cli import exits

if TYPE_CHECKING:
    from faultline.cli.app import State
    from faultline.reports.document import Report
    from faultline.reports.saved import Opened

EPILOG: Final = """\b
Examples:
  faultline report .faultline/lost_responses-naive-no_duplicates-seed0.json
  faultline report saved.history.jsonl --html report.html    what happened and why, as one page
  faultline report saved.json --trace trace.json             for ui.perfetto.dev
"""

_CODES: Final = {"pass": exits.OK, "fail": exits.FAILED, "broken": exits.BROKE, "inconclusive": exits.INCONCLUSIVE}


@click.command("report", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a page with what happened and why."
)
@click.option("--trace", metavar="FILE", type=click.Path(path_type=Path), help="Write a Chrome trace, for Perfetto.")
@click.option("--json", "as_json", is_flag=True, help="The report document on stdout instead of text.")
@click.option("--agent", "as_agent", is_flag=True, help="The JSON summary for agents on stdout instead of text.")
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks.")
@click.pass_obj
def command(
    state: State, file: Path, html: Path | None, trace: Path | None, as_json: bool, as_agent: bool, verbose: bool
) -> int:
    """Show a saved run: FILE is a history, or a schedule with its history beside it.

    Nothing is run; the history is judged again, by the oracles of its scenario where that is still there. The exit
    code says whether the report was made: 0 also for a run that failed.
    """
    from faultline.cli.outputs import check
    from faultline.reports.saved import opened

    state.verbose = verbose
    if as_json and as_agent:
        raise click.UsageError("--json and --agent both want stdout; give one of them")
    for path in (html, trace):
        if path is not None:
            check(path)
    found = opened(file)
    report = _report(found)
    if as_json or as_agent:
        from faultline.reports import agent, document

        click.echo(document.text(report) if as_json else agent.text(report))
    elif html is None and trace is None:
        from faultline.reports import plain

        click.echo("\n".join(plain.lines(found.shown)))
    _write(found, report, html, trace)
    return exits.OK


def _report(found: Opened) -> Report:
    from faultline.reports.document import VERSION, Report

    code = _CODES[found.status]
    meaning, took_s = exits.MEANING[code], found.run.wall_s
    return Report(VERSION, __version__, code, meaning, False, 1, took_s, (found.result,), (found.run,))


def _write(found: Opened, report: Report, html: Path | None, trace: Path | None) -> None:
    from faultline.cli.outputs import written

    if html is not None:
        from faultline.reports import page

        written(html, page.text(report, [found.shown]))
    if trace is not None:
        from faultline.reports import trace as chrome

        written(trace, chrome.text(found.shown.history, found.shown.verdicts))

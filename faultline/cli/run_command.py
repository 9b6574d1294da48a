"""``faultline run``: the main job."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from faultline.cli import exits
from faultline.cli.screen import stdout
from faultline.cli.selection import Selection, read_params, selecting
from faultline.cli.storing import storing

if TYPE_CHECKING:
    from rich.console import Console

    from faultline.campaign.model import Case, CaseResult, RunRecord
    from faultline.cli.app import State
    from faultline.cli.outputs import Outputs
    from faultline.cli.storing import Recording
    from faultline.reports.console import ConsoleReport
    from faultline.reports.progress import Bar

FOLDER: Final = Path(".faultline")
"""Where the schedules and histories of failures are saved."""

PYPROJECT: Final = Path("pyproject.toml")

EPILOG: Final = """\b
Examples:
  faultline run scenarios/                         all of them, in as many processes as there are processors
  faultline run scenarios/orders -k crash --seed 7 one seed of what matches
  faultline run scenarios/ --target bot.py:Client  your own client instead of the scenarios' own
  faultline run scenarios/ --tag smoke --json      one JSON document on stdout
  faultline run scenarios/ --junit results.xml     also for a CI server
  faultline run scenarios/ --html report.html      what happened and why, as one page
  faultline run scenarios/ --param form=seconds    one value of a matrix
  faultline run scenarios/ --world live --seeds 1  over real sockets, in real time
"""


def _jobs(ctx: click.Context, param: click.Parameter, value: object) -> int | None:
    if value is None or value == "auto":
        return None
    try:
        jobs = int(str(value))
    except ValueError:
        jobs = 0
    if jobs < 1:
        raise click.BadParameter("expected a number of processes, or auto")
    return jobs


@click.command("run", epilog=EPILOG)
@selecting
@click.option("--seed", type=click.IntRange(0), help="Run this seed only; with --seeds, begin with it.")
@click.option(
    "--seeds", type=click.IntRange(1), envvar="FAULTLINE_SEEDS", help="How many seeds, instead of the scenario's own."
)
@click.option(
    "--jobs", metavar="N", callback=_jobs, envvar="FAULTLINE_JOBS", help="Processes (default: auto, what is worth it)."
)
@click.option(
    "--world",
    metavar="NAME",
    envvar="FAULTLINE_WORLD",
    help="sim, live (real sockets, real time), or toxiproxy (the same through a Toxiproxy server; default: theirs).",
)
@click.option(
    "--toxiproxy-url",
    metavar="URL",
    envvar="TOXIPROXY_URL",
    help="The server of the toxiproxy world (default: its own).",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first run that should have passed.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and check that it can.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write JUnit XML for a CI server.")
@click.option(
    "--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a page with what happened and why."
)
@click.option("--trace", metavar="FILE", type=click.Path(path_type=Path), help="Write a Chrome trace, for Perfetto.")
@click.option("--agent", metavar="FILE", type=click.Path(path_type=Path), help="Write a JSON summary for agents.")
@click.option(
    "--report",
    "reports",
    metavar="NAME=FILE",
    multiple=True,
    help="Write any other report that faultline list --reports knows.",
)
@storing
@click.option("--no-store", is_flag=True, help="Do not record this run.")
@click.option("--keep", metavar="SPAN", help="How long recorded runs are kept: 90d (default), 200 (runs), forever.")
@click.option("-q", "--quiet", is_flag=True, help="Only what is not as expected, and the last lines.")
@click.option("-v", "--verbose", is_flag=True, help="Every verdict, stated failures explained, logs, tracebacks.")
@click.option("--no-color", is_flag=True, help="No colours (also: NO_COLOR).")
@click.pass_obj
def command(
    state: State,
    paths: tuple[str, ...],
    tags: tuple[str, ...],
    keywords: tuple[str, ...],
    target: str | None,
    params: tuple[str, ...],
    seed: int | None,
    seeds: int | None,
    jobs: int | None,
    world: str | None,
    toxiproxy_url: str | None,
    fail_fast: bool,
    dry_run: bool,
    as_json: bool,
    junit: Path | None,
    html: Path | None,
    trace: Path | None,
    agent: Path | None,
    reports: tuple[str, ...],
    store: str | None,
    no_store: bool,
    keep: str | None,
    quiet: bool,
    verbose: bool,
    no_color: bool,
) -> int:
    """Run the scenarios in files and folders (default: scenarios/) and judge what came of them.

    Each scenario runs against each of its targets, once for each seed. A failing seed is run again, its faults are
    shrunk, and what is left is saved under .faultline/ for faultline replay.
    """
    from faultline.campaign import known
    from faultline.cli.outputs import Outputs, read_reports
    from faultline.cli.selection import cases
    from faultline.cli.storing import Recording

    state.verbose = verbose
    outputs = Outputs(junit, html, trace, agent, read_reports(reports))
    recording = Recording.asked("none" if no_store else store, keep)
    selected = cases(Selection(paths, tags, keywords, target, seed, seeds, read_params(params), world, toxiproxy_url))
    selected = known.read(PYPROJECT).applied(selected)
    console = stdout(no_color)
    if dry_run:
        return _dry_run(selected, console)
    return _run(selected, console, outputs, recording, jobs, fail_fast, as_json, quiet, verbose, not no_color)


def _dry_run(selected: Sequence[Case], console: Console) -> int:
    from faultline.campaign.model import target_label
    from faultline.faults.deciders import labels
    from faultline.oracles.base import plural
    from faultline.reports.text import columns

    rows = [
        (
            case.scenario.path,
            case.scenario.name,
            target_label(case.target),
            plural(len(case.seeds), "seed"),
            ", ".join(labels(case.scenario.faults)),
        )
        for case in selected
    ]
    for line in columns(rows):
        console.print(line, soft_wrap=True)
    runs = sum(len(case.seeds) for case in selected)
    console.print(f"\n{plural(len(selected), 'case')}, {plural(runs, 'run')}; nothing ran", soft_wrap=True)
    return exits.OK


class _Watcher:
    """Passes on what happens: to the bar, and line by line to the report."""

    def __init__(self, bar: Bar, report: ConsoleReport | None) -> None:
        self._bar = bar
        self._report = report

    def ran(self, case: Case, records: Sequence[RunRecord]) -> None:
        self._bar.ran(case, records)

    def explaining(self, case: Case, seed: int) -> None:
        self._bar.explaining(case, seed)

    def finished(self, result: CaseResult) -> None:
        if self._report is not None:
            with self._bar.hidden():
                self._report.case(result)


def _run(
    selected: Sequence[Case],
    console: Console,
    outputs: Outputs,
    recording: Recording,
    jobs: int | None,
    fail_fast: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    colour: bool,
) -> int:
    from faultline.campaign import conduct, known
    from faultline.reports import json as json_report
    from faultline.reports.console import ConsoleReport
    from faultline.reports.progress import Bar
    from faultline.search.executors import set_logging

    log_level = logging.WARNING if verbose else 0
    set_logging(log_level)
    report = None if as_json else ConsoleReport(console, selected, verbose=verbose, quiet=quiet)
    bar: AbstractContextManager[Any] = Bar(sum(len(case.seeds) for case in selected), quiet=quiet, colour=colour)
    with bar as shown:
        campaign = conduct(
            selected,
            _Watcher(shown, report),
            folder=FOLDER,
            jobs=jobs,
            fail_fast=fail_fast,
            explain_all=verbose,
            keep_receipts=as_json,
            log_level=log_level,
        )
    for line in known.read(PYPROJECT).told(campaign):
        click.echo(line, err=True)
    code = exits.of_campaign(campaign)
    if report is None:
        click.echo(json_report.text(campaign, code, exits.MEANING[code]))
    else:
        report.failures(campaign.results)
        report.summary(campaign, code, exits.MEANING[code])
    recording.record(campaign, code, exits.MEANING[code])
    outputs.write(campaign, code, exits.MEANING[code])
    return code

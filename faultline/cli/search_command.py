"""``faultline search``: every single fault of a scenario, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

import click

from faultline.cli import exits
from faultline.cli.run_command import FOLDER
from faultline.cli.screen import stdout
from faultline.cli.selection import Selection, duration, read_params, selecting

if TYPE_CHECKING:
    from faultline.campaign.exploration import Exploration
    from faultline.campaign.exploring import Terms
    from faultline.campaign.model import Case
    from faultline.cli.app import State
    from faultline.reports.progress import Bar
    from faultline.reports.search import SearchReport

EPILOG: Final = """\b
Examples:
  faultline search scenarios/orders/lost_responses.yaml
  faultline search scenarios/orders -k careful --faults lost_response,crash
  faultline search scenarios/orders/lost_responses.yaml --target bot.py:Client --pairs --budget 10min
  faultline search scenarios/orders/lost_responses.yaml --limit 500 --json
"""


@click.command("search", epilog=EPILOG)
@selecting
@click.option("--faults", metavar="KIND,KIND", help="Only these kinds of fault (default: all that strike one point).")
@click.option("--pairs", is_flag=True, help="Then two faults at a time, those in recovery code first.")
@click.option("--limit", type=click.IntRange(1), help="At most so many runs with faults for each case.")
@click.option("--budget", metavar="TIME", callback=duration, help="Begin no run after so long, such as 5min.")
@click.option("--seed", type=click.IntRange(0), default=0, help="The seed of all runs (default: 0).")
@click.option("--jobs", type=click.IntRange(1), metavar="N", envvar="FAULTLINE_JOBS",
              help="Processes (default: what is worth it).")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")
@click.option("-q", "--quiet", is_flag=True, help="No bar.")
@click.option("-v", "--verbose", is_flag=True, help="Every group of failures explained, logs, tracebacks.")
@click.option("--no-color", is_flag=True, help="No colours (also: NO_COLOR).")
@click.pass_obj
def command(
    state: State,
    paths: tuple[str, ...],
    tags: tuple[str, ...],
    keywords: tuple[str, ...],
    target: str | None,
    params: tuple[str, ...],
    faults: str | None,
    pairs: bool,
    limit: int | None,
    budget: float | None,
    seed: int,
    jobs: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    no_color: bool,
) -> int:
    """Try every single fault at every point of a scenario's run, and say what may be claimed after that.

    The scenario gives client, venue, workload and oracles; its own faults do not happen. Failing runs are put together
    by oracle, endpoint and kind of fault; the first of each is explained and saved for faultline replay.
    """
    from faultline.campaign.exploring import Terms
    from faultline.cli.selection import cases
    from faultline.search.executors import set_logging

    state.verbose = verbose
    log_level = logging.WARNING if verbose else 0
    set_logging(log_level)
    selected = cases(Selection(paths, tags, keywords, target, seed, 1, read_params(params)))
    terms = [(case, Terms(_kinds(faults, case), pairs, limit, budget, jobs, log_level)) for case in selected]
    return _search(terms, as_json, quiet, verbose, no_color)


def _kinds(asked: str | None, case: Case) -> tuple[str, ...]:
    """The kinds to try. Raises UsageError, or UnsupportedFault for one that was asked for and cannot strike there."""
    from dataclasses import replace

    from faultline.errors import UnsupportedFault, UsageError
    from faultline.plan import make_plan
    from faultline.search.enumerate import KINDS, forms_of

    named = KINDS if asked is None else tuple(dict.fromkeys(kind.strip() for kind in asked.split(",") if kind.strip()))
    if not named:
        raise UsageError("--faults names none; write it like lost_response,crash")
    kinds = []
    for kind in named:
        try:
            make_plan(replace(case.scenario, faults=forms_of(kind)), case.target)
        except UnsupportedFault:
            if asked is not None:
                raise
            continue
        kinds.append(kind)
    return tuple(kinds)


class _Watcher:
    """Passes on to the bar what a search does."""

    def __init__(self, bar: Bar, name: str) -> None:
        self._bar = bar
        self._name = name

    def planned(self, runs: int) -> None:
        self._bar.moved(0, self._name, planned=runs)

    def tried(self, runs: int) -> None:
        self._bar.moved(runs, self._name)


def _search(terms: Sequence[tuple[Case, Terms]], as_json: bool, quiet: bool, verbose: bool, no_color: bool) -> int:
    from faultline.campaign.exploration import INTERRUPTED
    from faultline.campaign.exploring import explore
    from faultline.reports import search as shown
    from faultline.reports.progress import Bar

    console = stdout(no_color)
    report: SearchReport | None = None if as_json else shown.SearchReport(console, verbose=verbose)
    found: list[Exploration] = []
    moving: AbstractContextManager[Any] = Bar(0, quiet=quiet, colour=not no_color)
    with moving as bar:
        for case, each in terms:
            found.append(explore(case, each, _Watcher(bar, case.scenario.name), FOLDER))
            if report is not None:
                with bar.hidden():
                    report.case(found[-1])
            if found[-1].stopped == INTERRUPTED:
                break
    code = exits.of_search(found, found[-1].stopped == INTERRUPTED)
    if report is None:
        click.echo(shown.text(found, code, exits.MEANING[code]))
    else:
        report.end(code, exits.MEANING[code])
    return code

"""``faultline history``: the runs that were recorded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits
from faultline.cli.storing import nothing_yet, opened, storing

if TYPE_CHECKING:
    from faultline.cli.app import State
    from faultline.store.results import Results, Wanted

EPILOG: Final = """\b
Examples:
  faultline history                            a line for each run, the latest first
  faultline history latest                     one run in full; also by its id, latest~1, a branch or a commit
  faultline history --scenario "lost responses" --since 7d
  faultline history --prune --keep 30d         remove older runs and their artifacts
"""


@click.command("history", epilog=EPILOG)
@click.argument("run", required=False, metavar="[RUN]")
@click.option("--scenario", metavar="TEXT", help="Only scenarios with this in their name or path; a line for each.")
@click.option("--since", metavar="SPAN", help="Only runs begun in this time: 12h, 7d, 2w.")
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="At most so many runs.")
@click.option("--prune", is_flag=True, help="Remove what is older than --keep, with its artifacts.")
@click.option("--keep", metavar="SPAN", help="What --prune leaves: 90d, 200 (so many runs), forever. Default: 90d.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")
@storing
@click.pass_obj
def command(
    state: State,
    run: str | None,
    scenario: str | None,
    since: str | None,
    limit: int,
    prune: bool,
    keep: str | None,
    as_json: bool,
    store: str | None,
) -> int:
    """Show the runs that faultline run recorded: a line for each, or RUN in full.

    RUN is an id or its beginning, latest, latest~1 (the one before), a branch, or a commit.
    """
    if prune:
        return _prune(store, keep)
    results = opened(store)
    from faultline.store import told

    if run is not None:
        return _one(results, run, as_json)
    wanted = _wanted(scenario, since, limit)
    found = results.entries(wanted)
    if as_json:
        click.echo(told.entries_json(found))
    elif not found:
        click.echo(nothing_yet(results) if not (scenario or since) else "no run is like that")
    else:
        lines = _of_scenario(results, scenario, wanted) if scenario else told.entries(found)
        for line in lines:
            click.echo(line)
    return exits.OK


def _wanted(scenario: str | None, since: str | None, limit: int) -> Wanted:
    from faultline.store.results import Wanted
    from faultline.store.retention import span_s

    begin = 0.0 if since is None else time.time() - span_s(since, "--since")
    return Wanted(scenario=scenario or "", since=begin, limit=limit)


def _of_scenario(results: Results, scenario: str, wanted: Wanted) -> list[str]:
    from faultline.store import told

    found = results.entries(wanted)
    keys = {
        case.key
        for entry in found
        for case in results.whole(entry).cases
        if scenario.lower() in f"{case.scenario}\0{case.path}".lower()
    }
    seen = results.seen(keys, found)
    return told.of_scenario(
        sorted((each for of in seen.values() for each in of), key=lambda each: -each.entry.began_at)
    )


def _one(results: Results, ref: str, as_json: bool) -> int:
    from faultline.store import folder, told

    whole = results.whole(results.find(ref))
    artifacts = [str(path) for path in folder.artifacts(results.address.root, whole.entry.id)]
    if as_json:
        click.echo(told.whole_json(whole, artifacts))
    else:
        for line in told.whole(whole, artifacts):
            click.echo(line)
    return exits.OK


def _prune(store: str | None, keep: str | None) -> int:
    from faultline.oracles.base import plural
    from faultline.store import retention

    what = retention.keep(keep or retention.DEFAULT)
    results = opened(store)
    gone = retention.prune(results, what)
    left = len(results.entries())
    click.echo(f"{plural(len(gone), 'run')} removed, {left} left in {results.address.shown}")
    return exits.OK

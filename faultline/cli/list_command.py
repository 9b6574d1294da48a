"""``faultline list``: what there is to run, and what scenarios can name."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from faultline.cli import exits
from faultline.cli.selection import Selection, read_params, selecting

if TYPE_CHECKING:
    from faultline.cli.app import State
    from faultline.plugins import Table
    from faultline.scenario.model import Scenario

EPILOG: Final = """\b
Examples:
  faultline list scenarios/
  faultline list --tag smoke --json
  faultline list --faults
  faultline list --oracles
  faultline list --venues
  faultline list --reports
"""


@click.command("list", epilog=EPILOG)
@selecting
@click.option("--faults", "table", flag_value="faults", help="List the faults that a scenario can name.")
@click.option("--oracles", "table", flag_value="oracles", help="List the oracles that a scenario can name.")
@click.option("--venues", "table", flag_value="venues", help="List the venue profiles that a scenario can name.")
@click.option("--reports", "table", flag_value="reports", help="List the reports that --report can name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")
@click.option("-v", "--verbose", is_flag=True, help="What each scenario is about; tracebacks.")
@click.pass_obj
def command(
    state: State,
    paths: tuple[str, ...],
    tags: tuple[str, ...],
    keywords: tuple[str, ...],
    target: str | None,
    params: tuple[str, ...],
    table: str | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """List scenarios with their targets, seeds and faults; or the faults, oracles, venues and reports that there are.

    What an installed package adds is marked with the package's name.
    """
    from faultline.cli.selection import scenarios

    state.verbose = verbose
    if table is not None:
        _table(table, as_json)
        return exits.OK
    found = [
        scenario
        for scenario in scenarios(Selection(paths, tags, keywords, target, params=read_params(params)))
        if not keywords or any(text.lower() in f"{scenario.path} {scenario.name}".lower() for text in keywords)
    ]
    if as_json:
        click.echo(json.dumps([_json(scenario) for scenario in found], indent=1, ensure_ascii=False))
    else:
        _text(found, verbose)
    return exits.OK


def _text(found: Sequence[Scenario], verbose: bool) -> None:
    from faultline.faults.deciders import labels
    from faultline.oracles.base import plural
    from faultline.reports.text import columns, safe, wrapped

    rows = [
        (
            f"{scenario.path}:{scenario.where('name')[0]}",
            safe(scenario.name),
            ", ".join(scenario.targets),
            plural(scenario.seeds, "seed"),
            ", ".join(labels(scenario.faults)),
            " ".join(f"#{tag}" for tag in scenario.tags),
        )
        for scenario in found
    ]
    for scenario, line in zip(found, columns(rows), strict=True):
        click.echo(line)
        if verbose and scenario.about:
            click.echo("\n".join(wrapped(safe(scenario.about), 100, "    ")) + "\n")
    click.echo(f"\n{plural(len(found), 'scenario')}")


def _json(scenario: Scenario) -> dict[str, Any]:
    line, column = scenario.where("name")
    return {
        "path": scenario.path,
        "line": line,
        "column": column,
        "name": scenario.name,
        "about": scenario.about,
        "tags": list(scenario.tags),
        "targets": dict(scenario.targets),
        "seeds": scenario.seeds,
        "faults": [fault.kind for fault in scenario.faults],
        "expect": [oracle.name for oracle in scenario.expect],
    }


def _table(table: str, as_json: bool) -> None:
    from faultline.reports.text import columns

    found: Table[Any]
    if table == "faults":
        from faultline.faults import FAULTS as found  # noqa: N811
    elif table == "oracles":
        from faultline.oracles import ORACLES as found  # noqa: N811
    elif table == "venues":
        from faultline.venues import PROFILES as found  # noqa: N811
    else:
        from faultline.reports.table import REPORTS as found  # noqa: N811
    about = {name: _about(each) for name, each in sorted(found.items())}
    for name, origin in found.added.items():
        about[name] += f" [{origin.distribution}]"
    if as_json:
        click.echo(json.dumps(about, indent=1, ensure_ascii=False))
        return
    for line in columns([(name, " ".join(text.replace("``", "").split())) for name, text in about.items()]):
        click.echo(line)


def _about(named: Any) -> str:
    """The first paragraph of what it says of itself; of a venue, of its settings."""
    return inspect.cleandoc(getattr(named, "settings", named).__doc__ or "").partition("\n\n")[0]

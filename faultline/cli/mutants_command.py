"""``faultline mutants``: clients broken on purpose, and which oracle sees each."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits

if TYPE_CHECKING:
    from faultline.cli.app import State
    from faultline.mutants import Matrix, Mutant, Table

DEFAULT: Final = "targets/mutants"
RUNS_WORTH_WORKERS: Final = 20
"""With fewer runs than this, starting processes takes longer than they save."""

EPILOG: Final = """\b
Examples:
  faultline mutants                         those of targets/mutants, under one seed each
  faultline mutants --only O01 -v           one, with what its oracle found
  faultline mutants --component Retry --seeds 5
  faultline mutants --mutants my_mutants.py --json
"""


@click.command("mutants", epilog=EPILOG)
@click.option(
    "--mutants",
    "where",
    metavar="FILE_OR_FOLDER",
    default=DEFAULT,
    show_default=True,
    help="A Python file or package with a table MUTANTS.",
)
@click.option("--only", multiple=True, metavar="ID", help="Only this mutant (any of).")
@click.option("--component", "components", multiple=True, metavar="NAME", help="Only this component's (any of).")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many seeds for each.")
@click.option("--jobs", type=click.IntRange(1), help="Processes (default: what is worth it).")
@click.option("--record", is_flag=True, help="Write down what was killed: from now on it has to stay killed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")
@click.option("-v", "--verbose", is_flag=True, help="Also what was found of each that was killed; logs, tracebacks.")
@click.pass_obj
def command(
    state: State,
    where: str,
    only: tuple[str, ...],
    components: tuple[str, ...],
    seeds: int,
    jobs: int | None,
    record: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Break a client on purpose, one rule at a time, and say which oracle notices.

    A mutant is killed when an oracle that was expected to fail fails for it, and passes for the client as it is on the
    same schedule and seed. Exit code 1 when one that was killed before survives, 4 when nothing could be told of one.
    """
    from faultline.errors import UsageError
    from faultline.mutants import load_table
    from faultline.mutants.matrix import document, text
    from faultline.search.executors import set_logging

    state.verbose = verbose
    set_logging(logging.WARNING if verbose else 0)
    table = load_table(where)
    picked = table.picked(only, components)
    if record and (only or components):
        raise UsageError("--record writes down all of them: leave out --only and --component")
    matrix = _matrix(table, picked, seeds, jobs)
    code = exits.of_matrix(matrix)
    if as_json:
        click.echo(json.dumps(document(matrix, code), indent=1, ensure_ascii=False))
    else:
        click.echo(text(matrix))
        for result in matrix.having("killed") if verbose else ():
            click.echo(f"{result.mutant.id}  {', '.join(result.killed_by)}: {result.why}")
    if record:
        told = json.dumps(matrix.record(), indent=1)
        table.record.write_text(told + "\n", encoding="utf-8")
    return code


def _matrix(table: Table, picked: tuple[Mutant, ...], seeds: int, jobs: int | None) -> Matrix:
    from faultline.errors import HarnessError
    from faultline.mutants import Matrix, Result, Trial, Tried, try_mutant
    from faultline.search.executors import Crew, processors

    if jobs is None:
        jobs = processors() if len(picked) * seeds >= RUNS_WORTH_WORKERS else 1
    crew: Crew[str] = Crew(jobs)
    for mutant in picked:
        crew.add(mutant.id, try_mutant, str(Path(table.path)), mutant.id, range(seeds))
    found: dict[str, Result] = {}
    try:
        for id, tried in crew.results():
            lost = isinstance(tried, HarnessError)
            found[id] = Result(table.mutants[id], Tried((Trial(0, (), error=str(tried)),)) if lost else tried)
    finally:
        crew.close()
    return Matrix(tuple(found[mutant.id] for mutant in picked), table.recorded)

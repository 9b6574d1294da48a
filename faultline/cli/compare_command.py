"""``faultline compare``: what changed between two recorded runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits
from faultline.cli.storing import nothing_yet, opened, storing

if TYPE_CHECKING:
    from faultline.cli.app import State
    from faultline.store.results import Results
    from faultline.store.values import Entry

EPILOG: Final = """\b
Examples:
  faultline compare                            the latest run against the one before
  faultline compare latest~7 latest            any two; also by id, branch or commit
  faultline compare --baseline main            the latest run against the latest of branch main

\b
Exit codes:
  0    nothing worse
  1    something new fails, or latency or recovery grew beyond noise
  2    wrong usage
  4    not comparable: there is only one run, or no scenario ran in both
"""


@click.command("compare", epilog=EPILOG)
@click.argument("a", required=False, metavar="[A]")
@click.argument("b", required=False, metavar="[B]")
@click.option("--baseline", metavar="REF", help="The run to compare with, instead of A.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")
@storing
@click.pass_obj
def command(state: State, a: str | None, b: str | None, baseline: str | None, as_json: bool, store: str | None) -> int:
    """Compare run B with run A: what is new, fixed, still failing or flaky, and what got slower beyond noise.

    Without B it is the latest run, without A the one before B that ran any of the same scenarios.
    """
    from faultline.errors import UsageError

    if baseline is not None:
        if b is not None:
            raise UsageError("--baseline takes the place of A; name one run beside it at most")
        a, b = baseline, a
    results = opened(store)
    if not results.entries():
        click.echo(nothing_yet(results), err=True)
        return exits.INCONCLUSIVE
    after = results.find(b or "latest")
    before = results.before(after) if a is None else results.find(a)
    if before is None:
        click.echo(f"not comparable: no run before {after.id} ran any of its scenarios", err=True)
        return exits.INCONCLUSIVE
    if before.id == after.id:
        raise UsageError(f"both are the run {after.id}")
    return _compared(results, before, after, as_json)


def _compared(results: Results, before: Entry, after: Entry, as_json: bool) -> int:
    from faultline.store import told
    from faultline.store.compare import compare

    found = compare(results, before, after)
    code = exits.INCONCLUSIVE if not found.comparable else exits.FAILED if found.worse else exits.OK
    if as_json:
        click.echo(told.comparison_json(found, code))
    else:
        for line in told.comparison(found):
            click.echo(line)
    return code

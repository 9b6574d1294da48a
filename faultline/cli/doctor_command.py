"""``faultline doctor``: what on this machine could get in the way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits

if TYPE_CHECKING:
    from faultline.cli.app import State

MARKS: Final = {"good": ("✓", "green"), "note": ("!", "yellow"), "bad": ("✗", "red")}

EPILOG: Final = """\b
Examples:
  faultline doctor
  faultline doctor --json     the same for a program
"""


@click.command("doctor", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout instead of text.")
@click.pass_obj
def command(state: State, as_json: bool) -> int:
    """Look at the interpreter, the packages, the clocks, the network and the disk, and explain what is amiss.

    Nothing is changed, and nothing leaves this machine. Exit code 3 when something stands in the way.
    """
    from faultline.cli.doctor import examine
    from faultline.reports.text import safe

    found = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            mark, colour = MARKS[finding.level]
            click.echo(f"{click.style(mark, fg=colour)} {safe(finding.what)}")
            if finding.advice and finding.level != "good":
                click.echo(f"    {safe(finding.advice)}")
    bad = any(finding.level == "bad" for finding in found)
    if as_json:
        rows = [{"level": each.level, "what": each.what, "advice": each.advice} for each in found]
        click.echo(json.dumps({"ok": not bad, "findings": rows}, indent=1))
    else:
        click.echo("\nsomething stands in the way" if bad else "\nnothing stands in the way")
    return exits.BROKE if bad else exits.OK

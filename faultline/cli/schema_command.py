"""``faultline schema``: for editors."""

from __future__ import annotations

from typing import Final

import click

from faultline.cli import exits

EPILOG: Final = """\b
Examples:
  faultline schema > scenario.schema.json

\b
In a scenario file:
  # yaml-language-server: $schema=scenario.schema.json
"""


@click.command("schema", epilog=EPILOG)
def command() -> int:
    """Print the JSON Schema of scenario files, by which an editor completes and checks them."""
    from faultline.scenario.schema import schema_text

    click.echo(schema_text(), nl=False)
    return exits.OK

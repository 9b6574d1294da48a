"""``faultline completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from faultline.cli import exits
from faultline.errors import UsageError

VARIABLE: Final = "_FAULTLINE_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")

EPILOG: Final = """\b
Examples:
  faultline completion fish > ~/.config/fish/completions/faultline.fish
  eval "$(faultline completion bash)"      in ~/.bashrc
  eval "$(faultline completion zsh)"       in ~/.zshrc
"""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the script with which SHELL completes faultline's commands and options."""
    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"no completion for {shell}")
    root = ctx.find_root().command
    click.echo(found(root, {}, "faultline", VARIABLE).source())
    return exits.OK

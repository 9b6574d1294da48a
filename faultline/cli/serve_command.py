"""``faultline serve``: results over time as a local page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits
from faultline.cli.storing import opened, storing

if TYPE_CHECKING:
    from faultline.cli.app import State
    from faultline.store.web.server import Page

EPILOG: Final = """\b
Examples:
  faultline serve
  faultline serve --port 0                     any free port
  faultline serve --store postgresql://ci@db.example/faultline
  faultline serve --host 0.0.0.0 --token-file token.txt
"""


@click.command("serve", epilog=EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; others than this need a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8476, show_default=True, help="0: any free port.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Ask everyone for this token (or FAULTLINE_TOKEN).")
@storing
@click.pass_obj
def command(state: State, host: str, port: int, token_file: Path | None, store: str | None) -> int:
    """Show recorded runs as a page: what broke last night, since when, the smallest reproduction, and trends.

    It reads only, and listens on this machine only unless a token is asked for. Ctrl-C ends it.
    """
    import asyncio

    from faultline.errors import HarnessError, UsageError
    from faultline.worlds.live.proxy.serving import token_of

    results = opened(store)
    try:
        from faultline.store.web.server import Page, is_local
    except ImportError as error:
        raise HarnessError(f"the page needs {error.name}: pip install jinja2, or faultline's extra `store`") from error
    token = token_of(token_file)
    if token is None and not is_local(host):
        raise UsageError(f"--host {host}: others could read the results; ask for a token with --token-file")
    return asyncio.run(_serve(Page.of(results, token), host, port))


async def _serve(page: Page, host: str, port: int) -> int:
    from faultline.store.web.server import served

    async with served(page, host, port) as (address, told):
        click.echo(f"results of {page.results.address.shown} at {address} (Ctrl-C ends it)")
        await told.wait()
    return exits.OK

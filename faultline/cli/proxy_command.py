"""``faultline proxy``: a fault proxy that Toxiproxy's clients drive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits

if TYPE_CHECKING:
    from faultline.cli.app import State
    from faultline.worlds.live.proxy import ControlApi

EPILOG: Final = """\b
Examples:
  faultline proxy
  faultline proxy --config proxies.json --seed 7
  curl -d '{"name": "db", "listen": "127.0.0.1:6543", "upstream": "127.0.0.1:5432"}' 127.0.0.1:8474/proxies
  curl -d '{"type": "latency", "attributes": {"latency": 50}}' 127.0.0.1:8474/proxies/db/toxics
"""


@click.command("proxy", epilog=EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the control API listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=8474, show_default=True, help="0: any free port.")
@click.option("--config", type=click.Path(path_type=Path), help="JSON file with the proxies to begin with.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed strikes the same connections.")
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token that requests must carry.")
@click.option("--proxy-metrics", is_flag=True, help="Count bytes, and show them at /metrics.")
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks.")
@click.pass_obj
def command(
    state: State, host: str, port: int, config: Path | None, seed: int, token_file: Path | None, proxy_metrics: bool,
    verbose: bool,
) -> int:  # fmt: skip
    """Proxy TCP connections with faults, driven over HTTP by any client of Toxiproxy.

    An address other than this machine's own needs a token: --token-file, or FAULTLINE_TOKEN in the environment.
    """
    from faultline.worlds.live.proxy import ControlApi, ProxyServer
    from faultline.worlds.live.proxy.serving import run, token_of

    state.verbose = verbose
    api = ControlApi(ProxyServer(seed=seed, counts=proxy_metrics), token=token_of(token_file), metrics=proxy_metrics)
    run(lambda: _serve(api, host, port, config, seed))
    return exits.OK


async def _serve(api: ControlApi, host: str, port: int, config: Path | None, seed: int) -> None:
    from faultline.worlds.live.proxy.serving import serve_until_told

    async with serve_until_told(api, host, port, config) as (at, told):
        click.echo(f"control API at http://{at} (seed {seed})")
        for proxy in api.server.proxies.values():
            click.echo(f"{proxy.name}: {proxy.proxy.listen} -> {proxy.proxy.upstream}")
        await told.wait()

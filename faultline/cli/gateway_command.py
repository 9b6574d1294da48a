"""``faultline gateway``: message faults in front of any HTTP upstream."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faultline.cli.app import State
    from faultline.faults.base import Fault
    from faultline.gateway import Gateway
    from faultline.oracles.base import Oracle
    from faultline.worlds.live.gateway import EffectRule

EPILOG: Final = """\b
Examples:
  faultline gateway --upstream http://127.0.0.1:9000 --fault 'lost_response: {on: POST /charges, probability: 10%}'
  faultline gateway --upstream https://test.example.com --allow-host test.example.com --scenario faults.yaml
  faultline gateway --upstream http://127.0.0.1:9000 --history wire.jsonl \\
      --effect 'POST /charges: {key: header Idempotency-Key, id: json id}'
"""
_SCENARIO: Final = "name: gateway\ntarget: a.py:A\nvenue: generic\nexpect: [no_duplicates]\nfaults:\n"


@click.command("gateway", epilog=EPILOG)
@click.option("--upstream", required=True, metavar="URL", help="Where requests go.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the gateway listens.")
@click.option("--port", type=click.IntRange(0, 65535), default=8475, show_default=True, help="0: any free port.")
@click.option("--allow-host", multiple=True, metavar="HOST", help="A host other than this machine may be the upstream.")
@click.option("--fault", multiple=True, metavar="FAULT", help="A fault as a scenario writes it. Repeatable.")
@click.option(
    "--scenario", type=click.Path(path_type=Path), help="Take faults, effects and oracles from this scenario."
)
@click.option("--effect", multiple=True, metavar="EFFECT", help="'POST /orders: {key: header NAME, id: json id}'.")
@click.option("--for", "for_", default="1h", show_default=True, help="How long faults strike; then none do.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides where faults strike.")
@click.option("--history", type=click.Path(path_type=Path), help="Write what happened on the wire to this file.")
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks.")
@click.pass_obj
def command(
    state: State, upstream: str, host: str, port: int, allow_host: tuple[str, ...], fault: tuple[str, ...],
    scenario: Path | None, effect: tuple[str, ...], for_: str, seed: int, history: Path | None, verbose: bool,
) -> int:  # fmt: skip
    """Forward HTTP and WebSocket to an upstream, with faults on the messages.

    An upstream on another machine must be named with --allow-host. Ctrl-C ends it and tells what struck.
    """
    from faultline.errors import UsageError
    from faultline.gateway import Gateway, refuse
    from faultline.units import seconds
    from faultline.worlds.live.proxy.serving import run as run_on_the_fastest_loop

    state.verbose = verbose
    faults, oracles, rules = _planned(fault, effect, scenario)
    refuse(faults)
    try:
        for_s = seconds(for_)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error
    gateway = Gateway(upstream, seed=seed, effects=rules, host=host, port=port, allow_hosts=allow_host, history=history)
    return run_on_the_fastest_loop(lambda: _serve(gateway, faults, oracles if rules else (), for_s))


def _planned(
    texts: Sequence[str], effects: Sequence[str], path: Path | None
) -> tuple[list[Fault], tuple[Oracle, ...], list[EffectRule]]:
    """What the options and the scenario say together: the first rule that is about a request counts."""
    from faultline.errors import ScenarioError, UsageError
    from faultline.scenario import load_scenarios
    from faultline.scenario.load import loads

    faults: list[Fault] = []
    oracles: tuple[Oracle, ...] = ()
    rules = [_rule(text) for text in effects]
    if path is not None:
        scenarios = load_scenarios(path)
        if len(scenarios) != 1:
            raise UsageError(f"{path} expands to {len(scenarios)} scenarios; --scenario takes a file with one")
        faults += scenarios[0].faults
        oracles = scenarios[0].expect
        rules += scenarios[0].effects
    for text in texts:
        try:
            faults += loads(f"{_SCENARIO}  - {text}\n")[0].faults
        except ScenarioError as error:  # its lines and columns are those of a file that nobody wrote
            told = "; ".join(problem.message for problem in error.problems)
            raise UsageError(f"--fault {text!r}: {told}") from error
    return faults, oracles, rules


def _rule(text: str) -> EffectRule:
    from faultline.errors import UsageError
    from faultline.scenario.build import read_effect
    from faultline.scenario.document import Problems
    from faultline.scenario.yaml12 import read_yaml

    document = read_yaml(text, f"--effect {text}")
    tree = {document.tree: None} if isinstance(document.tree, str) else document.tree
    if not isinstance(tree, dict) or len(tree) != 1:
        raise UsageError(f"--effect {text}: write it like 'POST /orders: {{key: header Idempotency-Key, id: json id}}'")
    ((on, settings),) = tree.items()
    problems = Problems(document.path, document.marks)
    rule = read_effect(on, settings, (on,), problems)
    problems.raise_any()
    assert rule is not None
    return rule


async def _serve(gateway: Gateway, faults: Sequence[Fault], oracles: Sequence[Oracle], for_s: float) -> int:
    from faultline.oracles.base import plural
    from faultline.units import show_seconds

    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    async with gateway:
        with ExitStack() as armed:
            if faults:
                armed.enter_context(gateway.inject(*faults))
            armed_for = f"{plural(len(faults), 'fault')} for {show_seconds(for_s)}"
            click.echo(f"gateway at {gateway.url} (seed {gateway.seed}, {armed_for})")
            timer = loop.call_later(for_s, armed.close)
            await told.wait()
            timer.cancel()
    return _summary(gateway, oracles)


def _summary(gateway: Gateway, oracles: Sequence[Oracle]) -> int:
    from faultline.history.event import Effect, Received
    from faultline.oracles.base import plural
    from faultline.reports.text import safe

    history = gateway.history
    click.echo(f"{plural(len(history.of(Received)), 'request')}, {plural(len(history.of(Effect)), 'effect')}")
    for (fault, effect), count in sorted(gateway.receipts().items()):
        click.echo(f"  {fault}: struck {count}, {effect.replace('_', ' ')}")
    if history.outgrown:
        click.echo(f"  {history.outgrown}")
    failed = False
    for verdict in gateway.verdicts(oracles):
        failed = failed or verdict.verdict == "fail"
        click.echo(f"{verdict.oracle}: {verdict.verdict}: {safe(verdict.why)}")
    return exits.FAILED if failed else exits.OK

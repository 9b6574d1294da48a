"""``faultline nightly``: fresh seeds every night, and everything that ever failed."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from faultline.cli import exits
from faultline.cli.screen import stdout
from faultline.cli.selection import Selection, duration, read_params, selecting
from faultline.cli.storing import storing
from faultline.errors import FaultlineError, UsageError

if TYPE_CHECKING:
    from faultline.campaign.model import Case, RunRecord
    from faultline.cli.app import State
    from faultline.nightly import Memory, Outcome

STATE: Final = Path(".faultline/nightly")

EPILOG: Final = """\b
Examples:
  faultline nightly scenarios/ --budget 2h
  faultline nightly scenarios/ --budget 30min --notify https://hooks.example/chaos
  faultline nightly --check 26h              exit 1 when no night has ended for so long
  faultline nightly scenarios/ --budget 2h --install systemd
"""


@click.command("nightly", epilog=EPILOG)
@selecting
@click.option("--budget", metavar="TIME", default="30min", callback=duration, help="How long (default: 30min).")
@click.option("--jobs", metavar="N", type=click.IntRange(1), help="Processes (default: what is worth it).")
@click.option("--state", "state_folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path),
              default=STATE, help="What is known from earlier nights (default: .faultline/nightly).")  # fmt: skip
@click.option("--notify", metavar="URL", envvar="FAULTLINE_NOTIFY",
              help="A webhook, told when what fails has changed; apprise:URL for anything Apprise knows.")  # fmt: skip
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write JUnit XML for a CI server.")
@storing
@click.option("--no-store", is_flag=True, help="Do not record this night.")
@click.option("--check", metavar="TIME", callback=duration, help="Run nothing: exit 1 when no night ended for so long.")
@click.option("--install", metavar="KIND", help="Run nothing: print a unit for cron, systemd, kubernetes or github.")
@click.option("--no-color", is_flag=True, help="No colours (also: NO_COLOR).")
@click.pass_obj
def command(
    state: State,
    paths: tuple[str, ...],
    tags: tuple[str, ...],
    keywords: tuple[str, ...],
    target: str | None,
    params: tuple[str, ...],
    budget: float,
    jobs: int | None,
    state_folder: Path,
    notify: str | None,
    junit: Path | None,
    store: str | None,
    no_store: bool,
    check: float | None,
    install: str | None,
    no_color: bool,
) -> int:
    """Run scenarios for a while: first every seed and schedule that ever failed, then seeds that no night has used.

    Time is shared by risk: what failed last night or has changed since comes first. One night at a time (exit 75); it
    ends at its budget, at SIGTERM or at Ctrl-C, always with a report.
    """
    from faultline.nightly import Memory
    from faultline.nightly.lock import held

    if install is not None:
        return _install(install, budget)
    if check is not None:
        return _check(Memory(state_folder), check)
    from faultline.cli.outputs import Outputs
    from faultline.cli.selection import cases
    from faultline.cli.storing import Recording

    outputs = Outputs(junit)
    recording = Recording.asked("none" if no_store else store, None)
    selected = cases(Selection(paths, tags, keywords, target, params=read_params(params)))
    with held(state_folder / "lock"):
        memory = Memory(state_folder)
        outcome = _night(selected, memory, budget, jobs, state_folder)
        code = _code(outcome)
        _report(outcome, memory, selected, code, no_color)
        recording.record(outcome.campaign, code, exits.MEANING[code], label="nightly")
        outputs.write(outcome.campaign, code, exits.MEANING[code])
        if notify is not None and code != exits.INTERRUPTED:
            _notify(notify, outcome, memory, code)
    return code


def _night(selected: Sequence[Case], memory: Memory, budget_s: float, jobs: int | None, folder: Path) -> Outcome:
    from faultline.nightly import Night, Terms
    from faultline.search.executors import set_logging

    set_logging(0)
    count = 0

    def ran(case: Case, records: Sequence[RunRecord]) -> None:
        nonlocal count
        count += len(records)
        if sys.stderr.isatty():
            print(f"\r{count} runs, {max(0.0, night.left_s):.0f} s left \033[K", end="", file=sys.stderr, flush=True)

    night = Night(selected, memory, Terms(budget_s, jobs, folder / "failures"), ran=ran)
    outcome = night.run()
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return outcome


def _code(outcome: Outcome) -> int:
    code = exits.of_campaign(outcome.campaign)
    again = [each.why for each in outcome.replayed if each.why]
    if code in (exits.OK, exits.INCONCLUSIVE) and again:
        return exits.BROKE if any(why.startswith("broke") for why in again) else exits.FAILED
    return code


def _report(outcome: Outcome, memory: Memory, selected: Sequence[Case], code: int, no_color: bool) -> None:
    from faultline.nightly.tell import lines
    from faultline.reports.console import ConsoleReport
    from faultline.reports.text import safe

    console = stdout(no_color)
    report: Any = ConsoleReport(console, selected)
    for result in outcome.campaign.results:
        report.case(result)
    report.failures(outcome.campaign.results)
    console.print()
    for line in lines(outcome, memory):
        console.print(safe(line), soft_wrap=True)
    report.summary(outcome.campaign, code, exits.MEANING[code])


def _notify(url: str, outcome: Outcome, memory: Memory, code: int) -> None:
    from faultline.nightly.tell import failing_now, message, notify

    told = message(outcome, memory.told, code, exits.MEANING[code])
    if told is None:
        return
    try:
        notify(url, told)
    except FaultlineError as error:
        # The verdict stands; what could not be told is told again after the next night.
        print(f"faultline: {error}", file=sys.stderr)
        return
    memory.was_told(failing_now(outcome))
    memory.save()


def _check(memory: Memory, limit_s: float) -> int:
    from faultline.nightly.tell import freshness

    why = freshness(memory, time.time(), limit_s)
    click.echo(why or f"fresh: {memory.nights} nights, the last one within the limit")
    return exits.FAILED if why else exits.OK


def _install(kind: str, budget_s: float) -> int:
    from faultline.nightly.install import UNITS

    if kind not in UNITS:
        raise UsageError(f"--install {kind!r}: there are {', '.join(UNITS)}")
    given = sys.argv[1:]
    while "--install" in given:
        at = given.index("--install")
        del given[at : at + 2]
    given = [word for word in given if not word.startswith("--install=")]
    program = Path(sys.argv[0]).resolve()
    command_words = (
        [str(program), *given] if program.name == "faultline" else [sys.executable, "-m", "faultline", *given]
    )
    click.echo(UNITS[kind](command_words, Path.cwd(), budget_s), nl=False)
    return exits.OK

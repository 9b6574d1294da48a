"""From paths and options to cases, each of them planned once, so that nothing starts that cannot end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from faultline.errors import FaultlineError, Problem, ScenarioError, TargetError, UsageError

if TYPE_CHECKING:
    from faultline.campaign.model import Case
    from faultline.scenario.model import Scenario
    from faultline.targets import TargetRef

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_FOLDER: Final = "scenarios"


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for on the command line."""

    paths: tuple[str, ...]
    tags: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    target: str | None = None
    seed: int | None = None
    seeds: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    world: str | None = None
    toxiproxy_url: str | None = None


def selecting(command: F) -> F:
    """The argument and options by which every command picks scenarios."""
    for decorate in reversed(
        [
            click.argument("paths", nargs=-1, metavar="[PATH]..."),
            click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only scenarios with this tag (any of)."),
            click.option(
                "-k", "keywords", multiple=True, metavar="TEXT", help="Only where path, name or target has this text."
            ),
            click.option(
                "--target",
                metavar="FILE:Class",
                envvar="FAULTLINE_TARGET",
                help="This client instead of the scenario's own.",
            ),
            click.option(
                "--param",
                "params",
                multiple=True,
                metavar="NAME=VALUE",
                help="Another value for ${NAME}; picks one value of a matrix.",
            ),
        ]
    ):
        command = decorate(command)
    return command


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A span of time such as ``30min``, in seconds, for an option's ``callback``. Raises click.BadParameter."""
    from faultline.units import seconds

    if value is None:
        return None
    try:
        found = seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if found <= 0:
        raise click.BadParameter("more than nothing, such as 30min")
    return found


def read_params(params: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` options as a mapping. Raises UsageError."""
    read: dict[str, str] = {}
    for text in params:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {text!r}: write NAME=VALUE")
        read[name] = value
    return read


def scenarios(selection: Selection) -> list[Scenario]:
    """The scenarios that were picked. Raises UsageError when there are none, ScenarioError for wrong files."""
    from faultline.scenario import find, load_all

    paths = selection.paths or ((DEFAULT_FOLDER,) if Path(DEFAULT_FOLDER).is_dir() else ())
    if not paths:
        raise UsageError(f"no PATH given, and there is no folder {DEFAULT_FOLDER}/ here")
    found = load_all(find(paths), params=selection.params)
    picked = [each for each in found if not selection.tags or set(selection.tags) & set(each.tags)]
    if not picked:
        known = sorted({tag for each in found for tag in each.tags})
        raise UsageError(f"no scenario has the tag {', '.join(selection.tags)}; tags: {', '.join(known) or 'none'}")
    if selection.world is not None:
        picked = [replace(each, world=_world(selection.world)) for each in picked]
    if selection.toxiproxy_url:
        picked = [replace(each, toxiproxy=_server(selection.toxiproxy_url)) for each in picked]
    return picked


def _world(name: str) -> str:
    from faultline.scenario.document import did_you_mean
    from faultline.worlds import WORLDS

    if name not in WORLDS:
        raise UsageError(f"--world {name!r}: there is no such world{did_you_mean(name, WORLDS)}")
    return name


def _server(url: str) -> str:
    from faultline.worlds.toxiproxy.address import server_url

    try:
        return server_url(url)
    except ValueError as error:
        raise UsageError(f"--toxiproxy-url: {error}") from error


def cases(selection: Selection) -> list[Case]:
    """Every picked scenario against each of its targets, with its seeds. All of them can be planned.

    Raises UsageError with everything that is wrong, TargetError when it is only a target that does not load.
    """
    from faultline.campaign.model import Case

    made: list[Case] = []
    for scenario in scenarios(selection):
        for target in _targets(scenario, selection):
            subject = f"{scenario.path} {scenario.name} {target.name} {target.spec}".lower()
            if not selection.keywords or any(text.lower() in subject for text in selection.keywords):
                seeds = scenario.expectation(target.name).seeds or scenario.seeds
                made.append(Case(scenario, target, _seeds(selection, seeds)))
    if not made:
        raise UsageError(f"no scenario or target matches -k {' or -k '.join(map(repr, selection.keywords))}")
    _check(made)
    return made


def _targets(scenario: Scenario, selection: Selection) -> list[TargetRef]:
    """The scenario's own, unless another was asked for."""
    from faultline.targets import TargetRef

    if selection.target is None:
        return [scenario.target(name) for name in scenario.targets]
    return [TargetRef("given", selection.target, scenario.path)]


def _seeds(selection: Selection, of_scenario: int) -> tuple[int, ...]:
    if selection.seed is None:
        return tuple(range(selection.seeds or of_scenario))
    return tuple(range(selection.seed, selection.seed + (selection.seeds or 1)))


def _check(made: Sequence[Case]) -> None:
    """Plan every case, so that everything wrong is told at once and nothing has run yet."""
    from faultline.plan import make_plan

    problems: dict[Problem, None] = {}
    others: dict[str, FaultlineError] = {}
    for case in made:
        try:
            make_plan(case.scenario, case.target)
        except ScenarioError as error:
            problems.update(dict.fromkeys(error.problems))
        except (UsageError, TargetError) as error:
            others.setdefault(str(error), error)
    if not others:
        if problems:
            raise ScenarioError(list(problems))
        return
    lines = [*map(str, problems), *others]
    if not problems and all(isinstance(error, TargetError) for error in others.values()):
        raise TargetError("\n".join(lines)) from next(iter(others.values()))
    raise UsageError("\n".join(lines)) from next(iter(others.values()))

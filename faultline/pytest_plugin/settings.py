"""The plugin's options, and what a mark asks for. The command line goes before the mark, and the mark before the ini
file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from faultline.campaign.model import CaseResult

SUFFIXES: Final = (".yaml", ".yml", ".toml")
MARK: Final = "faultline"
SEEDS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Mark:
    """What ``@pytest.mark.faultline(...)`` says. ``seeds`` are how many, or which."""

    seeds: int | tuple[int, ...] | None = None
    world: str | None = None
    scenarios: tuple[str, ...] = ()
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The options. ``seed`` is the first seed, ``seeds`` how many from it on; ``given`` and ``seed_given`` say whether
    the command line gave them. ``patterns`` are those of scenario files, counted from ``root``."""

    seed: int
    seed_given: bool
    seeds: int
    seeds_given: bool
    world: str | None
    report: str
    patterns: tuple[str, ...]
    root: Path

    def asks_for(self, path: Path) -> bool:
        """Whether this file is to be collected as scenarios."""
        if not self.patterns or path.suffix not in SUFFIXES:
            return False
        return any(_fits(path, self.root / pattern) for pattern in self.patterns)

    def seeds_for(self, mark: Mark) -> Sequence[int]:
        """The seeds of a test that asks for a world."""
        if isinstance(mark.seeds, tuple) and not self.seeds_given and not self.seed_given:
            return mark.seeds
        count = self.seeds if self.seeds_given or not isinstance(mark.seeds, int) else mark.seeds
        return range(self.seed, self.seed + count)


def _fits(path: Path, pattern: Path) -> bool:
    return fnmatch(str(path), str(pattern)) or pattern in path.parents


SETTINGS: Final = pytest.StashKey[Settings]()
RAN: Final[pytest.StashKey[CaseResult]] = pytest.StashKey()
"""What came of the scenario that an item ran."""
_INI: Final[Mapping[str, str]] = {
    "seed": "first seed of the simulated world, or random",
    "seeds": "how many seeds each test that asks for a world is run under",
    "world": "world of tests and scenarios that do not say another: sim or live",
    "report": "file for a report of all scenarios: FILE.json, FILE.xml (JUnit), FILE.html, or NAME=FILE",
}


def add_options(parser: pytest.Parser) -> None:
    """``--faultline-seed``, ``-seeds``, ``-world``, ``-report``, ``-scenarios``, and the ini values of these names."""
    group = parser.getgroup("faultline")
    for name, text in _INI.items():
        metavar = {"seed": "N", "seeds": "N", "world": "NAME", "report": "FILE"}[name]
        group.addoption(f"--faultline-{name}", metavar=metavar, help=text)
        parser.addini(f"faultline_{name}", text, default="")
    text = "scenario files that are tests: files, folders or patterns"
    group.addoption("--faultline-scenarios", metavar="PATH", action="append", default=[], help=text)
    parser.addini("faultline_scenarios", text, type="linelist", default=[])


def settle(config: pytest.Config) -> None:
    """Read them all. Raises UsageError for values that cannot be."""
    seed_given, seeds_given = (config.getoption(f"--faultline-{name}") is not None for name in ("seed", "seeds"))
    named = [*config.getini("faultline_scenarios"), *config.getoption("--faultline-scenarios")]
    _collect_too(config, config.getoption("--faultline-scenarios"))
    report = _value(config, "report")
    config.stash[SETTINGS] = Settings(
        seed=_seed(config),
        seed_given=seed_given,
        seeds=_number("faultline_seeds", _value(config, "seeds") or "1", 1),
        seeds_given=seeds_given,
        world=_value(config, "world") or None,
        report=report,
        patterns=tuple(str(pattern).rstrip("/") for pattern in named),
        root=config.rootpath,
    )


def _collect_too(config: pytest.Config, paths: Sequence[str]) -> None:
    """Asked for by hand, scenarios are found wherever they are; a pattern is for what is collected anyway."""
    here = config.invocation_params.dir
    for path in paths:
        file = (here / path).resolve()
        asked = [(here / arg.partition("::")[0]).resolve() for arg in config.args]
        # Some versions of pytest collect only one of two arguments when one is in the other.
        if file.exists() and not any(arg == file or arg in file.parents for arg in asked):
            config.args.append(path)


def _value(config: pytest.Config, name: str) -> str:
    given = config.getoption(f"--faultline-{name}")
    return str(config.getini(f"faultline_{name}") if given is None else given)


def _seed(config: pytest.Config) -> int:
    workerinput: Mapping[str, int] = getattr(config, "workerinput", {})
    if "faultline_seed" in workerinput:
        return workerinput["faultline_seed"]
    written = _value(config, "seed") or "0"
    if written == "random":
        return int.from_bytes(os.urandom(4), "big")
    return _number("faultline_seed", written, 0)


def _number(name: str, written: str, least: int) -> int:
    try:
        value = int(written)
    except ValueError as error:
        raise pytest.UsageError(f"{name} is {written!r}; it is a whole number such as 7") from error
    if value < least:
        raise pytest.UsageError(f"{name} is {value}; it is at least {least}")
    return value


def marked(node: pytest.Item) -> Mark:
    """What the nearest mark says. Raises CollectError for one that says what there is not."""
    found = node.get_closest_marker(MARK)
    if found is None:
        return Mark()
    given = dict(found.kwargs)
    scenario, seeds = given.pop("scenario", ()), given.pop("seeds", None)
    world, target = given.pop("world", None), given.pop("target", None)
    if found.args or given:
        what = ", ".join([*map(repr, found.args), *given])
        raise pytest.Collector.CollectError(
            f"@pytest.mark.faultline takes seeds=, world=, scenario= and target=, and not {what}"
        )
    if isinstance(seeds, bool) or not (seeds is None or isinstance(seeds, int | list | tuple | range)) or seeds == 0:
        raise pytest.Collector.CollectError(
            f"@pytest.mark.faultline(seeds={seeds!r}): give a number, or a list of them"
        )
    several = seeds if seeds is None or isinstance(seeds, int) else tuple(seeds)
    scenarios = (scenario,) if isinstance(scenario, str | os.PathLike) else tuple(scenario)
    return Mark(several, world, tuple(map(str, scenarios)), target)

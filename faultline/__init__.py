"""faultline proves that a client of a remote API neither duplicates nor loses anything.

The names below are loaded when they are first used, so that importing faultline costs nothing and patches nothing.
``always`` and ``sometimes`` do nothing outside of a run, and may stay in code that is in use.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs more to import than all the rest of this file
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from faultline import faults as faults
    from faultline import injectors as injectors
    from faultline import oracles as oracles
    from faultline import testing as testing
    from faultline.campaign.model import Campaign
    from faultline.checked import CheckFailed
    from faultline.errors import FaultlineError, ScenarioError, SimEscape, TargetError, UnsupportedFault, UsageError
    from faultline.gateway import Gateway
    from faultline.history import History, HistoryBuilder, read_history
    from faultline.inline import always, sometimes
    from faultline.reports.wire import wire
    from faultline.runner import Run
    from faultline.session import Session
    from faultline.worlds.effect_rule import EffectRule

__version__ = "0.1.0"

__all__ = [
    "Campaign",
    "CheckFailed",
    "EffectRule",
    "FaultlineError",
    "Gateway",
    "History",
    "HistoryBuilder",
    "Run",
    "ScenarioError",
    "Session",
    "SimEscape",
    "TargetError",
    "UnsupportedFault",
    "UsageError",
    "always",
    "faults",
    "injectors",
    "oracles",
    "read_history",
    "run",
    "run_all",
    "sometimes",
    "testing",
    "wire",
]

_HOMES = {
    "Campaign": "faultline.campaign.model",
    "CheckFailed": "faultline.checked",
    "EffectRule": "faultline.worlds.effect_rule",
    "FaultlineError": "faultline.errors",
    "Gateway": "faultline.gateway",
    "History": "faultline.history",
    "HistoryBuilder": "faultline.history",
    "Run": "faultline.runner",
    "ScenarioError": "faultline.errors",
    "Session": "faultline.session",
    "SimEscape": "faultline.errors",
    "TargetError": "faultline.errors",
    "UnsupportedFault": "faultline.errors",
    "UsageError": "faultline.errors",
    "always": "faultline.inline",
    "read_history": "faultline.history",
    "sometimes": "faultline.inline",
    "wire": "faultline.reports.wire",
}
_MODULES = ("faults", "injectors", "oracles", "testing")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"faultline.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'faultline' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found


def run(path: str, *, seed: int = 0, target: str | None = None) -> Run:
    """Run the one scenario in the file ``path`` once, and return the :class:`Run`: history, schedule, verdicts.

    ``target`` (``path/to/file.py:Class``) takes the place of the scenario's own. Raises ScenarioError for a file
    that is wrong, UsageError for one that holds several scenarios or targets and no ``target`` picks one.
    """
    from pathlib import Path

    from faultline.errors import UsageError
    from faultline.plan import make_plan
    from faultline.runner import run as run_plan
    from faultline.scenario import load_scenarios
    from faultline.targets import TargetRef

    scenarios = load_scenarios(Path(path))
    if len(scenarios) != 1:
        raise UsageError(f"{path} expands to {len(scenarios)} scenarios; run() takes a file with one")
    scenario = scenarios[0]
    if target is not None:
        return run_plan(make_plan(scenario, TargetRef("given", target, path)), seed)
    if len(scenario.targets) != 1:
        raise UsageError(f"{path} has the targets {', '.join(scenario.targets)}; pick one with target=")
    (name,) = scenario.targets
    return run_plan(make_plan(scenario, scenario.target(name)), seed)


def run_all(
    *paths: str | Path,
    seed: int | None = None,
    seeds: int | None = None,
    target: str | None = None,
    world: str | None = None,
    tags: Sequence[str] = (),
    keywords: Sequence[str] = (),
    folder: str | Path = ".faultline",
    jobs: int = 1,
) -> Campaign:
    """Run the scenarios in files and folders as ``faultline run`` does, and return the :class:`Campaign` it prints.

    The arguments are its options; ``folder`` is where failing schedules and histories are saved. Known failures of the
    working folder's ``pyproject.toml`` count as they do there. With several ``jobs`` the caller's module must be safe
    to import. Raises UsageError and ScenarioError for what cannot run.
    """
    from pathlib import Path

    from faultline.campaign import known
    from faultline.campaign.conductor import Unwatched, conduct
    from faultline.cli.selection import Selection, cases

    picked = Selection(tuple(map(str, paths)), tuple(tags), tuple(keywords), target, seed, seeds, world=world)
    planned = known.read(Path("pyproject.toml")).applied(cases(picked))
    return conduct(planned, Unwatched(), folder=Path(folder), jobs=jobs)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

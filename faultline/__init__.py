"""faultline proves that a client of a remote API neither duplicates nor loses anything.

The names below are loaded when they are first used, so that importing faultline costs nothing and patches nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faultline import faults, oracles
    from faultline.errors import FaultlineError, ScenarioError, SimEscape, TargetError, UnsupportedFault, UsageError
    from faultline.history import History, read_history
    from faultline.runner import Run
    from faultline.session import CheckFailed, Session

__version__ = "0.1.0"

__all__ = [
    "CheckFailed",
    "FaultlineError",
    "History",
    "Run",
    "ScenarioError",
    "Session",
    "SimEscape",
    "TargetError",
    "UnsupportedFault",
    "UsageError",
    "faults",
    "oracles",
    "read_history",
    "run",
]

_HOMES = {
    "CheckFailed": "faultline.session",
    "FaultlineError": "faultline.errors",
    "Gateway": "faultline.gateway",
    "History": "faultline.history",
    "Run": "faultline.runner",
    "ScenarioError": "faultline.errors",
    "Session": "faultline.session",
    "SimEscape": "faultline.errors",
    "TargetError": "faultline.errors",
    "UnsupportedFault": "faultline.errors",
    "UsageError": "faultline.errors",
    "read_history": "faultline.history",
}


def __getattr__(name: str) -> Any:
    if name in ("faults", "oracles"):
        return import_module(f"faultline.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'faultline' has no attribute {name!r}")
    return getattr(import_module(home), name)


def run(path: str, *, seed: int = 0, target: str | None = None) -> Run:
    """Run the one scenario in the file ``path`` once, and return the same :class:`Run` that the CLI prints.

    ``target`` (``path/to/file.py:Class``) takes the place of the scenario's own. Raises ScenarioError for a file
    that is wrong, UsageError for one that holds several scenarios or targets and no ``target`` picks one.
    """
    from pathlib import Path

    from faultline.plan import make_plan
    from faultline.runner import run as run_plan
    from faultline.scenario import load_scenarios
    from faultline.targets import TargetRef

    scenarios = load_scenarios(Path(path))
    if len(scenarios) != 1:
        raise _usage(f"{path} expands to {len(scenarios)} scenarios; run() takes a file with one")
    scenario = scenarios[0]
    if target is not None:
        return run_plan(make_plan(scenario, TargetRef("given", target, path)), seed)
    if len(scenario.targets) != 1:
        raise _usage(f"{path} has the targets {', '.join(scenario.targets)}; pick one with target=")
    (name,) = scenario.targets
    return run_plan(make_plan(scenario, scenario.target(name)), seed)


def _usage(message: str) -> FaultlineError:
    from faultline.errors import UsageError

    return UsageError(message)

"""How much of each component of the resilience layer its own tests run, lines and branches, against what is demanded.

``make coverage`` measures and then runs this on what was measured. It ends with 1 when a component falls short, and
when a module of the layer belongs to no component: nothing is left out by being forgotten.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

LAYER: Final = "targets/resilience/"


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the layer: its modules, and the least share of lines and branches in percent."""

    name: str
    least: float
    modules: tuple[str, ...]


COMPONENTS: Final = (
    Component("token manager", 95, ("token_*",)),
    Component("connection manager", 95, ("connection_*", "stream_*", "signalr_*", "plain_dialect", "polled_stream")),
    Component("error handler", 90, ("error_handler", "errors", "retry_*")),
    Component("rate limiter", 90, ("rate_limiter",)),
    Component("circuit breaker", 90, ("circuit_breaker",)),
    Component("order manager", 95, ("order_manager", "order_requests", "settlement", "calls", "fills", "records")),
    Component("state reconciler", 90, ("state_reconciler", "channel_*", "order_channels", "sequence")),
    Component("risk rules", 100, ("risk/*",)),
    Component("guard and alerts", 90, ("guard", "alerts", "watch")),
    Component("state store", 90, ("state_manager", "database", "schema", "integrity")),
    Component("composition", 90, ("system", "config", "ranges", "adapter", "venue", "http_client", "wire")),
    Component("venues", 85, ("venues/*", "signed_access")),
)


class Summary(msgspec.Struct):
    """One file's counts, as ``coverage json`` writes them."""

    covered_lines: int
    num_statements: int
    covered_branches: int
    num_branches: int


class _File(msgspec.Struct):
    summary: Summary


class _Report(msgspec.Struct):
    files: dict[str, _File]


def component_of(path: str) -> Component | None:
    """Whose module it is; None for no module of the layer."""
    module = path.removeprefix(LAYER).removesuffix(".py")
    found = (each for each in COMPONENTS if any(fnmatchcase(module, pattern) for pattern in each.modules))
    return next(found, None)


def measured(report: _Report) -> Iterator[tuple[Component, float]]:
    """Each component with its share of lines and branches, in percent."""
    for component in COMPONENTS:
        parts = [file.summary for path, file in report.files.items() if component_of(path) is component]
        done = sum(part.covered_lines + part.covered_branches for part in parts)
        there = sum(part.num_statements + part.num_branches for part in parts)
        yield component, 100 * done / there if there else 0.0


def main() -> None:
    """Read what ``coverage`` measured, print the table, and say what falls short."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage_by_component")
    parser.add_argument("--data", default="build/coverage", help="what coverage run wrote")
    options = parser.parse_args()
    target = Path(options.data).with_name("coverage_by_component.json")
    subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", f"--data-file={options.data}", "-o", str(target)], check=True
    )
    report = msgspec.convert(json.loads(target.read_bytes()), _Report)
    ours = [path for path in report.files if path.startswith(LAYER) and Path(path).name != "__init__.py"]
    short = [path for path in ours if component_of(path) is None]
    print("| component | lines and branches | at least |\n|---|---|---|")
    for component, share in measured(report):
        print(f"| {component.name} | {share:.1f} % | {component.least:g} % |")
        if share < component.least:
            short.append(component.name)
    if short:
        raise SystemExit(f"short of it, or in no component: {', '.join(short)}")


if __name__ == "__main__":
    main()

"""``python -m benchmarks``: measure, and print one line per figure.

Each module of this folder with a function ``figures`` is a benchmark. They run one after the other, in a fixed order;
``--only`` picks some by name.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Final

from benchmarks.figure import Figure

BENCHMARKS: Final = (
    "sim_http",
    "sim_ws",
    "day",
    "runs",
    "memory",
    "history",
    "startup",
    "oracles",
    "proxy",
    "gateway",
    "reports",
    "resilience",
)


def _chosen(names: Sequence[str]) -> list[str]:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise SystemExit(f"no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    return [name for name in BENCHMARKS if not names or name in names]


def _figures(names: Sequence[str]) -> Iterator[Figure]:
    for name in names:
        yield from import_module(f"benchmarks.{name}").figures()


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure faultline.")
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help=", ".join(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args()
    names = _chosen(options.only)
    logging.disable(logging.CRITICAL)
    where = {"python": platform.python_version(), "cores": os.cpu_count()}
    if options.json:
        figures = [asdict(figure) for figure in _figures(names)]
        json.dump({**where, "figures": figures}, sys.stdout, indent=2)
        print()
        return
    print(f"# Python {where['python']}, {where['cores']} cores", flush=True)
    for figure in _figures(names):
        print(figure, flush=True)


if __name__ == "__main__":
    main()

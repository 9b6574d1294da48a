"""How long a user waits before anything happens: importing faultline, and ``faultline --help``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.figure import REAL, Figure
from benchmarks.runs import ROOT

REPETITIONS: Final = 9
_HELP: Final = "import sys; from faultline.cli import main; sys.argv = ['faultline', '--help']; main()"

_IMPORT: Final = """
import time
before = time.perf_counter()
import faultline
print((time.perf_counter() - before) * 1e3)
"""
_UNUSED: Final = """
import time
from _pytest.config import get_config
config = get_config()
config.parse(["-p", "no:faultline", "--collect-only", "-q"])
config._do_configure()
vars(config.option).update({f"faultline_{name}": None for name in ("seed", "seeds", "world", "report")})
config.option.faultline_scenarios = []
before = time.perf_counter()
import faultline.pytest_plugin as plugin
config.pluginmanager.register(plugin, "faultline of this benchmark")
print((time.perf_counter() - before) * 1e3)
"""
"""What a host suite pays for the plugin: importing it, registering it, its options and its configuration."""


def _ms(code: str, environment: Mapping[str, str]) -> float:
    began_s = REAL.wall_s()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return (REAL.wall_s() - began_s) * 1e3


def _told_ms(code: str, environment: Mapping[str, str]) -> float:
    """What the process itself measured and printed: its own start is not in it."""
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout)


def figures() -> Iterator[Figure]:
    """Wall time, turn by turn, of whole processes and within them."""
    measures = {
        "startup.bare_python": ("pass", _ms, ""),
        "startup.import_faultline": (_IMPORT, _told_ms, "< 30"),
        "startup.pytest_plugin_unused": (_UNUSED, _told_ms, "< 20"),
        "startup.faultline_help": (_HELP, _ms, "< 150"),
    }
    spent: dict[str, list[float]] = {name: [] for name in measures}
    with TemporaryDirectory() as folder:
        # Compiled once, as it is where it is installed, whatever this process was told about that.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for repetition in range(REPETITIONS + 1):
            for name, (code, measure, _) in measures.items():
                took_ms = measure(code, environment)
                if repetition:
                    spent[name].append(took_ms)
    for name, (_, _, aim) in measures.items():
        yield Figure(name, median(spent[name]), "ms", aim)

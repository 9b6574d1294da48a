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


def _ms(code: str, environment: Mapping[str, str]) -> float:
    began_s = REAL.wall_s()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return (REAL.wall_s() - began_s) * 1e3


def figures() -> Iterator[Figure]:
    """Wall time of whole processes, turn by turn; the interpreter's own share is given for comparison."""
    codes = {"python": "pass", "import": "import faultline", "help": _HELP}
    spent: dict[str, list[float]] = {name: [] for name in codes}
    with TemporaryDirectory() as folder:
        # Compiled once, as it is where it is installed, whatever this process was told about that.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for repetition in range(REPETITIONS + 1):
            for name, code in codes.items():
                took_ms = _ms(code, environment)
                if repetition:
                    spent[name].append(took_ms)
    yield Figure("startup.bare_python", median(spent["python"]), "ms")
    yield Figure("startup.import_faultline", median(spent["import"]), "ms")
    yield Figure("startup.faultline_help", median(spent["help"]), "ms", "< 150")

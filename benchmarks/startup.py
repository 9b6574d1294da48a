"""How long a user waits before anything happens: importing faultline, and ``faultline --help``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from typing import Final

from benchmarks.figure import REAL, Figure
from benchmarks.runs import ROOT

REPETITIONS: Final = 9
_HELP: Final = "import sys; from faultline.cli import main; sys.argv = ['faultline', '--help']; main()"


def _ms(code: str) -> float:
    began_s = REAL.wall_s()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return (REAL.wall_s() - began_s) * 1e3


def figures() -> Iterator[Figure]:
    """Wall time of whole processes, turn by turn; the interpreter's own share is given for comparison."""
    codes = {"python": "pass", "import": "import faultline", "help": _HELP}
    spent: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(REPETITIONS):
        for name, code in codes.items():
            spent[name].append(_ms(code))
    yield Figure("startup.bare_python", median(spent["python"]), "ms")
    yield Figure("startup.import_faultline", median(spent["import"]), "ms")
    yield Figure("startup.faultline_help", median(spent["help"]), "ms", "< 150")

"""What results are printed on: stdout, with colours where they are wanted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def stdout(no_color: bool = False) -> Console:
    """Stdout. Without ``no_color`` its kind and the environment decide (``NO_COLOR``, ``FORCE_COLOR``)."""
    from rich.console import Console

    # Nothing that a client or a wire says is markup.
    return Console(file=sys.stdout, no_color=True if no_color else None, highlight=False, markup=False)

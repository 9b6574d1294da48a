"""Reading the call stack: is a module being imported, and which line of the code under test is running."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Final

_HERE: Final = str(Path(__file__).parent)
_STANDARD_LIBRARY: Final = str(Path(threading.__file__).parent)


def importing() -> bool:
    """Whether a module is being imported right now, somewhere up the stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def calling_line() -> str:
    """``file:line`` of the innermost frame outside this package and the standard library."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_machinery(frame.f_code.co_filename):
        frame = frame.f_back
    return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_machinery(filename: str) -> bool:
    if filename.startswith((_HERE, "<frozen")):
        return True
    return filename.startswith(_STANDARD_LIBRARY) and "site-packages" not in filename

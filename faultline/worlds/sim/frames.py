"""Reading the call stack: is a module being imported, and which line of the code under test is running."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Final

_HERE: Final = str(Path(__file__).parents[1])  # all of worlds/
_LIBRARIES: Final = "site-packages"
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
    """``file:line`` of the innermost frame that is nobody's library, else of the library that does it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    library = "an unknown place"
    # The loop's own frames end the search: what called the loop is not what called us.
    while frame is not None and not frame.f_code.co_filename.startswith(_HERE):
        filename = frame.f_code.co_filename
        if _LIBRARIES in filename:
            library = f"{filename}:{frame.f_lineno}" if library == "an unknown place" else library
        elif not filename.startswith((_STANDARD_LIBRARY, "<frozen")):
            return f"{filename}:{frame.f_lineno}"
        frame = frame.f_back
    return library

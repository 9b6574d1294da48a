"""Who a piece of code runs as: the client's incarnation.

It travels in a context variable, so that every task, timer and callback that the code starts carries it too.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

INCARNATION: Final[ContextVar[int | None]] = ContextVar("faultline_incarnation", default=None)
"""The client's process, counted up at each restart. None is the harness and the venue: they never crash."""

"""On which simulated machine a piece of code runs. Like the incarnation it travels in a context variable.

A crash fences an incarnation; the host decides from which address a connection is opened and where a listener binds.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

HOST: Final[ContextVar[str | None]] = ContextVar("faultline_host", default=None)
"""The address of the simulated host that this code runs on. None is the default client machine."""

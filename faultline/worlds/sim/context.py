"""Who a piece of code runs as: the client's incarnation and the simulated host.

Both travel in context variables, so that every task, timer and callback that the code starts carries them too. A
crash fences an incarnation; the host decides from which address a connection is opened and where a listener binds.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

INCARNATION: Final[ContextVar[int | None]] = ContextVar("faultline_incarnation", default=None)
"""The client's process, counted up at each restart. None is the harness and the venue: they never crash."""

HOST: Final[ContextVar[str | None]] = ContextVar("faultline_host", default=None)
"""The address of the simulated host that this code runs on. None is the default client machine."""

"""How many proxied connections there may be at a time.

Each costs two descriptors, and a process that has none left can neither accept nor answer its control API. So those
beyond the limit are reset as soon as they are accepted, and everything else goes on. All proxies of a server share one
limit. A connection that a fault has silenced ends for nobody; when one of its ends has closed all the same, both are
reset after :data:`SILENT_S`, so that nothing piles up.
"""

from __future__ import annotations

from typing import Final

CONNECTIONS_MAX: Final = 10_000
SILENT_S: Final = 120.0
_RESERVED: Final = 64
"""Descriptors for everything else: listeners, the control API, files."""


class ConnectionLimit:
    """``most`` connections at a time (default: what this process may open, and at most :data:`CONNECTIONS_MAX`).

    ``refused`` counts those that were turned away.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = _affordable() if most is None else most
        self.refused = 0
        self._open = 0

    def take(self) -> bool:
        """One more, if there may be."""
        if self._open >= self.most:
            self.refused += 1
            return False
        self._open += 1
        return True

    def give_back(self) -> None:
        """One is over."""
        self._open -= 1


def _affordable() -> int:
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # not on Windows
        return CONNECTIONS_MAX
    files = getrlimit(RLIMIT_NOFILE)[0]
    return CONNECTIONS_MAX if files == RLIM_INFINITY else max(1, min(CONNECTIONS_MAX, (files - _RESERVED) // 2))

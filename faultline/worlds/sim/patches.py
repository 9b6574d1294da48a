"""Replacing functions of modules, with all their aliases, for the time of a run and no longer.

Clients do ``from time import monotonic`` and keep the function, so replacing ``time.monotonic`` alone reaches only
half of them. The aliases in all loaded modules are found by identity; that takes some milliseconds once, and then only
modules loaded since have to be looked at. Between runs everything is as it was: tools that patch the same functions
(freezegun, time-machine) must find the real ones, and time-machine would crash the interpreter on any other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, Protocol

# Their waits are on locks that only another real thread can release, so they go by the real clock.
_LEFT_ALONE: Final = frozenset({"threading", "queue", "_pytest.timing", "faultline.worlds.sim.clock"})


class Replacement(Protocol):
    """Something that is not an attribute of a module."""

    def put_in_place(self) -> None:
        """Replace it."""

    def take_out(self) -> None:
        """Put the real thing back."""


class Patches:
    """A set of replacements, in place between :meth:`put_in_place` and :meth:`take_out`."""

    def __init__(self) -> None:
        self._by_real: dict[int, object] = {}
        self._real_of: dict[int, object] = {}
        self._aliases: list[tuple[dict[str, Any], str, object, object]] = []
        self._others: list[Replacement] = []
        self._scanned: set[str] = set()

    def add(self, module: ModuleType, name: str, replacement: Callable[..., Any]) -> None:
        """From the next :meth:`put_in_place` on, ``module.name`` and its aliases are ``replacement``."""
        real = getattr(module, name)
        replacement.__name__ = replacement.__qualname__ = name
        replacement.__doc__ = real.__doc__
        replacement.__wrapped__ = real  # type: ignore[attr-defined]
        self._by_real[id(real)] = replacement
        self._real_of[id(replacement)] = real

    def add_class(self, module: ModuleType, name: str, replacement: type) -> None:
        """Likewise for a class; subclasses made before keep their base."""
        real = getattr(module, name)
        self._by_real[id(real)] = replacement
        self._real_of[id(replacement)] = real

    def add_other(self, replacement: Replacement) -> None:
        """From the next :meth:`put_in_place` on, this is in place too."""
        self._others.append(replacement)

    def put_in_place(self) -> None:
        """Replace the functions and every alias of them."""
        for other in self._others:
            other.put_in_place()
        self._find_aliases()
        for namespace, key, real, replacement in self._aliases:
            if namespace.get(key) is real:
                namespace[key] = replacement

    def take_out(self) -> None:
        """Put the real functions back, in modules that were loaded in the meantime too."""
        for other in self._others:
            other.take_out()
        self._find_aliases()
        for namespace, key, real, replacement in self._aliases:
            if namespace.get(key) is replacement:
                namespace[key] = real

    def _find_aliases(self) -> None:
        for name in sys.modules.keys() - self._scanned:
            self._scanned.add(name)
            module = sys.modules.get(name)
            if isinstance(module, ModuleType) and name not in _LEFT_ALONE:
                self._find_in(vars(module))

    def _find_in(self, namespace: dict[str, Any]) -> None:
        for key, value in list(namespace.items()):
            replacement = self._by_real.get(id(value))
            if replacement is not None:
                self._aliases.append((namespace, key, value, replacement))
            elif id(value) in self._real_of:
                self._aliases.append((namespace, key, self._real_of[id(value)], value))

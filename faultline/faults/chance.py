"""Chance without a sequence.

Every draw is a keyed hash of what it decides about: (root seed, rule, point, ordinal of the draw there). A
sequential stream would shift every later decision when one is removed; this way the others stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeVar

T = TypeVar("T")
_SCALE: Final = 2.0**-64


class Chance:
    """Draws for one purpose, named by ``key``. Equal keys give equal draws in any process."""

    __slots__ = ("_base", "_drawn")

    def __init__(self, *key: object) -> None:
        self._base = blake2b(repr(key).encode(), digest_size=16)
        self._drawn = 0

    def child(self, *key: object) -> Chance:
        """Draws for one thing within this purpose, independent of every draw made here."""
        child = Chance.__new__(Chance)
        child._base = self._base.copy()
        child._base.update(repr(key).encode())
        child._drawn = 0
        return child

    def random(self) -> float:
        """The next draw in [0, 1)."""
        self._drawn += 1
        state = self._base.copy()
        state.update(self._drawn.to_bytes(4, "little"))
        return int.from_bytes(state.digest()[:8], "little") * _SCALE

    def uniform(self, low: float, high: float) -> float:
        """A draw in [low, high)."""
        return low + (high - low) * self.random()

    def chosen(self, options: Sequence[T]) -> T:
        """One of ``options``, each as likely as the others."""
        return options[int(self.random() * len(options))]

    def hits(self, probability: float) -> bool:
        """True with ``probability``; 1 and 0 take no draw."""
        return probability >= 1 or (probability > 0 and self.random() < probability)

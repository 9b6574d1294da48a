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

    __slots__ = ("_base", "_drawn", "_key", "_parent")

    def __init__(self, *key: object) -> None:
        self._parent: Chance | None = None
        self._key = key
        self._base: blake2b | None = None
        self._drawn = 0

    def child(self, *key: object) -> Chance:
        """Draws for one thing within this purpose, independent of every draw made here."""
        child = Chance(*key)
        child._parent = self
        return child

    def _hash(self) -> blake2b:
        # Made at the first draw: most decisions are certain, and hashing the key is what a chance costs.
        if self._base is None:
            self._base = blake2b(digest_size=16) if self._parent is None else self._parent._hash().copy()
            self._base.update(repr(self._key).encode())
        return self._base

    def random(self) -> float:
        """The next draw in [0, 1)."""
        self._drawn += 1
        state = self._hash().copy()
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

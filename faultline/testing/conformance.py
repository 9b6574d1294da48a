"""What a kit answers with: everything that is broken, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class NonConforming(AssertionError):
    """Something does not keep what everything of its sort has to keep. ``broken`` are the sentences that say what."""

    def __init__(self, subject: str, broken: list[str]) -> None:
        self.broken = tuple(broken)
        super().__init__("\n".join([f"{subject} does not conform:", *(f"  - {what}" for what in broken)]))


class Promises:
    """Collects what is broken. ``subject`` is what is being checked, as people call it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.broken: list[str] = []

    def that(self, holds: object, otherwise: str) -> bool:
        """``holds`` must be true; ``otherwise`` says what it is when it is not. Returns whether it is."""
        if not holds:
            self.broken.append(otherwise)
        return bool(holds)

    def works(self, call: Callable[[], Any], what: str) -> Any:
        """The result of ``call``; None, and a broken promise, when it raises."""
        try:
            return call()
        except Exception as error:
            said = str(error).partition("\n")[0]
            self.broken.append(f"{what}: {type(error).__name__}: {said}")
            return None

    def keep(self) -> None:
        """Raises NonConforming unless all were kept."""
        if self.broken:
            raise NonConforming(self.subject, self.broken)

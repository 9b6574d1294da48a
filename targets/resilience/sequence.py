"""Which messages of a numbered channel were taken in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sequence:
    """All numbers up to ``contiguous``, and those in ``ahead``.

    A restart resumes after ``contiguous``. The largest number would do as long as nothing is ever missing, and
    would skip every gap otherwise.
    """

    contiguous: int = 0
    ahead: frozenset[int] = frozenset()

    def __contains__(self, number: int) -> bool:
        return number <= self.contiguous or number in self.ahead

    @property
    def latest(self) -> int:
        """The largest number that was taken in."""
        return max(self.ahead, default=self.contiguous)

    def with_numbers(self, *numbers: int) -> Sequence:
        """The sequence after taking in ``numbers``."""
        contiguous, ahead = self.contiguous, {*self.ahead, *numbers}
        while contiguous + 1 in ahead:
            contiguous += 1
        return Sequence(contiguous, frozenset(number for number in ahead if number > contiguous))

    def up_to(self, number: int) -> Sequence:
        """The sequence when everything up to ``number`` is known by other means."""
        return Sequence(max(self.contiguous, number), self.ahead).with_numbers()

"""Every error faultline raises on purpose.

The class says whose fault it is, and with that the exit code: the usage errors (2) mean that nothing ran, the
others (3) that the harness or the target broke. Verdicts are not errors; they are values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FaultlineError(Exception):
    """Root of the errors raised on purpose. ``exit_code`` is what the command line returns for it."""

    exit_code = 3


class UsageError(FaultlineError):
    """The caller asked for something that does not exist or makes no sense. Nothing ran."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file: where (line and column count from 1) and what to do about it."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class ScenarioError(UsageError):
    """A scenario file is wrong. Carries every problem of the file, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnsupportedFault(UsageError):
    """A fault that this world, venue or target cannot carry. Raised while planning, never while running."""


class TargetError(FaultlineError):
    """The target could not be loaded, or broke in a way that is not an answer to the workload."""


class ProcessEnded(TargetError):
    """The process of a target that runs as a command ended by itself, or cannot be spoken to any more."""


class HarnessError(FaultlineError):
    """faultline itself, or the world it runs in, broke."""


class SimError(HarnessError):
    """The simulated world met something that it cannot simulate."""


class SimEscape(SimError):
    """Code in the simulation reached for the real world: a socket, a thread, a subprocess, a file descriptor."""


class SimDeadlock(SimError):
    """Nothing is ready and no timer is set: the waiting tasks would wait for ever."""


class SimLivelock(SimError):
    """The loop turns, but virtual time stands still: code that polls without ever waiting."""


class SimTimeLimit(SimError):
    """The run passed its limit of virtual time."""


class SimHang(BaseException):
    """One callback has kept the real processor for too long.

    Not a :class:`FaultlineError`, and not an ``Exception``: it must pass through the ``except Exception`` of
    the code that hangs.
    """

    exit_code = 3

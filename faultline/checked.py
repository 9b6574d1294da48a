"""What a check in a test says when it does not pass."""

from __future__ import annotations

from faultline.history import History
from faultline.oracles.base import Verdict
from faultline.reports.explained import explained


class CheckFailed(AssertionError):
    """An oracle did not pass. The message is the explanation: findings, the faults that struck, and intended, venue and
    client side by side.

    ``verdicts`` are those that did not pass, ``history`` what they were found in, ``seed`` what the faults were drawn
    from. ``again`` says what gives the same seed once more.
    """

    def __init__(
        self, verdicts: tuple[Verdict, ...], seed: int, again: str = "", history: History | None = None
    ) -> None:
        self.verdicts = verdicts
        self.seed = seed
        self.history = history
        self.again = again or f"pytest --faultline-seed={seed}, or Session(seed={seed})"
        super().__init__("\n".join([*explained(verdicts, history), f"seed {seed}: {self.again}"]))


def refused(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Those that a check does not accept: all that did not pass, but for what must hold only sometimes. That is for
    all runs together to say."""
    return tuple(
        verdict for verdict in verdicts if verdict.verdict != "pass" and not verdict.oracle.startswith("sometimes: ")
    )

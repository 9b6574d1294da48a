"""Exit codes, decided here and nowhere else.

When several hold, the first in this order: 130, 3, 1, 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faultline.campaign.exploration import Exploration
    from faultline.campaign.model import Campaign, RunRecord, Status
    from faultline.mutants.matrix import Matrix

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
BROKE: Final = 3
INCONCLUSIVE: Final = 4
LOCKED: Final = 75
INTERRUPTED: Final = 130

MEANING: Final[Mapping[int, str]] = {
    OK: "every verdict as expected",
    FAILED: "an oracle failed, or a stated failure did not happen",
    USAGE: "wrong usage or a wrong scenario; nothing ran",
    BROKE: "the harness or the target broke",
    INCONCLUSIVE: "inconclusive: a fault never fired, or an oracle judged nothing",
    LOCKED: "another run holds the lock",
    INTERRUPTED: "interrupted; the results are those until then",
}


def of_campaign(campaign: Campaign) -> int:
    """The exit code of a whole campaign."""
    return INTERRUPTED if campaign.interrupted else _worst([result.status for result in campaign.results])


def of_search(found: Sequence[Exploration], interrupted: bool) -> int:
    """The exit code of a search. One that was cut short by its own limits is none the worse: it says what it tried."""
    return INTERRUPTED if interrupted else _worst([each.status for each in found])


def _worst(statuses: Sequence[Status]) -> int:
    for status, code in (("broken", BROKE), ("fail", FAILED), ("inconclusive", INCONCLUSIVE)):
        if status in statuses:
            return code
    return OK


def of_replay(record: RunRecord, unexpected: bool) -> int:
    """The exit code of one replayed run."""
    if record.error is not None:
        return BROKE
    return FAILED if unexpected else OK


def of_matrix(matrix: Matrix) -> int:
    """The exit code of a kill matrix. A survivor that never was killed is no failure, it is a result."""
    if matrix.regressions:
        return FAILED
    return INCONCLUSIVE if matrix.undecided or not matrix.results else OK


def of_error(error: BaseException) -> int:
    """The exit code of an error that ended the command. The class of an error decides."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    code = getattr(error, "exit_code", BROKE)
    return code if code in MEANING else BROKE


def table() -> str:
    """All codes, for help texts."""
    return "\n".join(f"  {code:<4} {meaning}" for code, meaning in MEANING.items())

"""What an oracle is: one property, checked on a finished history in one pass.

A verdict is ``pass`` only when the oracle judged something and found nothing wrong. ``unknown`` says why it cannot
tell: an effect that nobody can be tied to, or nothing to judge. Unknown never counts as pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

import msgspec

from faultline.history import History

VerdictName = Literal["pass", "fail", "unknown"]

FINDINGS_MAX = 100
"""A verdict keeps the first findings; ``count`` says how many there were."""


class Finding(msgspec.Struct, frozen=True):
    """One violation. ``what`` is a whole sentence with the ids in it; ``intent`` is the intent concerned, if any;
    ``t`` is when it became true, in seconds of the run."""

    what: str
    t: float
    intent: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What one oracle says of one run. ``judged`` counts what it looked at; ``why`` explains an unknown and
    summarises the others in a few words."""

    oracle: str
    verdict: VerdictName
    judged: int
    why: str = ""
    findings: tuple[Finding, ...] = ()
    count: int = 0


class Oracle(Protocol):
    """Checks one property. ``name`` is what a scenario calls it; ``checks`` are the catalogue numbers it covers."""

    name: ClassVar[str]
    checks: ClassVar[tuple[str, ...]]

    def judge(self, history: History) -> Verdict:
        """The verdict on a sealed history. Never changes it."""
        ...


def verdict(
    name: str, judged: int, findings: Sequence[Finding], *, unknown: str = "", summary: str = "", nothing: str = ""
) -> Verdict:
    """The verdict that follows: a finding is a fail; else a reason for doubt or nothing judged is unknown.

    ``unknown`` is the reason for doubt, ``nothing`` what was missing when nothing was judged.
    """
    if findings:
        kept = tuple(findings[:FINDINGS_MAX])
        return Verdict(name, "fail", judged, findings[0].what, kept, len(findings))
    if unknown:
        return Verdict(name, "unknown", judged, unknown)
    if judged == 0:
        return Verdict(name, "unknown", 0, nothing or "there was nothing to judge")
    return Verdict(name, "pass", judged, summary)


def unattributed_doubt(history: History) -> str:
    """The reason for doubt while some effect cannot be tied to an intent, else the empty string."""
    loose = history.ledger.unattributed
    if not loose:
        return ""
    first = loose[0]
    return (
        f"{len(loose)} effect(s) cannot be tied to an intent (first: {first.what} of order {first.order} "
        f"at {first.t:.3f} s), so neither a duplicate nor an absence can be told"
    )

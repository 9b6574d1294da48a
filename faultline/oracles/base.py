"""What an oracle is: one property, checked on a finished history in one pass.

A verdict is ``pass`` only when the oracle judged something and found nothing wrong. ``unknown`` says why it cannot
tell: an effect that nobody can be tied to, or nothing to judge. Unknown never counts as pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import ClassVar, Literal, Protocol

import msgspec

from faultline.history import History, Ledger
from faultline.history.event import Belief, Boot, Struck

VerdictName = Literal["pass", "fail", "unknown"]

FINDINGS_MAX = 100
"""A verdict keeps the first findings; ``count`` says how many there were."""

EPSILON_S = 1e-9
"""Times that differ by less are equal: they are sums of floats."""

NEVER_T = float("inf")
"""The time of what does not happen."""


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


def unattributed_doubt(history: History, *kinds: str) -> str:
    """The reason for doubt while some effect cannot be tied to an intent, else the empty string.

    ``kinds`` are the effects that matter (``order``, ``fill``, ``reject``...); without them all do.
    """
    loose = history.ledger.unattributed
    if kinds:
        loose = [effect for effect in loose if effect.what in kinds]
    if not loose:
        return ""
    first = loose[0]
    effects = "effect" if len(loose) == 1 else "effects"
    return (
        f"{len(loose)} {effects} cannot be tied to an intent (first: {first.what} of order {first.order or '?'} "
        f"at {seconds(first.t)}), so neither a duplicate nor an absence can be told"
    )


def speaks(history: History) -> bool:
    """Whether this is a history of a client that tells what it believes, or should."""
    return bool(history.of(Belief) or history.of(Boot))


def ending_doubt(history: History) -> str:
    """The reason for doubt when the client's view at the end is not known, else the empty string."""
    if history.ledger.final is not None:
        return ""
    if not history.of(Belief):
        return "the client never told what it believes"
    return "the client's view at the end is missing: its last process gave no final belief"


def last_fault_t(history: History) -> float:
    """From when on the client could recover: the last fault was over and the last process that crashed was back."""
    over = history.phase_t("faults_over")
    if over is None:
        struck = history.of(Struck)
        over = struck[-1].t if struck else 0.0
    boots = history.of(Boot)
    return max(over, boots[-1].t) if len(boots) > 1 else over


def why_no_oracle(name: str, found: object) -> str:
    """Why ``found`` cannot be the oracle called ``name``, or the empty string."""
    if not (isinstance(found, type) and callable(getattr(found, "judge", None)) and is_dataclass(found)):
        return "is no dataclass with a method judge(history)"
    own = getattr(found, "name", None)
    if own != name:
        return f"calls itself {own!r} (name); both names must be the same"
    return "" if isinstance(getattr(found, "checks", None), tuple) else "has no tuple checks"


def seconds(t: float) -> str:
    """A time of the run as findings write it: ``3.120 s``."""
    return f"{t:.3f} s"


def described(ledger: Ledger, intent: str) -> str:
    """An intent as findings name it: ``intent I7 (buy 4 NQ at 100.25)``."""
    wanted = ledger.intents.get(intent)
    if wanted is None:
        return f"intent {intent}"
    price = f" at {wanted.price}" if wanted.price else ""
    if wanted.op in ("kill", "flatten"):
        return f"intent {intent} ({wanted.op})"
    if wanted.op == "cancel":
        return f"intent {intent} (cancel {wanted.of})"
    if wanted.op == "replace":
        return f"intent {intent} (change {wanted.of} to {wanted.quantity}{price})"
    return f"intent {intent} ({wanted.side} {wanted.quantity} {wanted.symbol}{price})"


def flattens(ledger: Ledger, intent: str) -> bool:
    """Whether that intent may close all positions, by whatever orders it takes: a flatten asks for it, and who is
    told to open nothing more may."""
    wanted = ledger.intents.get(intent)
    return wanted is not None and wanted.op in ("flatten", "kill")


def plural(count: int, noun: str, nouns: str = "") -> str:
    """``1 order``, ``2 orders``; ``nouns`` where an s does not do."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or noun + 's'}"

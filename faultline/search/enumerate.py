"""The fault space of a run, spelt out: its points times the kinds that fit them, and what to try two at a time.

A run without faults shows its points, the places where something could go wrong. At each of them every kind that acts
there strikes once, alone: *all single faults*, with nothing left to chance. A point that shows only in a run that was
struck belongs to recovery: a retry, a look whether an order exists, a catch-up. Nothing else gets there, so in pairs
these come first.

Two single faults that leave the same trace (:mod:`faultline.search.coverage`) and the same new points have the same
future as far as can be seen, so only the first of them is followed up by a second fault; one that leaves the trace of
the run without faults and nothing new is not, because the second alone has been tried already. What may be said after
all that is "all single faults, and all pairs up to equal traces", and nothing stronger: another seed, workload or venue
has points of its own.

Strikes on the stream plane are not spelt out, their points are bytes; nor are conditions, which hold over an interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from faultline.errors import UsageError
from faultline.faults import (
    FAULTS,
    Crash,
    DuplicateRequest,
    Fault,
    LateRequest,
    LateResponse,
    LostRequest,
    LostResponse,
    MalformedBody,
    Restart,
    StatusStorm,
)
from faultline.faults.actions import Action
from faultline.faults.actions import Crash as CrashNow
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane, Point
from faultline.faults.schedule import Schedule, ScheduledStrike
from faultline.scenario.document import did_you_mean

PLANES: Final = frozenset({Plane.MESSAGE, Plane.VENUE, Plane.TARGET})
"""The planes whose points are spelt out."""

VARIANTS: Final[Mapping[str, tuple[Fault, ...]]] = {
    "lost_request": (LostRequest(on="*", how="rst"), LostRequest(on="*", how="silence")),
    "lost_response": (LostResponse(on="*", how="rst"), LostResponse(on="*", how="silence")),
    "late_request": (LateRequest(on="*"),),
    "late_response": (LateResponse(on="*"),),
    "duplicate_request": (DuplicateRequest(on="*"),),
    "status_storm": (
        StatusStorm(status=503),
        StatusStorm(status=429, retry_after_s=1.0),
        StatusStorm(status=500, phase="after"),
        StatusStorm(status=503, phase="after"),
    ),
    "malformed_body": (MalformedBody(on="*", form="truncated"),),
    "crash": (Crash(on="*", phase="before"), Crash(on="*", phase="after")),
    "restart": (Restart(on="*", phase="before"), Restart(on="*", phase="after")),
}
"""What is tried of a kind that comes in several forms; of any other kind, the form without settings."""

KINDS: Final = (
    *VARIANTS,
    "token_expiry",
    "drop_message",
    "duplicate_message",
    "delay_message",
    "reorder_messages",
    "disconnect",
    "partial_fill",
    "stale_read",
    "store_error",
)
"""The kinds that are tried when none are named."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One fault that can be tried: what ``kind`` does at ``point``."""

    kind: str
    point: Point
    action: Action

    @property
    def where(self) -> str:
        """The endpoint and the fault, as failures are put together by: ``POST /orders lost_response``."""
        return f"{self.point.endpoint} {self.kind}"

    @property
    def crashes(self) -> bool:
        """Whether it kills the client."""
        return isinstance(self.action, CrashNow)

    def __str__(self) -> str:
        return f"{self.kind} at {self.point}"


Attempt = tuple[Candidate, ...]
"""The faults that strike in one run: none, one or two, in the order of their points."""


@dataclass(frozen=True, slots=True)
class Representative:
    """A run with one fault that stands for all with the same future. ``moments``: its points, in order."""

    fault: Candidate
    moments: tuple[Moment, ...]


def schedule_of(attempt: Attempt) -> Schedule:
    """The schedule in which exactly these faults strike."""
    return Schedule(tuple(ScheduledStrike(each.kind, each.point, each.action) for each in attempt))


def forms_of(kind: str) -> tuple[Fault, ...]:
    """What is tried of ``kind``. Raises UsageError for one that is unknown or cannot be spelt out point by point."""
    if kind not in FAULTS:
        raise UsageError(f"there is no fault {kind!r}{did_you_mean(kind, FAULTS)}")
    forms = VARIANTS.get(kind) or (FAULTS[kind](),)
    for form in forms:
        if form.shape == "condition":
            raise UsageError(f"{kind} holds over an interval; a search tries faults that strike at one point")
        if not form.point_planes <= PLANES:
            raise UsageError(f"{kind} strikes bytes, and no search can try each of them")
    return forms


def candidates(moments: Iterable[Moment], kinds: Iterable[str], seed: int) -> tuple[Candidate, ...]:
    """Every fault of ``kinds`` that fits one of ``moments``, in the order of the moments. None is there twice.

    ``seed`` decides what a form leaves open, such as which garbage a body becomes.
    """
    forms = [(kind, form) for kind in kinds for form in forms_of(kind)]
    found: dict[Candidate, None] = {}
    for moment in moments:
        point = moment.point
        for kind, form in forms:
            if form.about(point.plane, point.endpoint, point.phase) and form.matches(moment):
                chance = Chance(seed, "search", kind).child(point)
                found |= {Candidate(kind, point, action): None for action in form.actions(moment, chance)}
    return tuple(found)


def appeared(moments: Iterable[Moment], known: Collection[Point]) -> list[Point]:
    """The points that a run without faults does not have."""
    return [moment.point for moment in moments if moment.point not in known]


def pairs(
    representatives: Sequence[Representative], calm: Sequence[Point], kinds: Sequence[str], seed: int
) -> list[Attempt]:
    """What to try two at a time: each representative with every fault at each later point of its run.

    ``calm`` are the points of the run without faults. Points that are not among them come first, then what kills the
    client, then the rest. Within each part every second fault comes once before any comes again after another first.
    """
    known = frozenset(calm)
    found = [attempt for each in representatives for attempt in _followed(each, kinds, seed)]
    met: Counter[Candidate] = Counter()
    rounds: dict[Attempt, int] = {}
    for attempt in found:
        rounds[attempt] = met[attempt[-1]]
        met[attempt[-1]] += 1
    return sorted(found, key=lambda attempt: (_urgency(attempt, known), rounds[attempt]))


def _followed(first: Representative, kinds: Sequence[str], seed: int) -> Iterator[Attempt]:
    points = [moment.point for moment in first.moments]
    later = first.moments[points.index(first.fault.point) + 1 :] if first.fault.point in points else ()
    for second in candidates(later, kinds, seed):
        yield first.fault, second


def _urgency(attempt: Attempt, known: frozenset[Point]) -> int:
    second = attempt[-1]
    return 0 if second.point not in known else 1 if second.crashes else 2

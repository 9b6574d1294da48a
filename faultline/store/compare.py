"""What changed from one campaign to another: new, fixed, still failing, flaky, and slower beyond noise.

What is compared is each oracle of each case (scenario, target and world), and the failures that a scenario states are
none. Under the same seeds a simulated run repeats, so a difference there is a change and not chance; under other seeds
the p of Fisher's exact test says how easily chance alone explains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from faultline.store.results import Results, Wanted
from faultline.store.shifts import Shift, shifts
from faultline.store.statistics import fisher
from faultline.store.values import Entry, Sample, Seen, StoredCase, StoredFailure, Whole

WINDOW: Final = 20
"""How many campaigns, back from the later one, tell what is flaky and since when something fails."""
FLIPS_MIN: Final = 3
"""Fail, pass, fail and pass again: a bug that was made and mended once flips twice."""

Kind = Literal["new", "fixed", "still failing", "flaky"]


@dataclass(frozen=True, slots=True)
class Count:
    """In how many of a case's runs something failed. Both 0 when the case did not run."""

    failed: int
    runs: int


@dataclass(frozen=True, slots=True)
class Change:
    """One oracle of one case, in both campaigns. ``p`` is None where nothing was left to chance.

    ``since`` is the first campaign of those in a row that failed. ``why_flaky`` is empty unless it is.
    """

    kind: Kind
    case: StoredCase
    what: str
    before: Count
    after: Count
    p: float | None
    failure: StoredFailure
    since: Entry | None
    why_flaky: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is different in ``after``. ``shared`` cases are in both; ``gone`` and ``added`` in one of them only."""

    before: Entry
    after: Entry
    shared: int
    gone: tuple[StoredCase, ...]
    added: tuple[StoredCase, ...]
    changes: tuple[Change, ...]
    shifts: tuple[Shift, ...]

    def of(self, kind: Kind) -> tuple[Change, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.changes if change.kind == kind)

    @property
    def grown(self) -> tuple[Shift, ...]:
        """The figures that grew beyond noise."""
        return tuple(shift for shift in self.shifts if shift.kind == "grew")

    @property
    def comparable(self) -> bool:
        """Both ran at least one case."""
        return self.shared > 0

    @property
    def worse(self) -> bool:
        """Something fails that did not, or got slower. What is flaky is told, and is nobody's fault here."""
        return bool(self.of("new") or self.grown)


def compare(results: Results, before: Entry, after: Entry) -> Comparison:
    """Compare two campaigns of one store."""
    old, new = results.whole(before), results.whole(after)
    cases_old = {case.key: case for case in old.cases}
    cases_new = {case.key: case for case in new.cases}
    shared = [key for key in cases_new if key in cases_old]
    past = _past(results, after, _suspects(old, new))
    changes: list[Change] = []
    for key, case in cases_new.items():
        changes += _changes(old, cases_old.get(key), new, case, past.get(key, []))
    return Comparison(
        before,
        after,
        len(shared),
        tuple(case for key, case in cases_old.items() if key not in cases_new),
        tuple(case for key, case in cases_new.items() if key not in cases_old),
        tuple(sorted(changes, key=lambda change: (change.case.path, change.case.label, change.what))),
        tuple(shifts(_sampled(old, new, cases_old, cases_new, shared))),
    )


def _suspects(*wholes: Whole) -> set[str]:
    keys: set[str] = set()
    for whole in wholes:
        failing = {failure.number for failure in whole.failures if not failure.stated}
        keys.update(case.key for case in whole.cases if case.number in failing)
    return keys


def _past(results: Results, after: Entry, keys: set[str]) -> Mapping[str, list[Seen]]:
    if not keys:
        return {}
    return results.seen(keys, results.entries(Wanted(until=after.began_at, limit=WINDOW)))


def _changes(
    old: Whole, case_old: StoredCase | None, new: Whole, case: StoredCase, past: Sequence[Seen]
) -> list[Change]:
    was = {} if case_old is None else {each.what: each for each in old.failures_of(case_old) if not each.stated}
    all_now = {each.what: each for each in new.failures_of(case)}
    found = []
    for what in dict.fromkeys([*was, *all_now]):
        before, after = was.get(what), all_now.get(what)
        if before is None and (after is None or after.stated):
            continue
        if after is None and case.status == "unfinished":
            continue  # the run that would have failed may be one of those that never began
        kind: Kind = "fixed" if after is None else "new" if before is None else "still failing"
        flaky = _why_flaky(what, before, after, past)
        shown = after or before
        assert shown is not None
        found.append(
            Change(
                "flaky" if flaky else kind,
                case,
                what,
                _count(before, case_old),
                _count(after, case),
                _chance(old, case_old, before, new, case, after),
                shown,
                None if after is None else since(what, past),
                flaky,
            )
        )
    return found


def _count(failure: StoredFailure | None, case: StoredCase | None) -> Count:
    if case is None:
        return Count(0, 0)
    return Count(0 if failure is None else len(failure.seeds), case.runs)


def _chance(
    old: Whole,
    case_old: StoredCase | None,
    before: StoredFailure | None,
    new: Whole,
    case: StoredCase,
    after: StoredFailure | None,
) -> float | None:
    shown = after or before
    if case_old is None or shown is None or not shown.is_verdict:
        return None
    seeds = [{sample.seed for sample in whole.samples_of(of)} for whole, of in ((old, case_old), (new, case))]
    if case.world == "sim" and seeds[0] == seeds[1]:
        return None
    was, now = _count(before, case_old), _count(after, case)
    return fisher(was.failed, was.runs, now.failed, now.runs)


def _why_flaky(what: str, before: StoredFailure | None, after: StoredFailure | None, past: Sequence[Seen]) -> str:
    if (before is not None and before.differs) or (after is not None and after.differs):
        return "the same seed, run again, went another way"
    flips = flips_of(what, past)
    return f"changed {flips} times in the last {len(past)} runs of it" if flips >= FLIPS_MIN else ""


def flips_of(what: str, past: Sequence[Seen]) -> int:
    """How often an oracle went from failing to passing or back, in the campaigns that told."""
    told = [fails(what, seen) for seen in past if seen.case.status != "unfinished" or fails(what, seen)]
    return sum(one != other for one, other in pairwise(told))


def since(what: str, past: Sequence[Seen]) -> Entry | None:
    """The first of the latest campaigns in a row, of those in ``past``, in which it failed."""
    first = None
    for seen in past:
        if not fails(what, seen):
            break
        first = seen.entry
    return first


def fails(what: str, seen: Seen) -> bool:
    """Whether this was wrong with a case in one campaign."""
    return any(failure.what == what for failure in seen.failed)


def _sampled(
    old: Whole,
    new: Whole,
    cases_old: Mapping[str, StoredCase],
    cases_new: Mapping[str, StoredCase],
    keys: Sequence[str],
) -> list[tuple[StoredCase, list[Sample], list[Sample]]]:
    was, now = _by_number(old), _by_number(new)
    return [(cases_new[key], was[cases_old[key].number], now[cases_new[key].number]) for key in keys]


def _by_number(whole: Whole) -> Mapping[int, list[Sample]]:
    found: dict[int, list[Sample]] = {case.number: [] for case in whole.cases}
    for sample in whole.samples:
        found[sample.number].append(sample)
    return found

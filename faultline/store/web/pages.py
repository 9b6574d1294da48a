"""What the pages say, gathered from the store: values only; the templates give them their looks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from faultline.store import folder
from faultline.store.compare import FLIPS_MIN, Comparison, compare, flips_of, since
from faultline.store.results import Results, Wanted
from faultline.store.values import VERDICTS, Entry, Figures, Seen, StoredCase, StoredFailure, Whole
from faultline.store.web.pictures import Point, chart, spark, strip

CAMPAIGNS: Final = 30
"""How many campaigns the overview looks back."""
CASE_CAMPAIGNS: Final = 100
LIST_MAX: Final = 200
NIGHT_S: Final = 24 * 3600.0

SINCE: Final[Mapping[str, tuple[str, float]]] = {
    "": ("any time", 0.0),
    "1d": ("the last day", 86400.0),
    "7d": ("the last week", 7 * 86400.0),
    "30d": ("the last month", 30 * 86400.0),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """One thing that is wrong now. ``good`` is the last campaign in which it was not; None when there is none known.

    ``repeat`` is the shortest way to see it: that of its own failure, else of another of the same case.
    """

    case: StoredCase
    failure: StoredFailure
    since: Entry
    good: Entry | None
    fresh: bool
    flips: int
    repeat: str

    @property
    def flaky(self) -> bool:
        """It comes and goes."""
        return self.failure.differs or self.flips >= FLIPS_MIN


@dataclass(frozen=True, slots=True)
class Trend:
    """One case over time."""

    case: StoredCase
    last: Seen
    strip: Markup
    latency: Markup
    latency_ms: float | None
    recovery: Markup
    recovery_ms: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The first page. ``broken`` has the latest first; ``mended`` are cases that failed in the night and do not now."""

    latest: Entry | None
    broken: tuple[Broken, ...]
    mended: tuple[Seen, ...]
    trends: tuple[Trend, ...]
    recent: tuple[Entry, ...]
    nights: int
    runs: int

    @property
    def fresh(self) -> tuple[Broken, ...]:
        """What broke in the last 24 hours."""
        return tuple(each for each in self.broken if each.fresh)

    @property
    def older(self) -> tuple[Broken, ...]:
        """What was broken before that already."""
        return tuple(each for each in self.broken if not each.fresh)


def overview(results: Results, now: float | None = None) -> Overview:
    """What broke, since when, how to see it, and how each scenario has been doing."""
    night = (time.time() if now is None else now) - NIGHT_S
    entries = results.entries(Wanted(limit=CAMPAIGNS))
    seen = results.seen(None, entries)
    figures = results.figures(entries)
    broken = [each for past in seen.values() for each in _broken(past, night)]
    tonight = [entry for entry in entries if entry.began_at >= night]
    return Overview(
        entries[0] if entries else None,
        tuple(sorted(broken, key=lambda each: (-each.since.began_at, each.case.path, each.case.label))),
        tuple(past[0] for past in seen.values() if _mended(past, night)),
        tuple(sorted((_trend(past, figures) for past in seen.values()), key=_by_place)),
        tuple(entries[:8]),
        len(tonight),
        sum(entry.runs for entry in tonight),
    )


def _by_place(trend: Trend) -> tuple[bool, str, str]:
    return (not trend.last.failed, trend.case.path, trend.case.label)


def _broken(past: Sequence[Seen], night: float) -> list[Broken]:
    found = []
    last = past[0]
    repeat = next((failure.repeat for failure in last.failed if failure.repeat), "")
    for failure in last.failed:
        first = since(failure.what, past)
        assert first is not None
        earlier = [each.entry for each in past if each.entry.began_at < first.began_at]
        good = earlier[0] if earlier else None
        fresh = first.began_at >= night
        flips = flips_of(failure.what, past)
        found.append(Broken(last.case, failure, first, good, fresh, flips, failure.repeat or repeat))
    return found


def _mended(past: Sequence[Seen], night: float) -> bool:
    """It fails no more, and the campaign in which it stopped was in the last 24 hours."""
    if past[0].failed or past[0].case.status == "unfinished":
        return False
    for later, earlier in pairwise(past):
        if earlier.failed:
            return later.entry.began_at >= night
    return False


def _points(past: Sequence[Seen], values: Sequence[float | None]) -> list[Point]:
    """The oldest first."""
    points = [
        Point(
            value,
            f"{each.entry.began:%Y-%m-%d %H:%M} {each.case.status}"
            + (f": {', '.join(failure.what for failure in each.failed)}" if each.failed else ""),
            f"/run/{each.entry.id}",
            each.case.status,
        )
        for each, value in zip(past, values, strict=True)
    ]
    return points[::-1]


def _figures_of(past: Sequence[Seen], figures: Mapping[tuple[str, int], Figures]) -> list[Figures]:
    none = Figures(None, None, None)
    return [figures.get((each.entry.id, each.case.number), none) for each in past]


def _trend(past: Sequence[Seen], figures: Mapping[tuple[str, int], Figures]) -> Trend:
    mine = _figures_of(past, figures)
    latency, recovery = [each.operation_ms_p99 for each in mine], [each.recovery_ms for each in mine]
    return Trend(
        past[0].case,
        past[0],
        strip(_points(past, latency)),
        spark(_points(past, latency)),
        latency[0],
        spark(_points(past, recovery)),
        recovery[0],
    )


@dataclass(frozen=True, slots=True)
class Runs:
    """The list of campaigns, as it was asked for."""

    entries: tuple[Entry, ...]
    scenario: str
    verdict: str
    since: str
    verdicts: tuple[str, ...] = tuple(VERDICTS.values())
    spans: tuple[tuple[str, str], ...] = tuple((key, said) for key, (said, _) in SINCE.items())


def runs(results: Results, scenario: str, verdict: str, since: str, now: float | None = None) -> Runs:
    """Campaigns by scenario, verdict and time. What is not known as a filter filters nothing."""
    span_s = SINCE.get(since, SINCE[""])[1]
    begin = (time.time() if now is None else now) - span_s if span_s else 0.0
    codes = tuple(code for code, word in VERDICTS.items() if word == verdict)
    found = results.entries(Wanted(scenario=scenario, since=begin, codes=codes, limit=LIST_MAX))
    return Runs(tuple(found), scenario, verdict if codes else "", since if span_s else "")


@dataclass(frozen=True, slots=True)
class Run:
    """One campaign. ``comparison`` is with the one before it, None when there is none."""

    whole: Whole
    cases: tuple[tuple[StoredCase, tuple[StoredFailure, ...], Figures], ...]
    comparison: Comparison | None
    artifacts: tuple[tuple[str, int], ...]


def run(results: Results, id: str) -> Run:
    """One campaign in full. Raises UsageError when there is none with this id."""
    whole = results.whole(results.find(id))
    before = results.before(whole.entry)
    figures = results.figures([whole.entry])
    none = Figures(None, None, None)
    cases = [(case, whole.failures_of(case), figures.get((whole.entry.id, case.number), none)) for case in whole.cases]
    return Run(
        whole,
        tuple(sorted(cases, key=lambda each: (each[0].status == "pass", each[0].number))),
        None if before is None else compare(results, before, whole.entry),
        tuple((path.name, path.stat().st_size) for path in folder.artifacts(results.address.root, whole.entry.id)),
    )


@dataclass(frozen=True, slots=True)
class Case:
    """One case over time, the latest first; each with its means."""

    case: StoredCase
    past: tuple[tuple[Seen, Figures], ...]
    latency: Markup
    recovery: Markup
    broken: tuple[Broken, ...]


def case(results: Results, key: str, now: float | None = None) -> Case | None:
    """The history of one case, or None when no campaign ran it."""
    entries = results.entries(Wanted(limit=CASE_CAMPAIGNS))
    past = results.seen([key], entries).get(key)
    if not past:
        return None
    mine = _figures_of(past, results.figures([each.entry for each in past]))
    night = (time.time() if now is None else now) - NIGHT_S
    return Case(
        past[0].case,
        tuple(zip(past, mine, strict=True)),
        chart(_points(past, [each.operation_ms_p99 for each in mine]), "99 % latency over time"),
        chart(_points(past, [each.recovery_ms for each in mine]), "recovery over time"),
        tuple(_broken(past, night)),
    )

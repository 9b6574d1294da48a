"""The store in plain lines and in JSON, for ``faultline history`` and ``faultline compare``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from faultline.oracles.base import plural
from faultline.reports.text import columns, safe, shortened
from faultline.store.compare import Change, Comparison, Kind
from faultline.store.shifts import ALL_CASES, Shift
from faultline.store.statistics import ALPHA, median
from faultline.store.values import Entry, Sample, Seen, StoredCase, Whole

SEEDS_SHOWN: Final = 5
SUSPECTS_SHOWN: Final = 3
WIDTH: Final = 110


def entries(found: Sequence[Entry]) -> list[str]:
    """A line for each campaign."""
    return columns([tuple(map(safe, _entry(entry))) for entry in found])


def _entry(entry: Entry) -> tuple[str, ...]:
    return (
        entry.id,
        f"{entry.began:%Y-%m-%d %H:%M}",
        entry.verdict,
        f"{entry.expected} of {entry.cases} as expected",
        plural(entry.runs, "run"),
        f"{entry.wall_s:.1f} s",
        entry.source or "-",
        *([] if entry.label == "run" else [entry.label]),
    )


def of_scenario(seen: Iterable[Seen]) -> list[str]:
    """A line for each campaign and case, with what failed in it."""
    rows = []
    for each in seen:
        failed = ", ".join(f"{failure.what}{_under(failure.seeds)}" for failure in each.failed)
        began = f"{each.entry.began:%Y-%m-%d %H:%M}"
        rows.append((each.entry.id, began, each.case.status, shortened(safe(each.case.label), 60), safe(failed)))
    return columns(rows)


def whole(campaign: Whole, artifacts: Sequence[str]) -> list[str]:
    """One campaign in full."""
    entry = campaign.entry
    lines = [
        f"{entry.id}   {entry.began:%Y-%m-%d %H:%M:%S %Z}   {entry.verdict}",
        safe(f"  faultline {entry.label} {entry.faultline} on {entry.host}{_at(entry)}"),
        f"  {entry.expected} of {entry.cases} cases as expected"
        + (f", {entry.planned - entry.cases} not begun" if entry.planned > entry.cases else "")
        + f"; {plural(entry.runs, 'run')}, {plural(entry.receipts, 'receipt')}, {entry.wall_s:.1f} s",
        f"  exit {entry.exit_code}: {safe(entry.meaning)}",
        "",
    ]
    rows = [(*_case(case, campaign.samples_of(case)),) for case in campaign.cases]
    lines += [f"  {line}" for line in columns(rows)]
    for case in campaign.cases:
        for failure in campaign.failures_of(case):
            if not failure.stated:
                lines += ["", safe(f"{case.label} · {failure.what}{_under(failure.seeds)}")]
                lines += [safe(f"  {case.path}:{case.line}"), *([safe(f"  {failure.finding}")] * bool(failure.finding))]
                lines += _smallest(failure.faults_left, failure.faults_before, failure.minimal, failure.repeat)
    if artifacts:
        lines += ["", "artifacts", *(safe(f"  {path}") for path in artifacts)]
    return lines


def _case(case: StoredCase, samples: Sequence[Sample]) -> tuple[str, ...]:
    latency = [sample.operation_ms_p99 for sample in samples if sample.operation_ms_p99 is not None]
    recovery = [sample.recovery_ms for sample in samples if sample.recovery_ms is not None]
    return (
        case.status,
        shortened(safe(case.label), 70),
        plural(case.runs, "run"),
        f"99 % {median(latency):.0f} ms" if latency else "",
        f"recovery {median(recovery):.0f} ms" if recovery else "",
    )


def _at(entry: Entry) -> str:
    return f" at {entry.source}" if entry.source else ""


def _under(seeds: Sequence[str]) -> str:
    if not seeds:
        return ""
    more = f" and {len(seeds) - SEEDS_SHOWN} more" if len(seeds) > SEEDS_SHOWN else ""
    return f" under seed {', '.join(seeds[:SEEDS_SHOWN])}{more}"


def _smallest(left: int, before: int, minimal: bool, repeat: str) -> list[str]:
    lines = []
    if before:
        lines.append(f"  {left} of {plural(before, 'fault')} {'enough' if minimal else 'left'}")
    return [*lines, f"  repeat  {safe(repeat)}"] if repeat else lines


# Comparison

_ORDER: Final[tuple[Kind, ...]] = ("new", "flaky", "still failing", "fixed")


def comparison(found: Comparison) -> list[str]:
    """What changed, with the figures and tests that say so."""
    lines = [f"before  {_where(found.before)}", f"after   {_where(found.after)}", ""]
    if not found.comparable:
        return [*lines, "not comparable: no scenario ran against the same target in both"]
    for kind in _ORDER:
        changes = found.of(kind)
        lines += [f"{kind}: {len(changes)}", *(line for change in changes for line in _change(change))]
    lines += ["", *_shifts(found.shifts)]
    for word, cases in (("only before", found.gone), ("only after", found.added)):
        if cases:
            names = ", ".join(safe(case.label) for case in cases[:3])
            lines.append(f"{word}: {plural(len(cases), 'case')} ({names}{', ...' if len(cases) > 3 else ''})")
    worse = [f"{len(found.of('new'))} new"] * bool(found.of("new")) + [f"{len(found.grown)} slower"] * bool(found.grown)
    lines += ["", f"worse: {', '.join(worse)}" if worse else f"nothing worse in {plural(found.shared, 'shared case')}"]
    return lines


def _where(entry: Entry) -> str:
    return safe(f"{entry.id}   {entry.began:%Y-%m-%d %H:%M}   {entry.verdict}   {entry.source}").rstrip()


def _change(change: Change) -> list[str]:
    lines = [safe(f"  {change.case.label} · {change.what}"), f"    {_counts(change)}"]
    if change.why_flaky:
        lines.append(f"    {change.why_flaky}")
    if change.kind == "fixed":
        return lines
    if change.failure.stated:
        lines.append("    the scenario states it as a known failure now")
    if change.failure.finding:
        lines.append(f"    {shortened(safe(change.failure.finding), WIDTH)}")
    if change.since is not None and change.kind != "new":
        lines.append(f"    since {change.since.id} ({change.since.began:%Y-%m-%d %H:%M}){safe(_at(change.since))}")
    if change.failure.repeat:
        lines.append(f"    repeat  {safe(change.failure.repeat)}")
    return lines


def _counts(change: Change) -> str:
    was, now = change.before, change.after
    if not change.failure.is_verdict:
        return "did not run before" if not was.runs else "of the case as a whole"
    before = f"{was.failed} of {plural(was.runs, 'run')}" if was.runs else "did not run"
    said = f"failed: before {before}, after {now.failed} of {plural(now.runs, 'run')}"
    if change.p is not None and change.kind != "still failing":
        said += f" (Fisher: p {p_text(change.p)}{', may be chance' if change.p > ALPHA else ''})"
    elif change.p is None and was.runs:
        said += " (the same seeds)"
    return said


def _shifts(shifts: Sequence[Shift]) -> list[str]:
    lines = []
    for kind, word in (("grew", "slower beyond noise"), ("fell", "faster beyond noise")):
        mine = [shift for shift in shifts if shift.kind == kind]
        lines += [f"{word}: {len(mine)}", *(f"  {line}" for line in columns([_shift(shift) for shift in mine]))]
    noise = sum(shift.kind == "noise" for shift in shifts)
    few = sum(shift.kind == "too few" for shift in shifts)
    if noise:
        lines.append(f"within noise: {plural(noise, 'figure')} (p > {ALPHA} after Holm's correction, or too small)")
    if few:
        lines.append(f"too few runs to tell: {plural(few, 'figure')} that changed; run more seeds")
        suspects = sorted(
            (shift for shift in shifts if shift.suspect), key=lambda shift: shift.before_ms - shift.after_ms
        )
        lines += [f"  perhaps {line}" for line in columns([_shift(shift) for shift in suspects[:SUSPECTS_SHOWN]])]
    if not shifts:
        lines.append("latency and recovery: no figure changed")
    return lines


def _shift(shift: Shift) -> tuple[str, ...]:
    tested = shift.tested
    n = f"n = {tested.n_before}" if tested.method == "Wilcoxon" else f"n = {tested.n_before} and {tested.n_after}"
    unit = "%" if shift.label == ALL_CASES else "ms"
    change = f"{shift.before_ms:.1f} -> {shift.after_ms:.1f} {unit}"
    test = f"{tested.method}, {n}, p {p_text(shift.p)} (Holm), effect {tested.effect:+.2f}"
    return (shortened(safe(shift.label), 60), shift.figure, change, test)


def p_text(value: float) -> str:
    """A p as it is read: ``= 0.023`` or ``< 0.001``."""
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"


# JSON


def entries_json(found: Sequence[Entry]) -> str:
    """Campaigns as one JSON document."""
    return _json({"runs": [_entry_json(entry) for entry in found]})


def whole_json(campaign: Whole, artifacts: Sequence[str]) -> str:
    """One campaign as a JSON document."""
    cases = [
        {
            **msgspec.structs.asdict(case),
            "failures": [
                {**msgspec.structs.asdict(failure), "repeat": failure.repeat} for failure in campaign.failures_of(case)
            ],
            "samples": campaign.samples_of(case),
        }
        for case in campaign.cases
    ]
    return _json({**_entry_json(campaign.entry), "results": cases, "artifacts": artifacts})


def comparison_json(found: Comparison, exit_code: int) -> str:
    """A comparison as one JSON document."""
    changes = [
        {
            "kind": change.kind,
            "case": change.case,
            "what": change.what,
            "before": change.before,
            "after": change.after,
            "fisher_p": change.p,
            "why_flaky": change.why_flaky,
            "since": None if change.since is None else change.since.id,
            "finding": change.failure.finding,
            "repeat": change.failure.repeat,
        }
        for change in found.changes
    ]
    return _json(
        {
            "exit_code": exit_code,
            "before": _entry_json(found.before),
            "after": _entry_json(found.after),
            "comparable": found.comparable,
            "worse": found.worse,
            "shared": found.shared,
            "only_before": found.gone,
            "only_after": found.added,
            "changes": changes,
            "figures": found.shifts,
        }
    )


def _entry_json(entry: Entry) -> dict[str, object]:
    return {**msgspec.structs.asdict(entry), "verdict": entry.verdict}


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode()

"""Campaigns for the tests of the store, made as small as they may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from faultline.reports import document as doc
from faultline.store import folder
from faultline.store.results import Results

T0 = 1_800_000_000.0
DAY_S = 86_400.0


@dataclass
class One:
    """One case: the seeds under which ``no_duplicates`` fails, and how long things take."""

    scenario: str = "orders"
    fails: Iterable[int] = ()
    seeds: Iterable[int] = range(3)
    latency_ms: float | Mapping[int, float] = 100.0
    recovery_ms: float | None = None
    status: str = ""
    stated: Mapping[str, str] = field(default_factory=dict)
    world: str = "sim"
    finding: str = "intent I1 became 2 orders"
    differs: bool = False
    schedule: str = ""
    doubts: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    error: str = ""
    target: str = "careful"


def report(*cases: One, code: int | None = None) -> doc.Report:
    """The report of a campaign with these cases."""
    results = tuple(map(_result, cases))
    statuses = {result.status for result in results}
    worst = 3 if "broken" in statuses else 1 if "fail" in statuses else 4 if "inconclusive" in statuses else 0
    code = worst if code is None else code
    runs = tuple(run for one in cases for run in _runs(one))
    return doc.Report(1, "0.1.0", code, f"meaning {code}", code == 130, len(cases), 1.5, results, runs)


def _result(one: One) -> doc.Result:
    fails, seeds = tuple(one.fails), tuple(one.seeds)
    unexpected = ("no_duplicates",) if fails and "no_duplicates" not in one.stated else ()
    status = one.status or ("broken" if one.error else "fail" if unexpected or one.unmet else "pass")
    failures = ()
    if fails:
        difference = doc.Difference(3, "a", "b") if one.differs else None
        failures = (
            doc.Failure(
                "no_duplicates", fails[0], (one.finding,), 1, (), 13, 1, 5, True, (), (), one.schedule,
                one.schedule.replace(".json", ".history.jsonl"), "h", None, None, difference,
                f"faultline replay {one.schedule}",
            ),
        )  # fmt: skip
    return doc.Result(
        one.scenario, f"scenarios/{one.scenario}.yaml", 7, "bot.py:Bot", one.target, "generic", one.world, (), status,
        seeds, {"no_duplicates": fails} if fails else {}, unexpected, dict(one.stated), (), one.unmet, one.doubts, (),
        9, 0.5, failures,
    )  # fmt: skip


def _runs(one: One) -> Iterable[doc.Run]:
    fails = tuple(one.fails)
    for seed in one.seeds:
        verdict = doc.Verdict("fail" if seed in fails else "pass", 4, int(seed in fails), one.finding)
        ms = one.latency_ms if isinstance(one.latency_ms, float) else one.latency_ms[seed]
        yield doc.Run(
            one.scenario, f"scenarios/{one.scenario}.yaml", "bot.py:Bot", one.target, seed,
            {"no_duplicates": verdict}, (), f"hash{seed}", 20.0, 0.1,
            doc.Timing(4, ms / 2, ms, ms, recovery_ms=one.recovery_ms),
            doc.Error("KeyError", one.error) if one.error else None,
        )  # fmt: skip


def written(
    root: Path, *cases: One, day: float = 0.0, revision: str = "", branch: str = "", code: int | None = None
) -> str:
    """Write the folder of a campaign that began ``day`` days after the first. Returns its id."""
    whose = msgspec.structs.replace(folder.about(T0 + day * DAY_S, "run"), revision=revision, branch=branch)
    folder.write(root, whose, report(*cases, code=code))
    return whose.id


def recorded(results: Results, *cases: One, day: float = 0.0, revision: str = "", branch: str = "") -> str:
    """As :func:`written`, and taken in."""
    id = written(results.address.root, *cases, day=day, revision=revision, branch=branch)
    assert results.take_in() == []
    return id

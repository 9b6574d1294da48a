"""What a search found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from faultline import __version__
from faultline.campaign.exploration import Cluster, Exploration, Level
from faultline.campaign.model import Status, target_label
from faultline.oracles.base import plural
from faultline.reports import document as doc
from faultline.reports.console import LINE_WIDTH, MARKS, ConsoleReport
from faultline.reports.json import failure_json
from faultline.reports.text import columns, safe, shortened, wrapped

VERSION = 1
"""Version of the JSON document."""

CLUSTERS_SHOWN = 30


class LevelDocument(msgspec.Struct, frozen=True):
    """Runs with so many faults at once."""

    planned: int
    tried: int
    missed: int
    broken: int


class ClusterDocument(msgspec.Struct, frozen=True):
    """Failing runs that are told as one."""

    oracle: str
    where: tuple[str, ...]
    count: int
    first: tuple[str, ...]
    stated: str | None
    failure: doc.Failure | None


class CaseDocument(msgspec.Struct, frozen=True):
    """The search of one scenario against one target."""

    scenario: str
    path: str
    target: str
    seed: int
    status: Status
    claim: str
    kinds: tuple[str, ...]
    points: int
    singles: LevelDocument
    pairs: LevelDocument | None
    new_points: int
    new_points_tried: int
    followed: int
    pruned: int
    judging: tuple[str, ...]
    idle: tuple[str, ...]
    doubts: tuple[str, ...]
    stopped: str
    clusters: tuple[ClusterDocument, ...]


class SearchDocument(msgspec.Struct, frozen=True):
    """The whole document. Nothing in it depends on how long anything took."""

    faultline_search: int
    faultline: str
    exit_code: int
    meaning: str
    results: tuple[CaseDocument, ...]


def text(found: Sequence[Exploration], code: int, meaning: str) -> str:
    """The JSON document as text."""
    document = SearchDocument(VERSION, __version__, code, meaning, tuple(map(_case, found)))
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()


def _case(found: Exploration) -> CaseDocument:
    case = found.case
    return CaseDocument(
        scenario=case.scenario.name,
        path=case.scenario.path,
        target=case.target.spec,
        seed=case.seeds[0],
        status=found.status,
        claim=found.claim,
        kinds=found.kinds,
        points=found.points,
        singles=_level(found.singles),
        pairs=None if found.pairs is None else _level(found.pairs),
        new_points=found.new_points,
        new_points_tried=found.new_points_tried,
        followed=found.followed,
        pruned=found.pruned,
        judging=found.judging,
        idle=found.idle,
        doubts=found.doubts,
        stopped=found.stopped,
        clusters=tuple(map(_cluster, found.clusters)),
    )


def _level(level: Level) -> LevelDocument:
    return LevelDocument(level.planned, level.tried, level.missed, level.broken)


def _cluster(cluster: Cluster) -> ClusterDocument:
    failure = None if cluster.failure is None else failure_json(cluster.failure)
    first = tuple(str(each) for each in cluster.first)
    return ClusterDocument(cluster.oracle, cluster.where, cluster.count, first, cluster.stated, failure)


# For people


class SearchReport:
    """Writes to ``console``. ``verbose`` explains the first failure of every line instead of every oracle."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose

    def _line(self, *parts: str | tuple[str, str]) -> None:
        self._console.print(Text.assemble(*parts), soft_wrap=True)

    def case(self, found: Exploration) -> None:
        """One case: what was tried, what failed, and what may be claimed."""
        case = found.case
        mark, style = MARKS[found.status]
        self._line(
            (mark, style),
            " ",
            (safe(case.scenario.name), "bold"),
            f" · {target_label(case.target)} · seed {case.seeds[0]}",
        )
        for line in columns(list(_facts(found))):
            self._line("  ", (line, "dim"))
        if found.clusters:
            self._failing(found)
        self._line("")
        for line in wrapped(safe(found.claim), LINE_WIDTH, "  "):
            self._line((line, style))
        report = ConsoleReport(self._console, [case], verbose=self._verbose)
        told: set[str] = set()
        for cluster in found.clusters:
            if cluster.failure is not None and (self._verbose or cluster.oracle not in told):
                told.add(cluster.oracle)
                report.failure(case, cluster.failure)
        self._line("")

    def _failing(self, found: Exploration) -> None:
        self._line("")
        rows = [("runs", "oracle", "faults", "first at")]
        rows += [
            (
                str(cluster.count),
                (cluster.oracle or "broke") + (" (stated)" if cluster.stated else ""),
                " + ".join(each.kind for each in cluster.first),
                safe(", ".join(str(each.point) for each in cluster.first)),
            )
            for cluster in found.clusters[:CLUSTERS_SHOWN]
        ]
        head, *lines = columns(rows)
        self._line(("  " + head, "dim"))
        for line in lines:
            self._line("  ", line)
        more = len(found.clusters) - CLUSTERS_SHOWN
        if more > 0:
            self._line((f"  and {more} more; --json has all of them", "dim"))

    def end(self, code: int, meaning: str) -> None:
        """What the exit code means."""
        self._line((f"exit {code}: {meaning}", "bold red" if code else "dim"))


def _facts(found: Exploration) -> Iterator[tuple[str, str]]:
    if found.refusal:
        return
    yield "without faults", f"{plural(found.points, 'point')}; it repeats, and no oracle fails"
    yield "single faults", _done(found.singles) + f", of {plural(len(found.kinds), 'kind')}"
    if found.new_points:
        tried = f"{found.new_points_tried} of them struck in pairs" if found.pairs else "--pairs strikes them too"
        yield "recovery", f"{plural(found.new_points, 'point')} appeared only after a fault; {tried}"
    if found.pairs is not None:
        yield "pairs", _done(found.pairs)
        yield "", f"{found.followed} single faults followed up; {found.pruned} left a trace that was there already"
    if found.idle:
        yield "idle", f"{', '.join(found.idle)}: nothing to judge, so nothing is claimed"
    for doubt in found.doubts:
        yield "doubt", shortened(safe(doubt), LINE_WIDTH)
    for error in found.lost:
        yield "lost", safe(error)
    if found.stopped:
        yield "stopped by", found.stopped


def _done(level: Level) -> str:
    done = f"{level.tried} of {level.planned} tried" if level.tried < level.planned else f"{level.tried} tried"
    missed = f", {level.missed} of them never struck" if level.missed else ""
    return done + missed + (f", {level.broken} broke" if level.broken else "")

"""The report document: every value that the JSON report has, typed, in one place.

:func:`schema` makes the JSON Schema of it (``docs/report.schema.json``). The document grows by keys; a key that is
there keeps its name, its type and its meaning, or :data:`VERSION` is raised. HTML and the summary for agents are other
views of this document, so that no two reports can say different things.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from faultline.campaign.model import Status
from faultline.oracles.base import VerdictName

VERSION: Final = 1
"""Version of the document."""

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(description="seconds")]


class Verdict(msgspec.Struct, frozen=True):
    """What one oracle says of one run: how much it judged, how many violations it found, and the first in words."""

    verdict: VerdictName
    judged: Count
    findings: Count
    why: str


class Receipt(msgspec.Struct, frozen=True):
    """A fault that fired: when, where, what it did, and whether the operation that it struck took effect."""

    t: Seconds
    fault: str
    point: str
    action: str
    effect: str


class Error(msgspec.Struct, frozen=True):
    """Why a run came to no verdict."""

    kind: str
    message: str


class Timing(msgspec.Struct, frozen=True):
    """How long things took, in milliseconds of the world's clock; null where there was nothing to measure.

    An operation lasts from the intent to the client's first answer. A request lasts from the client's send to the
    moment its response left the venue, a message from the effect that it tells of to the moment it was sent; of both
    only those count that no fault touched. Recovery is
    how long after the last strike the last operation that was open at that moment was answered.
    """

    operations: Count = 0
    operation_ms_p50: float | None = None
    operation_ms_p99: float | None = None
    operation_ms_max: float | None = None
    requests: Count = 0
    request_ms_p99: float | None = None
    request_ms_max: float | None = None
    messages: Count = 0
    message_ms_max: float | None = None
    recovery_ms: float | None = None


class Row(msgspec.Struct, frozen=True):
    """One intent (or one position): as it was wanted, as the venue has it and as the client believes it."""

    subject: str
    wanted: str
    venue: str
    client: str


class Difference(msgspec.Struct, frozen=True):
    """Where two runs under one seed went different ways: the first event that differs, in both versions."""

    event: int | None
    first: str
    second: str


class Failure(msgspec.Struct, frozen=True):
    """One failing run, explained by the smallest set of faults that was found.

    ``stated`` is the reason that the scenario gives for it, null for a failure that should not be. ``minimal``: none
    of the faults that are left can be left out. ``repeat`` is the command that runs it again.
    """

    oracle: str
    seed: int
    findings: tuple[str, ...]
    finding_count: Count
    also: tuple[str, ...]
    faults_before: Count
    faults_left: Count
    replays: Count
    minimal: bool
    receipts: tuple[Receipt, ...]
    side_by_side: tuple[Row, ...]
    schedule: str
    history: str
    history_hash: str
    stated: str | None
    error: Error | None
    difference: Difference | None
    repeat: str


class Result(msgspec.Struct, frozen=True):
    """One scenario against one target, over its seeds.

    ``failed`` maps every oracle that failed to the seeds under which it did; ``unexpected`` names those that should
    have passed. ``stated`` maps the failures that the scenario states to their reasons, ``unmet`` names those of them
    that did not happen. ``doubts`` say why the runs prove nothing, ``lost`` what ended workers.
    """

    scenario: str
    path: str
    line: Count
    target: str
    target_name: str
    venue: str
    world: str
    tags: tuple[str, ...]
    status: Status
    seeds: tuple[int, ...]
    failed: dict[str, tuple[int, ...]]
    unexpected: tuple[str, ...]
    stated: dict[str, str]
    may_fail: tuple[str, ...]
    unmet: tuple[str, ...]
    doubts: tuple[str, ...]
    lost: tuple[str, ...]
    receipt_count: Count
    wall_s: Seconds
    failures: tuple[Failure, ...]


class Run(msgspec.Struct, frozen=True):
    """One run: a scenario, a target and a seed. ``wall_s`` is real time, ``virtual_s`` time of the run's world."""

    scenario: str
    path: str
    target: str
    target_name: str
    seed: int
    verdicts: dict[str, Verdict]
    receipts: tuple[Receipt, ...]
    history_hash: str
    virtual_s: Seconds
    wall_s: Seconds
    timing: Timing
    error: Error | None


class Report(msgspec.Struct, frozen=True):
    """What came of a campaign: a result for each case that was begun, of ``planned``, and every run.

    ``exit_code`` and ``meaning`` are those of the command; 0 is the only code of a campaign that proved what it should.
    """

    faultline_report: Literal[1]
    faultline: str
    exit_code: int
    meaning: str
    interrupted: bool
    planned: Count
    wall_s: Seconds
    results: tuple[Result, ...]
    runs: tuple[Run, ...]


class Replayed(msgspec.Struct, frozen=True):
    """What came of one replay. ``repeats``: the history is the one that was saved; null when none was."""

    faultline_replay: Literal[1]
    faultline: str
    exit_code: int
    meaning: str
    run: Run
    failure: Failure | None
    repeats: bool | None


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the documents of ``run``, ``report`` and ``replay`` with ``--json``."""
    both, components = msgspec.json.schema_components((Report, Replayed), ref_template="#/$defs/{name}")
    for component in components.values():
        component["description"] = " ".join(component["description"].replace("``", "`").split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "faultline report",
        "description": "What faultline run --json, faultline report --json and faultline replay --json print. "
        "Readers must accept keys that they do not know.",
        "anyOf": list(both),
        "$defs": components,
    }


def schema_text() -> str:
    """The schema as it stands in ``docs/report.schema.json``."""
    return json.dumps(schema(), indent=2) + "\n"


def text(document: Report | Replayed) -> str:
    """A document as text, one value a line."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()

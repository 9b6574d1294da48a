"""A run as a Chrome trace: open the file in https://ui.perfetto.dev or chrome://tracing.

Tracks: operations of the caller, processes of the client, requests, the venue's effects, stream messages, faults.
Times are microseconds of the run. What overlaps is written as asynchronous pairs, which both viewers lay out
themselves; what happens at a moment is an instant. An interval that never ended lasts to the end of the run and says
so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from faultline.history import History
from faultline.history.event import Boot, Contracted, Crashed, Delivered, Effect, Phase, Struck
from faultline.history.operations import operations, requests
from faultline.oracles.base import Verdict
from faultline.reports.text import action_text, safe
from faultline.search.witness import Receipt, receipts

TRACKS: Final = ("operations", "client processes", "requests", "venue", "stream messages", "faults", "verdicts")
EMPTY: Final = '{"displayTimeUnit":"ms","otherData":{"about":"no run has a history to show"},"traceEvents":[]}\n'
"""The trace of a campaign of which no history was kept."""

Item = dict[str, Any]


def text(history: History, verdicts: tuple[Verdict, ...] = ()) -> str:
    """The whole file."""
    first = next(iter(history.of(Contracted)), None)
    about = {} if first is None else {"scenario": first.scenario, "target": first.target, "seed": str(first.seed)}
    items = [*_names(), *_operations(history), *_processes(history), *_requests(history)]
    items += [*_moments(history), *_faults(history), *_verdicts(verdicts)]
    shown = {
        "displayTimeUnit": "ms",
        "otherData": {key: safe(value) for key, value in about.items()},
        "traceEvents": items,
    }
    return msgspec.json.encode(shown).decode() + "\n"


def _names() -> Iterator[Item]:
    for number, name in enumerate(TRACKS, 1):
        yield {"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": number, "tid": 0, "args": {"sort_index": number}}


def _us(t: float) -> float:
    return round(t * 1e6, 3)


def _pair(track: str, number: int, name: str, begin_t: float, end_t: float, args: Item) -> Iterator[Item]:
    shared: Item = {"cat": track, "id": number, "pid": TRACKS.index(track) + 1, "tid": 0, "name": safe(name)}
    yield {**shared, "ph": "b", "ts": _us(begin_t), "args": _safe(args)}
    yield {**shared, "ph": "e", "ts": _us(max(begin_t, end_t))}


def _instant(track: str, name: str, t: float, args: Item) -> Item:
    shared: Item = {"cat": track, "pid": TRACKS.index(track) + 1, "tid": 0, "name": safe(name)}
    return {**shared, "ph": "i", "s": "p", "ts": _us(t), "args": _safe(args)}


def _safe(args: Item) -> Item:
    return {key: safe(value) if isinstance(value, str) else value for key, value in args.items()}


def _operations(history: History) -> Iterator[Item]:
    end_t = history.end_t
    for number, each in enumerate(operations(history), 1):
        args = {"outcome": each.outcome or "never answered"}
        yield from _pair("operations", number, f"{each.op} {each.intent}", each.t, _or(each.end_t, end_t), args)


def _processes(history: History) -> Iterator[Item]:
    ends = {event.incarnation: event for event in history.of(Crashed)}
    for boot in history.of(Boot):
        end = ends.get(boot.incarnation)
        end_t, how = (history.end_t, "to the end") if end is None else (end.t, end.how)
        yield from _pair(
            "client processes", boot.incarnation, f"process {boot.incarnation}", boot.t, end_t, {"ended": how}
        )


def _requests(history: History) -> Iterator[Item]:
    for each in requests(history):
        args: Item = {"entity": each.entity, "status": each.status, "response": each.fate, "struck": each.struck}
        end_t = _or(each.end_t, history.end_t)
        yield from _pair("requests", each.request, f"{each.endpoint} [{each.entity}]", each.t, end_t, args)


def _moments(history: History) -> Iterator[Item]:
    for effect in history.of(Effect):
        args: Item = {"intent": effect.intent or "", "state": effect.after, "filled": effect.filled, "key": effect.key}
        yield _instant("venue", f"{effect.what} {effect.order}", effect.t, args)
    for message in history.of(Delivered):
        args = {"topic": message.topic, "sequence": message.sequence, "fate": message.fate}
        yield _instant("stream messages", f"{message.topic} {message.subject}", message.t, args)
    for phase in history.of(Phase):
        yield _instant("venue", f"phase: {phase.name}", phase.t, {})


def _faults(history: History) -> Iterator[Item]:
    resolved: tuple[Receipt, ...] = receipts(history)
    for struck, receipt in zip(history.of(Struck), resolved, strict=True):
        args = {"where": receipt.point, "did": action_text(struck.action), "operation": receipt.effect}
        yield _instant("faults", struck.fault, struck.t, args)


def _verdicts(verdicts: tuple[Verdict, ...]) -> Iterator[Item]:
    for verdict in verdicts:
        for finding in verdict.findings:
            yield _instant("verdicts", f"{verdict.oracle} fails", finding.t, {"what": finding.what})


def _or(end_t: float | None, otherwise_t: float) -> float:
    return otherwise_t if end_t is None else end_t

"""What the page draws over time: faults over operations, latency, and the events as a table.

A page is one file of bounded size, whatever the run was. So figures are computed from everything, and single bars and
rows are a sample: what led to the verdict first, then what was not done or struck, then the slowest, then evenly. How
many there were and how many are shown goes along, and the page says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any, Final

import msgspec

from faultline.history import History
from faultline.history.event import Boot, Contracted, Crashed, Event, Intent, Struck, Stuck, Trouble
from faultline.history.operations import operations, rank, requests
from faultline.reports.cone import Cone
from faultline.reports.text import safe, shortened

BARS_MAX: Final = 2500
EVENTS_MAX: Final = 1000
EVENTS_BYTES_MAX: Final = 100_000
CELL_MAX: Final = 160
ID_MAX: Final = 24
ROWS_MAX: Final = 18
FAULT_LANES_MAX: Final = 8
STRIKES_MAX: Final = 300
BUCKETS: Final = 120
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """One operation, or one request where there were no operations. ``outcome`` is ``ok``, ``fail``, ``info`` or
    ``none`` (never answered); ``what`` is shown when one points at it."""

    name: str
    t: float
    end_t: float | None
    outcome: str
    what: str

    @property
    def took_ms(self) -> float | None:
        """How long it took; None without an end."""
        return None if self.end_t is None else (self.end_t - self.t) * 1000


@dataclass(frozen=True, slots=True)
class Slice:
    """Latency over one part of the run, in milliseconds."""

    from_s: float
    to_s: float
    count: int
    p50: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Bin:
    """How many took from ``low_ms`` up to ``high_ms``."""

    low_ms: float
    high_ms: float
    count: int


def bars(history: History) -> tuple[str, list[Bar]]:
    """What is drawn as bars, with its name: the caller's operations, or requests where nobody told of intents."""
    if history.of(Intent):
        return "operation", [
            Bar(each.intent, each.t, each.end_t, each.outcome or "none", each.op) for each in operations(history)
        ]
    shown: list[Bar] = []
    for each in requests(history):
        outcome = "none" if each.end_t is None else "ok" if 0 < each.status < 400 else "fail"
        name = f"{each.entity if each.entity != '-' else 'request'} #{each.request}"
        shown.append(Bar(name, each.t, each.end_t, outcome, each.endpoint))
    return "request", shown


def slices(of: Sequence[Bar], end_t: float) -> list[Slice]:
    """Latency over time, of everything that has an end; empty parts are left out."""
    width = max(end_t, 1e-6) / BUCKETS
    parts: dict[int, list[float]] = {}
    for bar in of:
        if bar.took_ms is not None:
            parts.setdefault(min(BUCKETS - 1, int(bar.t / width)), []).append(bar.took_ms)
    found: list[Slice] = []
    for number, took in sorted(parts.items()):
        took.sort()
        p50, p99 = rank(took, 0.5) or 0.0, rank(took, 0.99) or 0.0
        found.append(Slice(number * width, (number + 1) * width, len(took), p50, p99, took[-1]))
    return found


def bins(of: Sequence[Bar]) -> list[Bin]:
    """The distribution of latency, in steps of 1, 2, 5, 10 and so on; inner steps that are empty are there too."""
    counts: dict[int, int] = {}
    for bar in of:
        if bar.took_ms is not None:
            place = _step_of(max(bar.took_ms, 1e-3))
            counts[place] = counts.get(place, 0) + 1
    if not counts:
        return []
    places = range(min(counts), max(counts) + 1)
    return [Bin(_edge(place), _edge(place + 1), counts.get(place, 0)) for place in places]


_STEPS: Final = (1.0, 2.0, 5.0)


def _edge(place: int) -> float:
    decade, step = divmod(place, 3)
    return float(f"{_STEPS[step] * 10.0**decade:.6g}")


def _step_of(value: float) -> int:
    place = floor(log10(value)) * 3
    while _edge(place + 1) <= value * (1 + 1e-9):
        place += 1
    while _edge(place) > value * (1 + 1e-9):
        place -= 1
    return place


def data(history: History, cone: Cone) -> Json:
    """All that the page's script draws."""
    unit, found = bars(history)
    shown = _sampled(found, cone)
    end_t = max([history.end_t, 1e-3, *(bar.end_t for bar in found if bar.end_t is not None)])
    events = list(history)
    lead = [] if cone.at_t is None or not cone.places else [events[cone.places[0]].t, cone.at_t]
    return {
        "end": round(end_t, 6),
        "unit": unit,
        "total": len(found),
        "bars": {
            "id": [shortened(safe(bar.name), ID_MAX) for bar in shown],
            "t": [round(bar.t * 1000, 2) for bar in shown],
            "d": [-1 if bar.took_ms is None else float(f"{bar.took_ms:.4g}") for bar in shown],
            "o": [_OUTCOMES.index(bar.outcome) for bar in shown],
            "r": _rows(shown, end_t),
            "c": [place for place, bar in enumerate(shown) if lead and bar.name in cone.intents],
        },
        "faults": _fault_lanes(history),
        "marks": _marks(history, cone),
        "lead": [round(t, 6) for t in lead],
        "busy": round(_busy_until(history, found, lead, end_t), 6),
        "slices": [
            [round(each.from_s, 6), round(each.to_s, 6), *(float(f"{ms:.4g}") for ms in (each.p50, each.p99))]
            for each in slices(found, end_t)
        ],
        "bins": [[each.low_ms, each.high_ms, each.count] for each in bins(found)],
        "events": _events(events, cone),
        "event_total": len(events),
    }


_OUTCOMES: Final = ("ok", "fail", "info", "none")


def _sampled(found: Sequence[Bar], cone: Cone) -> list[Bar]:
    """At most so many, in order of time."""
    if len(found) <= BARS_MAX:
        return list(found)
    odd = [n for n, bar in enumerate(found) if bar.name in cone.intents or bar.outcome in ("info", "none")]
    slow = sorted(range(len(found)), key=lambda n: -(found[n].took_ms or 0.0))[: BARS_MAX // 5]
    return [found[n] for n in _evenly(len(found), [*odd[: BARS_MAX // 2], *slow], BARS_MAX)]


def _evenly(count: int, first: Iterable[int], most: int) -> list[int]:
    """``first``, and evenly from the rest, ``most`` together, ascending."""
    chosen = set(list(first)[:most])
    rest = [n for n in range(count) if n not in chosen]
    room = most - len(chosen)
    if room >= len(rest):
        return list(range(count))
    chosen.update(rest[int(n * len(rest) / room)] for n in range(room))
    return sorted(chosen)


def _busy_until(history: History, found: Sequence[Bar], lead: Sequence[float], end_t: float) -> float:
    """Until when there is something to see: a run often ends with a long time in which nothing may happen."""
    struck = history.of(Struck)
    times = [bar.t if bar.end_t is None else bar.end_t for bar in found] + [event.t for event in struck[-1:]] + [*lead]
    return min(end_t, 1.06 * max(times, default=end_t))


def _rows(shown: Sequence[Bar], end_t: float) -> list[int]:
    """The row of each bar: the first that is free; the last one takes what finds none."""
    free_t: list[float] = []
    gap_t = end_t / 400
    rows: list[int] = []
    for bar in shown:
        until_t = max(end_t if bar.end_t is None else bar.end_t, bar.t + gap_t)
        row = next((n for n, t in enumerate(free_t) if t <= bar.t), len(free_t))
        row = min(row, ROWS_MAX - 1)
        if row == len(free_t):
            free_t.append(until_t)
        else:
            free_t[row] = max(free_t[row], until_t)
        rows.append(row)
    return rows


def _fault_lanes(history: History) -> list[Json]:
    times: dict[str, list[float]] = {}
    for struck in history.of(Struck):
        times.setdefault(struck.fault, []).append(struck.t)
    names = list(times)
    if len(names) > FAULT_LANES_MAX:
        others = names[FAULT_LANES_MAX - 1 :]
        times["others"] = sorted(t for name in others for t in times.pop(name))
    return [
        {
            "name": shortened(safe(name), ID_MAX),
            "total": len(found),
            "t": [round(found[n], 5) for n in _evenly(len(found), (), STRIKES_MAX)],
        }
        for name, found in times.items()
    ]


def _marks(history: History, cone: Cone) -> list[Json]:
    marks = [(event.t, "killed", "bad") for event in history.of(Crashed) if event.how in ("fin", "silence")]
    marks += [(event.t, "restarted", "") for event in history.of(Boot) if event.incarnation > 1]
    marks = marks[:40]
    over_t = history.phase_t("faults_over")
    if over_t is not None:
        marks.append((over_t, "faults over", ""))
    if cone.at_t is not None:
        marks.append((cone.at_t, "fails", "bad"))
    return [{"t": round(t, 6), "text": text, "kind": kind} for t, text, kind in sorted(marks)]


_LOUD: Final = frozenset({Struck, Crashed, Boot, Stuck, Trouble})


def _events(events: Sequence[Event], cone: Cone) -> list[list[object]]:
    """Rows of the table: time, kind, about what, the rest, and whether it led to the verdict."""
    led = set(cone.places)
    loud = [n for n, event in enumerate(events) if n in led or type(event) in _LOUD]
    rows: list[list[object]] = []
    room = EVENTS_BYTES_MAX
    for place in _evenly(len(events), loud, EVENTS_MAX):
        row = [*_row(events[place]), int(place in led)]
        room -= len(msgspec.json.encode(row)) + 5 * sum(str(row[3]).count(mark) for mark in "<>&")
        if room < 0:
            break
        rows.append(row)
    return rows


_ABOUT: Final = ("entity", "intent", "id", "order", "token", "name", "incarnation", "task", "stream")


def _row(event: Event) -> list[object]:
    kind = str(type(event).__struct_config__.tag)
    if isinstance(event, Contracted):
        rules = f"venue={event.contract.venue} idempotency={event.contract.idempotency} seed={event.seed}"
        return [0.0, kind, "", shortened(safe(rules), CELL_MAX)]
    about = ""
    words: list[str] = []
    for field in type(event).__struct_fields__:
        value = getattr(event, field)
        if field == "t" or value in (None, "", 0, "0", False, ()) or value is msgspec.UNSET:
            continue
        if not about and field in _ABOUT:
            about = str(value)
            continue
        words.append(f"{field}={_shown(value)}")
    return [round(event.t, 6), kind, shortened(safe(about), 40), shortened(safe(" ".join(words)), CELL_MAX)]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if isinstance(value, str | int) else msgspec.json.encode(value).decode()

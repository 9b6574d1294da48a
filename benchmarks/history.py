"""What writing a history costs: a large one to disk, and one event against what else it could have been."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from benchmarks.figure import REAL, Figure
from benchmarks.oracles import events_of_order, history_of
from faultline.history import Aliases
from faultline.history.event import Received
from faultline.history.log import read_history

EVENTS: Final = 100_000
REPETITIONS: Final = 3
TIMES: Final = 20_000


@dataclass(frozen=True)
class _Received:
    """As :class:`Received`, but a dataclass."""

    t: float
    request: int
    connection: int
    endpoint: str
    entity: str
    nth: int
    sent_t: float | None = None
    token: str = ""
    key: str = ""
    injected: bool = False
    retry_of: int = 0


_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


def _struct() -> bytes:
    return _encode(Received(1.25, 7, 1, "POST /orders", "I7", 1, 1.2495, "<token#1>", "key-7"))


def _dataclass() -> bytes:
    event = _Received(1.25, 7, 1, "POST /orders", "I7", 1, 1.2495, "<token#1>", "key-7")
    # asdict() would copy deeply; this is the least that json needs.
    return json.dumps({name: getattr(event, name) for name in _NAMES}).encode()


def _asdict() -> bytes:
    return json.dumps(asdict(_Received(1.25, 7, 1, "POST /orders", "I7", 1, 1.2495, "<token#1>", "key-7"))).encode()


_NAMES: Final = tuple(field.name for field in fields(_Received))


def _us(make: Callable[[], bytes]) -> float:
    began_s = REAL.cpu_s()
    for _ in range(TIMES):
        make()
    return (REAL.cpu_s() - began_s) / TIMES * 1e6


def figures() -> Iterator[Figure]:
    """To disk and back, and per event."""
    assert {field.name for field in fields(_Received)} == set(Received.__struct_fields__)
    orders = EVENTS // len(list(events_of_order(0, Aliases())))
    written: list[float] = []
    read: list[float] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        for _ in range(REPETITIONS):
            began_s = REAL.wall_s()
            history = history_of(orders, path=path)
            written.append(REAL.wall_s() - began_s)
            began_s = REAL.wall_s()
            assert len(read_history(path)) == len(history)
            read.append(REAL.wall_s() - began_s)
    yield Figure("history.write_100k_events", min(written), "s", "< 2")
    yield Figure("history.read_100k_events", min(read), "s")
    costs = [(_us(_struct), _us(_dataclass), _us(_asdict)) for _ in range(5)]
    struct, plain, deep = (median(each) for each in zip(*costs, strict=True))
    yield Figure("history.event_as_msgspec_struct", struct, "us")
    yield Figure("history.event_as_dataclass", plain, "us")
    yield Figure("history.event_as_dataclass_asdict", deep, "us")

"""Schedules on disk: JSON that can be read, compared and edited by hand, one entry a line.

Strikes are written as point and action, conditions as the fault itself, found again through the table. Every value
that belongs to a kind is written down, also where it is the default: a default may change, a saved schedule may not.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from faultline.errors import UsageError
from faultline.faults import FAULTS
from faultline.faults.actions import Action
from faultline.faults.base import Fault
from faultline.faults.points import Plane, Point
from faultline.faults.schedule import Entry, Schedule, ScheduledCondition, ScheduledStrike

VERSION: Final = 1

_SHARED: Final = {field.name: field.default for field in fields(Fault)}
_BYTES: Final = ("payload", "body")


class Saved(NamedTuple):
    """What a file holds: the schedule, and what its writer said of it (scenario, target, seed)."""

    schedule: Schedule
    meta: Mapping[str, str]


class _Strike(msgspec.Struct, tag_field="entry", tag="strike", forbid_unknown_fields=True, omit_defaults=True):
    fault: str
    plane: Plane
    endpoint: str
    entity: str
    nth: int
    phase: str
    action: dict[str, object]
    at_s: float | None = None
    rank: int = 0


class _Condition(msgspec.Struct, tag_field="entry", tag="condition", forbid_unknown_fields=True, omit_defaults=True):
    fault: str
    kind: str
    spec: dict[str, object]
    rank: int = 0


class _File(msgspec.Struct, forbid_unknown_fields=True):
    faultline_schedule: int
    entries: list[msgspec.Raw]
    meta: dict[str, str] = {}


class _Head(msgspec.Struct):
    faultline_schedule: int


def dump(schedule: Schedule, path: Path, meta: Mapping[str, str] | None = None) -> None:
    """Write ``schedule`` to ``path`` with ``meta``; by way of a temporary file: it is there whole or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(dumps(schedule, meta), encoding="utf-8")
    os.replace(partial, path)


def load(path: Path) -> Saved:
    """Read what :func:`dump` wrote. Raises UsageError that names the file, and the entry that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a saved schedule: {error}") from error
    return loads(text, str(path))


def dumps(schedule: Schedule, meta: Mapping[str, str] | None = None) -> str:
    """The text of a saved schedule."""
    entries = ",\n".join(f"    {msgspec.json.encode(_entry(entry)).decode()}" for entry in schedule.entries)
    listed = f"[\n{entries}\n  ]" if entries else "[]"
    about = json.dumps(dict(meta or {}), indent=2, ensure_ascii=False).replace("\n", "\n  ")
    return f'{{\n  "faultline_schedule": {VERSION},\n  "meta": {about},\n  "entries": {listed}\n}}\n'


def loads(text: str, name: str = "schedule") -> Saved:
    """Read the text of a saved schedule. Raises UsageError that begins with ``name``."""
    try:
        version = msgspec.json.decode(text, type=_Head).faultline_schedule
        if version != VERSION:
            raise UsageError(f"{name}: written in format {version}; this version of faultline reads {VERSION}")
        file = msgspec.json.decode(text, type=_File)
    except msgspec.DecodeError as error:
        raise UsageError(f"{name}: not a saved schedule: {error}") from error
    entries = []
    for number, raw in enumerate(file.entries, 1):
        try:
            entries.append(_restored(msgspec.json.decode(raw, type=_Strike | _Condition)))
        except (msgspec.DecodeError, ValueError) as error:
            raise UsageError(f"{name}: entry {number}: {error}") from error
    return Saved(Schedule(tuple(entries)), file.meta)


def _entry(entry: Entry) -> _Strike | _Condition:
    if isinstance(entry, ScheduledCondition):
        return _Condition(entry.fault, entry.kind, _spec(entry.spec), entry.rank)
    point = entry.point
    return _Strike(
        fault=entry.fault,
        plane=point.plane,
        endpoint=point.endpoint,
        entity=point.entity,
        nth=point.nth,
        phase=point.phase,
        action=_action(entry.action),
        at_s=entry.at_s,
        rank=entry.rank,
    )


def _restored(entry: _Strike | _Condition) -> Entry:
    if isinstance(entry, _Condition):
        return ScheduledCondition(entry.fault, entry.kind, _fault(entry.kind, entry.spec), entry.rank)
    point = Point(entry.plane, entry.endpoint, entry.entity, entry.nth, entry.phase)
    action: Action = msgspec.convert(_with_bytes(entry.action), Action)
    return ScheduledStrike(entry.fault, point, action, entry.at_s, entry.rank)


def _action(action: Action) -> dict[str, object]:
    written: dict[str, object] = msgspec.to_builtins(action, builtin_types=(bytes,))
    for key in _BYTES:
        value = written.get(key)
        if isinstance(value, bytes):
            # Bodies are text nearly always, and then they are to be read and edited as such.
            try:
                written[key] = value.decode()
            except UnicodeDecodeError:
                written[key] = {"base64": base64.b64encode(value).decode()}
    return written


def _with_bytes(written: Mapping[str, object]) -> dict[str, object]:
    restored = dict(written)
    for key in _BYTES:
        match restored.get(key):
            case str() as text:
                restored[key] = text.encode()
            case {"base64": str() as text}:
                try:
                    restored[key] = base64.b64decode(text, validate=True)
                except binascii.Error as error:
                    raise ValueError(f"the base64 of {key!r} is damaged: {error}") from error
    return restored


def _spec(fault: Fault) -> dict[str, object]:
    written: dict[str, object] = msgspec.to_builtins(fault)
    for field in fields(fault):
        # Where and when, left as every fault has them, say nothing.
        shared = field.name in _SHARED and field.default == _SHARED[field.name]
        if shared and field.name != "on" and getattr(fault, field.name) == field.default:
            del written[field.name]
    return written


def _fault(kind: str, spec: Mapping[str, object]) -> Fault:
    if kind not in FAULTS:
        raise ValueError(f"unknown fault {kind!r}{_hint(kind, list(FAULTS))}")
    known = [field.name for field in fields(FAULTS[kind])]
    for name in spec:
        if name not in known:
            raise ValueError(f"{kind} has no {name!r}{_hint(name, known)}")
    return msgspec.convert(spec, FAULTS[kind])


def _hint(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""

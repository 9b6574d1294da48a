"""The append-only log: in memory, hashed as it grows, streamed to disk when asked.

The first line of a file is the header with the format's version; then each line is one event. A run that was sealed
with the digest of its wire has that digest in a last line of its own, so that a history read back has the hash of
the one that was written. Every line is handed to the operating system before the next event is appended: a run that
is killed leaves a readable file. The hash covers every event in order, byte for byte as the file has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from faultline.errors import HarnessError, UsageError
from faultline.history.contract import Contract
from faultline.history.event import VERSION, AnyEvent, Contracted, Event, Phase, PhaseName
from faultline.history.ledger import Ledger

E = TypeVar("E", bound=Event)


class _Header(msgspec.Struct, frozen=True):
    faultline_history: int


class _Trailer(msgspec.Struct, frozen=True):
    faultline_wire: str


_TRAILER_START = b'{"faultline_wire":'

_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(AnyEvent).decode


class History:
    """All that happened in one run, in order.

    Use :meth:`append` while it runs and :meth:`seal` at the end; after that it only reads. ``path`` streams it to a
    JSON Lines file as it grows.
    """

    def __init__(self, events: Iterable[Event] = (), *, path: Path | None = None) -> None:
        self._events: list[Event] = []
        self._index: dict[type[Event], list[Event]] = {}
        self._hash = blake2b(digest_size=16)
        self._sealed = False
        self._ledger: Ledger | None = None
        self._folded = 0
        self._wire_digest = ""
        self._file = None if path is None else path.open("wb")
        self._stream(_Header(VERSION))
        for event in events:
            self.append(event)

    @staticmethod
    def load(path: str | Path) -> History:
        """The history in the file ``path``, as :func:`read_history` reads it."""
        return read_history(Path(path))

    def append(self, event: Event) -> None:
        """Add an event. Once sealed, late events of a run being torn down are ignored: they are not evidence."""
        if self._sealed:
            return
        line = _encode(event)
        self._hash.update(line)
        self._events.append(event)
        self._index.setdefault(type(event), []).append(event)
        if self._file is not None:
            self._file.write(line + b"\n")
            self._file.flush()

    def pass_on(self, event: Event) -> None:
        """Hash and stream an event without keeping it, for a history that may not grow any longer."""
        if self._sealed:
            return
        line = _encode(event)
        self._hash.update(line)
        if self._file is not None:
            self._file.write(line + b"\n")
            self._file.flush()

    def _stream(self, line: _Header | _Trailer) -> None:
        if self._file is not None:
            self._file.write(_encode(line) + b"\n")
            self._file.flush()

    def seal(self, trace_digest: str = "") -> None:
        """End the history. ``trace_digest`` (of the wire) joins the hash, so that equal hashes mean equal wires."""
        if self._sealed:
            return
        self._hash.update(trace_digest.encode())
        self._wire_digest = trace_digest
        self._sealed = True
        if trace_digest:
            self._stream(_Trailer(trace_digest))
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def digest(self) -> str:
        """Hash of everything appended so far, in hex."""
        return self._hash.hexdigest()

    def of(self, kind: type[E]) -> list[E]:
        """Every event of exactly this kind, in order. Do not change the list."""
        return cast("list[E]", self._index.get(kind, []))

    @property
    def contract(self) -> Contract:
        """The rules of the run. Raises HarnessError when the history does not begin with them."""
        if not self._events or not isinstance(self._events[0], Contracted):
            raise HarnessError("this history does not begin with its contract")
        return self._events[0].contract

    def phase_t(self, name: PhaseName) -> float | None:
        """When the run entered ``name``, or None when it never did."""
        return next((event.t for event in self.of(Phase) if event.name == name), None)

    @property
    def end_t(self) -> float:
        """When the last event happened; 0 for an empty history."""
        return self._events[-1].t if self._events else 0.0

    @property
    def ledger(self) -> Ledger:
        """The venue's ledger and the client's view, folded from the events so far; kept until there are more."""
        if self._ledger is None or self._folded != len(self._events):
            self._ledger, self._folded = Ledger(self), len(self._events)
        return self._ledger

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def write(self, path: Path) -> None:
        """Write the whole history as JSON Lines, by way of a temporary file: it is there whole or not at all."""
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            file.write(_encode(_Header(VERSION)) + b"\n")
            file.writelines(_encode(event) + b"\n" for event in self._events)
            if self._wire_digest:
                file.write(_encode(_Trailer(self._wire_digest)) + b"\n")
        os.replace(partial, path)


def read_history(path: Path) -> History:
    """Read a history back, sealed. A torn last line (the writer was killed) is left out; others are errors.

    Raises UsageError for a file that cannot be read, is not a history, is of a later version, or is damaged in the
    middle.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        version = msgspec.json.decode(lines[0], type=_Header).faultline_history
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: not a faultline history (its first line is not the header)") from error
    if version > VERSION:
        raise UsageError(f"{path}: history version {version}; this faultline reads up to {VERSION}: upgrade it")
    history = History()
    wire_digest = ""
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        try:
            if line.startswith(_TRAILER_START):
                wire_digest = msgspec.json.decode(line, type=_Trailer).faultline_wire
            else:
                history.append(_decode(line))
        except msgspec.DecodeError as error:
            if number == len(lines):
                break
            raise UsageError(f"{path}:{number}: damaged event: {error}") from error
    history.seal(wire_digest)
    return history

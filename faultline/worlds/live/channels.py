"""The ways in which lines travel between a run and a client that is a process: ``docs/any-language.md``.

A channel is made before the process, hands it descriptors and variables, and is opened when the process has them.
Lines to the client are *questions*, lines from it are what it *says*.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from faultline.worlds.command import PREFIX, Channel
from faultline.worlds.live.pipes import LINE_MAX_BYTES, Lines, Reader, Writer
from faultline.worlds.store import memory_folder


class Ears(Protocol):
    """Who listens."""

    def line(self, line: bytes) -> str:
        """A line came. Returns what is wrong with it, or the empty string."""
        ...

    def wrong(self, why: str) -> None:
        """What came is no line."""
        ...

    def lost(self, why: str) -> None:
        """The client cannot be heard or asked any more."""
        ...


class Wire(ABC):
    """One process's channel. ``env`` tells the client where it is; ``stdin`` and ``stdout`` are descriptors for it, or
    None; ``handed`` are further ones."""

    def __init__(self) -> None:
        self.env: dict[str, str] = {}
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.handed: tuple[int, ...] = ()

    async def prepare(self) -> None:
        """What has to be there before the process starts."""
        return

    @abstractmethod
    def open(self, ears: Ears) -> None:
        """The process has its ends now: close them here, and begin to listen."""

    @abstractmethod
    def ask(self, line: bytes) -> None:
        """Send a question, a line without its end."""

    @abstractmethod
    def end(self) -> None:
        """No question comes any more."""

    def drain(self) -> None:
        """Hear what a process that has ended had said before."""
        return

    @abstractmethod
    def close(self) -> None:
        """Release everything, at once."""

    async def closed(self) -> None:
        """Until what takes its time to close is closed."""
        return


class PipeWire(Wire):
    """Two descriptors: questions go out on one, lines come in on the other. ``named`` calls them in messages."""

    def __init__(self, named: tuple[str, str]) -> None:
        super().__init__()
        self._named = named
        self._reader: Reader | None = None
        self._writer: Writer | None = None
        self._unopened = [-1, -1]

    def _ends(self, ours: tuple[int, int], theirs: tuple[int, ...]) -> None:
        """Our reading and writing end, and what is the client's alone."""
        self._unopened = list(ours)
        self._theirs = theirs

    def open(self, ears: Ears) -> None:
        """Read and write from now on."""
        into, out = self._named
        lines = Lines(ears.line, lambda: ears.wrong(f"a line on {out} is longer than {LINE_MAX_BYTES} bytes"))
        for number in self._theirs:
            os.close(number)
        self._theirs = ()
        reading, writing = self._unopened
        self._unopened = []
        self._reader = Reader(reading, lines.feed, lambda: ears.lost(f"it closed {out}, so it cannot be heard"))
        self._writer = Writer(writing, lambda: ears.lost(f"it does not read {into} any more"))

    def ask(self, line: bytes) -> None:
        """Write it."""
        if self._writer is not None:
            self._writer.write(line + b"\n")

    def end(self) -> None:
        """Close the writing end when all is written."""
        if self._writer is not None:
            self._writer.end()

    def drain(self) -> None:
        """Read what is there."""
        if self._reader is not None:
            self._reader.drain()

    def close(self) -> None:
        """Close both ends, and the client's if it never got them."""
        for part in (self._reader, self._writer):
            if part is not None:
                part.close()
        for number in (*self._unopened, *self._theirs):
            if number >= 0:
                os.close(number)
        self._unopened, self._theirs = [], ()


class Stdio(PipeWire):
    """Questions on standard input, lines on standard output."""

    def __init__(self) -> None:
        super().__init__(("its standard input", "its standard output"))
        self.stdin, writing = os.pipe()
        reading, self.stdout = os.pipe()
        self._ends((reading, writing), (self.stdin, self.stdout))


class Descriptors(PipeWire):
    """Two further descriptors, whose numbers are in the environment."""

    def __init__(self) -> None:
        names = (f"{PREFIX}IN_FD", f"{PREFIX}OUT_FD")
        super().__init__(names)
        theirs_in, writing = os.pipe()
        reading, theirs_out = os.pipe()
        self.handed = (theirs_in, theirs_out)
        self.env = {names[0]: str(theirs_in), names[1]: str(theirs_out)}
        self._ends((reading, writing), self.handed)


class Files(PipeWire):
    """Two named pipes. Both are open at both ends here, so the client may open and close them as often as it likes."""

    def __init__(self) -> None:
        names = (f"{PREFIX}IN_FILE", f"{PREFIX}OUT_FILE")
        super().__init__(names)
        self._folder: Path | None = memory_folder()
        paths = [self._folder / "in", self._folder / "out"]
        for path in paths:
            os.mkfifo(path, 0o600)
        self.env = dict(zip(names, map(str, paths), strict=True))
        writing, reading = (os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in paths)
        self._ends((reading, writing), ())

    def close(self) -> None:
        """Close and remove both."""
        super().close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def wire(channel: Channel) -> Wire:
    """A new channel of that kind."""
    if channel == "http":
        from faultline.worlds.live.http_wire import HttpWire

        return HttpWire()
    return _PIPES[channel]()


_PIPES: Final[dict[str, Callable[[], Wire]]] = {"stdio": Stdio, "fd": Descriptors, "files": Files}

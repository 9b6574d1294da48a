"""What the state reconciler is told and what it needs: channels, their news, their store and their venue.

A channel is one kind of thing that the venue tells of: orders, fills, positions, one order book. It speaks in two
ways, and the stream in neither is complete:

* a *collection* is known whole: its source gives a :class:`Snapshot`, which replaces what was known;
* a *log* only grows: its source gives :class:`Page` after page of what followed a number.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from targets.resilience.ranges import in_range
from targets.resilience.sequence import Sequence as Numbers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delta:
    """One message of a channel. ``data`` is the store's business.

    ``id`` is the event's own; the same id does not count again, unless its ``revision`` is new (a trade that the
    venue voids keeps its id). ``sequence`` numbers messages from 1; None where the venue numbers nothing. A message
    that stands for several numbers begins at ``first``.
    """

    data: object
    id: str = ""
    sequence: int | None = None
    first: int | None = None
    revision: int = 0

    @property
    def numbers(self) -> range:
        """The numbers that it stands for."""
        if self.sequence is None:
            return range(0)
        return range(self.sequence if self.first is None else self.first, self.sequence + 1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole collection, as it was after message ``sequence``. None: the venue does not say when that was."""

    items: tuple[object, ...]
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a log. ``up_to``: with it, everything up to that number is known. ``more``: another page follows."""

    deltas: tuple[Delta, ...]
    up_to: int | None = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The venue's last message had the number ``last``. The only sign that the latest message was lost."""

    last: int


News = Delta | Snapshot | Heartbeat


class Ask(Protocol):
    """Sends one request through the error handler: its limiter, its breaker, no retry of its own."""

    async def __call__(self, call: Callable[[], Awaitable[T]], *, endpoint: str = "") -> T:
        """The result of ``call``."""
        ...


class SnapshotSource(Protocol):
    """The venue calls behind a channel."""

    async def snapshot(self, since: int, ask: Ask) -> Snapshot | Page:
        """The collection, or what the log has after number ``since``. Every request goes through ``ask``."""
        ...


class StateStore(Protocol):
    """What is known. A method that raises StateUnavailableError has changed nothing."""

    def read(self, channel: str) -> Numbers:
        """Which numbers were taken in, as that survived the last restart."""
        ...

    def knows(self, channel: str, delta: Delta) -> bool:
        """Whether an event of that id and revision was applied."""
        ...

    def short(self, channel: str) -> bool:
        """Whether the venue told of more than arrived: a cumulative quantity above the sum of its parts."""
        ...

    async def apply(self, channel: str, deltas: Sequence[Delta], read: Numbers) -> None:
        """Apply messages, also those about things that it never heard of, and keep ``read``, in one commit."""
        ...

    async def replace(self, channel: str, snapshot: Snapshot, after: Sequence[Delta], read: Numbers) -> None:
        """The collection is ``snapshot``, then ``after``, and nothing else; keep ``read``; in one commit."""
        ...


class ErrorHandling(Protocol):
    """What is needed of an error handler."""

    async def execute(
        self, call: Callable[[], Awaitable[T]], *, endpoint: str = "", attempts_max: int | None = None
    ) -> T:
        """The result of ``call``."""
        ...


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel. ``read`` makes news of an event's name and arguments; it raises ValueError for what is none.

    ``events`` are the stream's events that concern it. ``ordered``: a message makes sense only on top of all before
    it (an order book), so that what comes early is held back; messages that stand alone are applied at once.
    ``restarts``: its numbers begin anew with each connection.
    """

    name: str
    source: SnapshotSource
    read: Callable[..., Iterable[News]]
    events: tuple[str, ...] = ()
    ordered: bool = False
    restarts: bool = False

    def __post_init__(self) -> None:
        if self.restarts and not self.ordered:
            raise ValueError(f"restarts: the numbers of {self.name} cannot tell what is new unless it is ordered")


@dataclass(frozen=True, slots=True)
class StateReconcilerConfig:
    """Settings of the reconciler. Times are milliseconds.

    ``reorder_window`` is how long a missing number may be merely late before it is fetched. Everything is fetched
    every ``sweep_interval`` anyway: the deadline for venues that number nothing, and for what nobody thought of.
    ``resync_delays`` are the waits after the first, second, ... failed resync, the last one repeats, each is changed
    by a random share of up to ``jitter``. After ``quiet_repairs_max`` gaps in a row that had to be fetched while the
    stream gave no data, the stream is given up. ``buffer_max`` bounds what is kept back per channel.
    """

    reorder_window: float = 250
    sweep_interval: float = 5_000
    resync_delays: Sequence[float] = (250, 500, 1_000, 2_000, 4_000)
    jitter: float = 0.2
    quiet_repairs_max: int = 3
    buffer_max: int = 10_000

    def __post_init__(self) -> None:
        in_range("reorder_window", self.reorder_window, 0)
        in_range("sweep_interval", self.sweep_interval, 1)
        if not self.resync_delays:
            raise ValueError("resync_delays: at least one delay is needed")
        for delay in self.resync_delays:
            in_range("resync_delays", delay, 1)
        in_range("jitter", self.jitter, 0, 1)
        in_range("quiet_repairs_max", self.quiet_repairs_max, 1)
        in_range("buffer_max", self.buffer_max, 1)

"""One channel: which of its messages were taken in, which are missing, and how a snapshot and the stream fit.

The rules:

* a number that was taken in is not taken in again, and neither is an id (of the same revision);
* a snapshot replaces what was known. It is never merged into it: what is not in it is gone;
* a snapshot that is older than what was applied before it was asked for replaces nothing: a query that trails;
* what arrives while a snapshot is fetched is applied at once where it stands alone, and again on top of the
  snapshot, in the same commit, as far as the snapshot does not contain it;
* of an ordered channel, nothing is applied before all that precedes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from targets.resilience.channel_model import Ask, Channel, Delta, Heartbeat, News, Snapshot, StateStore
from targets.resilience.errors import ResilienceError
from targets.resilience.sequence import Sequence

PAGES_MAX: Final = 1_000
"""A log that never ends is a venue that gives the same page again and again."""


class ResyncError(ResilienceError):
    """What was fetched does not bring the channel level. Worth another try."""


class ChannelFollower:
    """Follows one channel. Its messages are taken in one at a time."""

    def __init__(self, channel: Channel, store: StateStore, buffer_max: int) -> None:
        self.channel = channel
        self.fetched = False
        """Whether it was brought level on this connection."""
        self._store = store
        self._buffer_max = buffer_max
        self._latest = 0
        self._replaced_at = 0
        self._held: dict[int, Delta] = {}
        self._during: list[Delta] | None = None
        self._overflowed = False
        self._taking = asyncio.Lock()

    @property
    def missing(self) -> bool:
        """Whether the venue is known to have told, or done, more than arrived."""
        behind = self._read.contiguous < self._latest
        return behind or self._store.short(self.channel.name)

    @property
    def _read(self) -> Sequence:
        return self._store.read(self.channel.name)

    def lost(self) -> None:
        """The connection is gone; what it numbered may be gone with it."""
        self.fetched = False
        if self.channel.restarts:
            self._latest = self._replaced_at = 0
            self._held.clear()

    # The stream

    async def take(self, news: News) -> None:
        """Take in what the stream says. Raises StateUnavailableError; it is then fetched later."""
        if isinstance(news, Heartbeat):
            self._latest = max(self._latest, news.last)
            return
        if isinstance(news, Delta):
            self._latest = max(self._latest, news.sequence or 0)
        async with self._taking:
            if isinstance(news, Snapshot):
                await self._replace(news, floor=self._read.latest, known_to=self._latest, during=[])
                return
            if self._during is not None:
                self._keep_for_later(self._during, news)
            await self._apply((news,))

    def _keep_for_later(self, during: list[Delta], delta: Delta) -> None:
        if len(during) >= self._buffer_max:
            # The snapshot that is on its way cannot be completed any more.
            during.clear()
            self._overflowed = True
        during.append(delta)

    async def _apply(self, deltas: Iterable[Delta], up_to: int | None = None) -> None:
        known, numbers = self._read, list[int]()
        fresh: list[Delta] = []
        for delta in _each_once(self._in_order(deltas) if self.channel.ordered else deltas):
            numbers += delta.numbers
            # A correction may come under the number of what it corrects.
            read_already = delta.sequence is not None and delta.sequence in known and not delta.revision
            if not read_already and not (delta.id and self._store.knows(self.channel.name, delta)):
                fresh.append(delta)
        read = known.with_numbers(*numbers)
        if up_to is not None:
            read = read.up_to(up_to)
        if fresh or read != known:
            await self._store.apply(self.channel.name, tuple(fresh), read)

    def _in_order(self, deltas: Iterable[Delta]) -> list[Delta]:
        """Those whose turn it is; the rest is held back, or comes with the snapshot."""
        if not self.fetched:
            # Whether they fit is known when the snapshot is there, and then they are among what came meanwhile.
            return []
        return self._chain(self._read.contiguous, deltas)

    def _chain(self, contiguous: int, deltas: Iterable[Delta]) -> list[Delta]:
        waiting = {**self._held, **{delta.sequence: delta for delta in deltas if delta.sequence is not None}}
        turn = [delta for delta in deltas if delta.sequence is None]
        self._held = {}
        for last, delta in sorted(waiting.items()):
            if last <= contiguous:
                continue
            if delta.numbers[0] <= contiguous + 1:
                turn.append(delta)
                contiguous = last
            elif len(self._held) < self._buffer_max:
                self._held[last] = delta
        return turn

    # The venue's own word

    async def fetch(self, ask: Ask) -> None:
        """Fetch what the channel is, or what it lacks.

        Raises ResyncError when that does not bring it level, StateUnavailableError, and what ``ask`` raises.
        """
        since = self._read.contiguous
        for _ in range(PAGES_MAX):
            floor, known_to = self._read.latest, self._latest
            during = self._during = []
            self._overflowed = False
            try:
                found = await self.channel.source.snapshot(since, ask)
                async with self._taking:
                    if self._overflowed:
                        raise ResyncError(f"{self.channel.name}: more than {self._buffer_max} messages meanwhile")
                    if isinstance(found, Snapshot):
                        await self._replace(found, floor=floor, known_to=known_to, during=during)
                    else:
                        await self._apply(found.deltas, found.up_to)
            finally:
                self._during = None
            if isinstance(found, Snapshot) or not found.more:
                break
            since = max((delta.sequence or 0 for delta in found.deltas), default=since)
        else:
            raise ResyncError(f"{self.channel.name}: the log has no end: {PAGES_MAX} pages, and more")
        self.fetched = True
        if self.missing:
            raise ResyncError(f"{self.channel.name}: still behind after a resync; the query trails the stream")

    async def _replace(self, snapshot: Snapshot, *, floor: int, known_to: int, during: list[Delta]) -> None:
        """``floor``: applied before it was asked for. ``known_to``: heard of before it was asked for."""
        begins_anew = self.channel.restarts and not self.fetched
        floor = 0 if begins_anew else max(floor, self._replaced_at)
        if snapshot.sequence is not None and snapshot.sequence < floor:
            raise ResyncError(f"{self.channel.name}: a snapshot of {snapshot.sequence}, and {floor} is applied")
        # A snapshot without a number was taken after it was asked for, so it holds all that was heard of before.
        base = known_to if snapshot.sequence is None else snapshot.sequence
        later = [delta for delta in _each_once(during) if delta.sequence is None or delta.sequence > base]
        if self.channel.ordered:
            later = self._chain(base, later)
        read = Sequence(base).with_numbers(*(number for delta in later for number in delta.numbers))
        await self._store.replace(self.channel.name, snapshot, tuple(later), read)
        self.fetched = True
        self._replaced_at = base
        self._latest = max(self._latest, base)


def _each_once(deltas: Iterable[Delta]) -> Iterator[Delta]:
    """Without what is in there twice, by number or by id."""
    told: set[tuple[str, object, int]] = set()
    for delta in deltas:
        by_number = {("number", delta.sequence, delta.revision)} if delta.sequence is not None else set()
        by_id = {("id", delta.id, delta.revision)} if delta.id else set()
        if told.isdisjoint(by_number | by_id):
            yield delta
        told |= by_number | by_id

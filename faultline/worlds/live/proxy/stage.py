"""What carries out actions on bytes: one stage per decider and direction of a connection.

A stage asks its decider about each chunk, once, when it was read. Nothing asked for: the chunk goes on at once.
Otherwise it waits in a queue of (release time, bytes or end) behind what came before it, so that order is kept:

===== ===============================================================================================================
Delay counts from the time the chunk was read: chunks wait side by side and throughput stays
Shape paces (each piece takes its size / rate) and cuts into pieces
Hold  until a time, or until the stage is flushed
Flip  changes one bit
Drop  discards the bytes
Cut   lets the first bytes through, then ends the whole connection; what comes after is discarded
===== ===============================================================================================================

One timer, for the head of the queue. Removing or changing a fault flushes the stage: nothing that it held waits on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from faultline.faults.actions import Action, Cut
from faultline.worlds.strike import Strike, read_actions

if TYPE_CHECKING:
    import asyncio

    from faultline.faults.points import Moment
    from faultline.worlds.live.proxy.link import End, Link

_SLICE_S: Final = 0.1
"""A paced chunk that would take longer than this is cut into slices of it."""


class Decider(Protocol):
    """Who decides for a stage.

    ``closings`` says whether it is asked about the end of a stream as well (a moment of size 0). A proxy delays
    bytes and not their end, unless the fault is about that.
    """

    closings: bool

    def acts_on(self, phase: str) -> bool:
        """Whether it can ever ask for something at ``connect``, ``up`` or ``down``."""
        ...

    def decide(self, moment: Moment) -> tuple[Action, ...]:
        """The actions at this moment, most often none."""
        ...


class ActionStage:
    """One decider's place in a link. Bytes go to ``feed``, the end of the stream to ``end``."""

    __slots__ = ("_busy_until_s", "_clock", "_decider", "_end_next", "_feed_next", "_is_cut", "_last_s",
                 "_offset_bytes", "_queue", "_timer", "link")  # fmt: skip

    def __init__(self, link: Link, decider: Decider) -> None:
        self.link = link
        self._decider = decider
        self._clock = link.connection.clock
        self._feed_next: Callable[[bytes], None] = link.write
        self._end_next: Callable[[End], None] = link.finish
        self._queue: deque[tuple[float, bytes | End | Cut]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._offset_bytes = 0
        self._last_s = 0.0
        self._busy_until_s = 0.0
        self._is_cut = False

    def lead_to(self, feed: Callable[[bytes], None], end: Callable[[End], None]) -> None:
        """Where bytes and the end go from here."""
        self._feed_next = feed
        self._end_next = end

    def feed(self, data: bytes) -> None:
        """A chunk has been read."""
        if self._is_cut:
            return
        offset = self._offset_bytes
        self._offset_bytes = offset + len(data)
        actions = self._decider.decide(self.link.moment(offset, len(data)))
        if actions:
            self._carry_out(data, read_actions(actions, drops=True))
        elif self._queue:
            self._put(0.0, data)
        else:
            self._feed_next(data)

    def end(self, how: End) -> None:
        """The stream ends behind what this stage holds."""
        if self._is_cut:
            return
        at_s = 0.0
        if self._decider.closings:
            strike = read_actions(self._decider.decide(self.link.moment(self._offset_bytes, 0)), drops=True)
            at_s = self._at_s(strike, self._clock())
            if strike.cut is not None:
                self._cut(at_s, strike.cut)
                return
        self._put(at_s, how)

    def _at_s(self, strike: Strike, now_s: float) -> float:
        """When bytes that were read at ``now_s`` may leave, by delays and holds."""
        if strike.for_ever:
            return inf
        return max(now_s + strike.delay_s, self.link.connection.epoch_s + strike.until_s)

    def _carry_out(self, data: bytes, strike: Strike) -> None:
        if strike.drop:
            return
        now_s = self._clock()
        at_s = self._at_s(strike, now_s)
        for flip in strike.flips:
            data = flip.applied_to(data)
        cut = strike.cut
        if cut is not None and cut.after_s is None:
            data = data[: cut.after_bytes]
        pieces = _pieces(data, strike)
        for piece in pieces:
            if strike.rate_bytes_per_s:
                self._busy_until_s = max(self._busy_until_s, now_s) + len(piece) / strike.rate_bytes_per_s
                self._put(at_s + self._busy_until_s - now_s, piece)
            else:
                self._put(at_s, piece)
            if strike.gap_s:
                at_s = max(at_s, self._last_s) + strike.gap_s
                self._last_s = at_s
        if cut is not None and cut.after_s is None:
            self._cut(at_s, cut)
        elif cut is not None:
            self.link.connection.cut_later(cut, self)

    def _cut(self, at_s: float, cut: Cut) -> None:
        self._is_cut = True
        self._put(at_s, cut)

    # The queue

    def _put(self, at_s: float, item: bytes | End | Cut) -> None:
        self._last_s = at_s = max(at_s, self._last_s)
        if not self._queue and at_s <= self._clock():
            self._pass(item)
            return
        if isinstance(item, bytes):
            self.link.hold(len(item))
        self._queue.append((at_s, item))
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        at_s = self._queue[0][0]
        if at_s < inf:
            delay_s = max(0.0, at_s - self._clock())
            self._timer = self.link.connection.loop.call_later(delay_s, self._release)

    def _release(self) -> None:
        self._timer = None
        now_s = self._clock()
        queue = self._queue
        while queue and queue[0][0] <= now_s:
            self._take()
        if queue:
            self._set_timer()

    def _take(self) -> None:
        _, item = self._queue.popleft()
        if isinstance(item, bytes):
            self.link.release(len(item))
        self._pass(item)

    def _pass(self, item: bytes | End | Cut) -> None:
        if isinstance(item, bytes):
            self._feed_next(item)
        elif isinstance(item, Cut):
            self.link.connection.cut(item.how)
        else:
            self._end_next(item)

    def flush(self) -> None:
        """Let go of everything at once, in order."""
        self._stop_timer()
        while self._queue:
            self._take()
        self._last_s = self._busy_until_s = 0.0

    def drop_all(self) -> None:
        """Forget what is held and what still comes."""
        self._stop_timer()
        self._is_cut = True
        self._queue.clear()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _pieces(data: bytes, strike: Strike) -> Iterator[bytes]:
    """``data`` in the sizes that a strike asks for; nothing for no data."""
    if not data:
        return
    if strike.pieces_bytes:
        sizes = cycle(strike.pieces_bytes)
    else:
        rate = strike.rate_bytes_per_s
        sizes = cycle((max(1, int(rate * _SLICE_S)) if rate else len(data),))
    start = 0
    while start < len(data):
        size = next(sizes)
        yield data[start : start + size]
        start += size

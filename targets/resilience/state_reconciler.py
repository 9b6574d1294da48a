"""Keeps the state level with the venue: what the stream says, and whatever it left out.

A stream is a convenience that loses messages: while it is down, in a gap, at its tail, or because it goes on
beating without saying anything. The state is therefore level only when a resync says so, and a resync is due

* after each (re)connection: a reconnect is not a resubscribe, and a resubscribe is not a replay;
* when a number is missing, or a heartbeat tells of numbers that never came, for longer than a reordering takes;
* when the venue reports more (cumulatively) than the parts that arrived;
* when a message could not be stored;
* every ``sweep_interval`` anyway, for venues that number nothing, and for what nobody thought of.

A resync that fails or comes out short (queries trail the truth) is repeated, with growing delays, until it does not;
the state says ``stale`` meanwhile. It goes on without any stream, too: the sweep asks the venue, and stays ``stale``.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from targets.resilience.channel_follower import ChannelFollower, ResyncError
from targets.resilience.channel_model import Channel, Delta, ErrorHandling, News, StateReconcilerConfig, StateStore
from targets.resilience.connection_state import ConnectionState
from targets.resilience.errors import ResilienceError, StateUnavailableError

__all__ = ["Channel", "ResyncError", "StateReconciler", "StateReconcilerConfig"]

log = logging.getLogger(__name__)
T = TypeVar("T")

_FAILURES: Final = (ResilienceError, OSError, TimeoutError)
_LEVEL_STATES: Final = frozenset({ConnectionState.SYNCHRONIZING, ConnectionState.CONNECTED})


class Stream(Protocol):
    """What is needed of a connection manager."""

    def on(self, event: str, handler: Callable[..., Awaitable[None] | None]) -> Callable[[], None]:
        """Call ``handler`` with the arguments of each ``event``."""
        ...

    def on_state(self, handler: Callable[[ConnectionState, ConnectionState, str], None]) -> Callable[[], None]:
        """Call ``handler`` with the old state, the new one, and the reason."""
        ...

    def before_level(self, hook: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Await ``hook`` on each connection when it is subscribed."""
        ...

    def reconnect(self, reason: str) -> None:
        """Give the connection up."""
        ...


class StateReconciler:
    """Follows channels, and repairs what their stream leaves out."""

    def __init__(
        self,
        config: StateReconcilerConfig,
        signalr_manager: Stream,
        state_manager: StateStore,
        error_handler: ErrorHandling,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._stream = signalr_manager
        self._store = state_manager
        self._error_handler = error_handler
        self._chance = chance
        self._followers: dict[str, ChannelFollower] = {}
        self._wanted: dict[str, int] = {}
        self._asked = 0
        self._due = asyncio.Event()
        self._fetched = asyncio.Event()
        self._subscribed = False
        self._failures = 0
        self._quiet_repairs = 0
        self._task: asyncio.Task[None] | None = None
        self.level = asyncio.Event()
        """Set while the stream is subscribed and a resync succeeded since."""
        self._removes = [signalr_manager.on_state(self._moved), signalr_manager.before_level(self._connected)]

    @property
    def stale(self) -> bool:
        """Whether the state may be behind the venue by more than what is just on its way."""
        return not self.level.is_set() or self._failures > 0 or bool(self._missing())

    def follow(self, channel: Channel) -> None:
        """Keep ``channel`` level from now on."""
        follower = self._followers[channel.name] = ChannelFollower(channel, self._store, self._config.buffer_max)
        for event in channel.events:
            self._removes.append(self._stream.on(event, self._listener(follower, event)))
        self._want(channel.name)

    def start(self) -> None:
        """Begin, also without a stream. The first connection does so otherwise."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._died)

    async def stop(self) -> None:
        """End all work, and listen no more. A reconciler is not started again."""
        removes, self._removes = self._removes, []
        for remove in removes:
            remove()
        task, self._task = self._task, None
        self.level.clear()
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def resync(self, reason: str = "asked for") -> None:
        """Fetch every channel; return when all are level, however often that has to be tried."""
        log.debug("resync: %s", reason)
        self._want(*self._followers)
        self.start()
        fetched = asyncio.create_task(self._fetched.wait())
        try:
            assert self._task is not None
            await asyncio.wait({fetched, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not fetched.done():
                raise ResyncError("the reconciler has ended")
        finally:
            fetched.cancel()

    async def heard(self, channel: str, *news: News) -> None:
        """Take in what was learnt of ``channel``, from the stream or otherwise."""
        follower = self._followers[channel]
        try:
            for each in news:
                if isinstance(each, Delta):
                    self._quiet_repairs = 0
                await follower.take(each)
        except (StateUnavailableError, ResyncError) as error:
            # The message is lost to us, or of no use; what it said is still at the venue.
            log.warning("%s: a message was not taken in, it will be fetched: %s", channel, error)
            self._want(channel)
        if follower.missing:
            self._due.set()

    # What the stream does

    def _listener(self, follower: ChannelFollower, event: str) -> Callable[..., Awaitable[None]]:
        channel = follower.channel

        async def listen(*arguments: object) -> None:
            try:
                news = tuple(channel.read(event, *arguments))
            except (ValueError, ResilienceError) as error:
                # What else it misreads cannot be known; a new connection begins with a snapshot.
                log.warning("%s: %s cannot be read: %s", channel.name, event, error)
                self._want(channel.name)
                self._stream.reconnect(f"{event} cannot be read")
                return
            await self.heard(channel.name, *news)

        return listen

    def _moved(self, old: ConnectionState, new: ConnectionState, reason: str) -> None:
        if new not in _LEVEL_STATES and self._subscribed:
            self._subscribed = False
            self.level.clear()
            for follower in self._followers.values():
                follower.lost()

    async def _connected(self) -> None:
        self._subscribed = True
        self._quiet_repairs = 0
        await self.resync("connected")

    # What it left out

    def _missing(self) -> list[str]:
        return [name for name, follower in self._followers.items() if follower.missing]

    def _want(self, *names: str) -> None:
        # What was fetched for an earlier wish says nothing of what came between.
        self._asked += 1
        self._wanted.update(dict.fromkeys(names, self._asked))
        self._fetched.clear()
        self._due.set()

    async def _run(self) -> None:
        while True:
            await self._until_due()
            missing = self._missing()
            repairing = bool(missing) and self.level.is_set()
            self._want(*missing)
            self._due.clear()
            await self._fetch_wanted()
            if self._wanted:
                self._failures += 1
                continue
            self._failures = 0
            self._fetched.set()
            if self._subscribed:
                self.level.set()
                self._judge_stream(repaired=repairing)

    def _judge_stream(self, *, repaired: bool) -> None:
        self._quiet_repairs += repaired
        if self._quiet_repairs >= self._config.quiet_repairs_max:
            self._quiet_repairs = 0
            self._stream.reconnect("it beats, and says nothing of what happens")

    async def _until_due(self) -> None:
        """Returns with everything that is to be fetched now among the wanted, or missing."""
        if self._failures:
            delays = self._config.resync_delays
            delay = delays[min(self._failures, len(delays)) - 1]
            await asyncio.sleep(delay * (1 + self._config.jitter * (2 * self._chance() - 1)) / 1000)
            return
        try:
            async with asyncio.timeout(self._config.sweep_interval / 1000):
                while not (self._wanted or self._missing()):
                    await self._due.wait()
                    self._due.clear()
                    if not self._wanted:
                        # A number that is missing may be merely late.
                        await asyncio.sleep(self._config.reorder_window / 1000)
        except TimeoutError:
            self._want(*self._followers)

    async def _fetch_wanted(self) -> None:
        for name, follower in list(self._followers.items()):
            asked = self._wanted.get(name)
            if asked is None:
                continue
            try:
                await follower.fetch(self._ask)
            except _FAILURES as error:
                log.warning("resync of %s failed, will be repeated: %s", name, error)
                continue
            if self._wanted[name] == asked:
                del self._wanted[name]

    async def _ask(self, call: Callable[[], Awaitable[T]], *, endpoint: str = "") -> T:
        # The reconciler repeats by itself, so the error handler must not: retries would multiply.
        return await self._error_handler.execute(call, endpoint=endpoint, attempts_max=1)

    def _died(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.level.clear()
            log.critical("the reconciler died; the state is not kept level any more", exc_info=error)

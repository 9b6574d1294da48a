"""Telling people, without drowning them and without holding anything up.

An alert has a key. The first one of a key goes out at once; while the condition lasts, more of the same key are
counted and not sent, until ``dedupe_window_s`` is over. Different keys never suppress each other. When the condition is
resolved the key is armed again, and a critical one that is not resolved is repeated every ``escalate_after_s``.
Raising an alert never waits: each channel has a bounded queue and a task of its own, so that a slow channel delays
neither the caller nor the other channels.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol

import aiohttp

log = logging.getLogger(__name__)

Level = Literal["info", "warning", "critical"]
LEVELS: Final[Mapping[Level, int]] = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Alert:
    """One message to people. ``suppressed`` counts those of the same key since the last one that went out."""

    level: Level
    key: str
    text: str
    raised_at_s: float
    """Seconds since 1970."""
    suppressed: int = 0
    resolved: bool = False


class Channel(Protocol):
    """Where alerts go."""

    async def send(self, alert: Alert) -> None:
        """Deliver ``alert``. Any exception means that it was not delivered."""
        ...


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """Times in seconds. A channel gets at most ``throttle_alerts`` in any ``throttle_window_s``; critical ones are not
    held back by that. What does not fit into a channel's queue is counted and reported, never silently gone.

    Alerts are written to the log, to ``file`` and to ``webhook_url`` where these are given. Trouble that mends itself
    is nobody's business until it has lasted for ``stream_after_s``, ``token_after_s`` or ``unknown_after_s``; a pause
    that the venue asks for is a ban when it is longer than ``ban_over_s``.
    """

    dedupe_window_s: float = 300.0
    escalate_after_s: float = 900.0
    throttle_alerts: int = 20
    throttle_window_s: float = 60.0
    queue_size: int = 1000
    send_timeout_s: float = 10.0
    attempts_max: int = 3
    retry_delay_s: float = 1.0
    level_min: Level = "info"
    file: str = ""
    webhook_url: str = ""
    stream_after_s: float = 30.0
    token_after_s: float = 30.0
    unknown_after_s: float = 60.0
    ban_over_s: float = 10.0

    def channels(self) -> dict[str, Channel]:
        """Where alerts go."""
        channels: dict[str, Channel] = {"log": LogChannel()}
        if self.file:
            channels["file"] = FileChannel(self.file)
        if self.webhook_url:
            channels["webhook"] = WebhookChannel(self.webhook_url)
        return channels


@dataclass(slots=True)
class _Condition:
    """A key that is on: what was sent of it last, and how many since."""

    alert: Alert
    sent_at_s: float
    suppressed: int = 0


class AlertManager:
    """Takes alerts from everybody and gives them to every channel. Start and stop it in the loop that it works in."""

    def __init__(self, config: AlertConfig, channels: Mapping[str, Channel]) -> None:
        self._config = config
        self._conditions: dict[str, _Condition] = {}
        self._lanes = {name: _Lane(name, channel, config) for name, channel in channels.items()}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to deliver what is raised."""
        lanes = [asyncio.create_task(lane.run()) for lane in self._lanes.values()]
        self._tasks = [*lanes, asyncio.create_task(self._sweep())]

    async def stop(self, *, drain_s: float = 5.0) -> None:
        """Deliver what is queued, for ``drain_s`` at the most, and end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                for lane in self._lanes.values():
                    await lane.idle.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def raise_alert(self, level: Level, key: str, text: str) -> bool:
        """Tell people that the condition ``key`` is on; whether this one goes out. Never waits, never raises.

        A rise in level goes out even within the window: that it got worse is news.
        """
        now = time.monotonic()
        known = self._conditions.get(key)
        worse = known is None or LEVELS[level] > LEVELS[known.alert.level]
        if known is not None and not worse and now - known.sent_at_s < self._config.dedupe_window_s:
            known.suppressed += 1
            return False
        alert = Alert(level, key, text, time.time(), known.suppressed if known is not None else 0)
        self._conditions[key] = _Condition(alert, now)
        return self._send(alert)

    def resolve(self, key: str) -> None:
        """The condition ``key`` is over: people are told, and the next alert of it goes out at once."""
        known = self._conditions.pop(key, None)
        if known is not None:
            last = known.alert
            self._send(Alert(last.level, key, last.text, time.time(), known.suppressed, resolved=True))

    @property
    def active(self) -> tuple[str, ...]:
        """Keys of the conditions that are on."""
        return tuple(self._conditions)

    @property
    def undelivered(self) -> Mapping[str, int]:
        """Per channel, how many alerts were lost: the queue was full or every attempt failed."""
        return {name: lane.lost for name, lane in self._lanes.items()}

    def _send(self, alert: Alert) -> bool:
        if LEVELS[alert.level] < LEVELS[self._config.level_min]:
            return False
        for lane in self._lanes.values():
            lane.put(alert)
        return True

    async def _sweep(self) -> None:
        """Repeat what is critical and lasts; tell how many were held back of what does not; forget the rest."""
        while True:
            await asyncio.sleep(min(self._config.escalate_after_s, self._config.dedupe_window_s) / 10)
            now = time.monotonic()
            for key, known in list(self._conditions.items()):
                age_s = now - known.sent_at_s
                lasting = known.alert.level == "critical"
                if lasting and age_s >= self._config.escalate_after_s:
                    self._repeat(key, known, now)
                elif not lasting and age_s >= self._config.dedupe_window_s:
                    if known.suppressed:
                        self._repeat(key, known, now)
                    else:
                        del self._conditions[key]

    def _repeat(self, key: str, known: _Condition, now: float) -> None:
        again = replace(known.alert, raised_at_s=time.time(), suppressed=known.suppressed)
        self._conditions[key] = _Condition(again, now)
        self._send(again)


class _Lane:
    """One channel's queue and the task that empties it."""

    def __init__(self, name: str, channel: Channel, config: AlertConfig) -> None:
        self._name = name
        self._channel = channel
        self._config = config
        self._queue: deque[Alert] = deque()
        self._sent: deque[float] = deque()
        self._filled = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.lost = 0

    def put(self, alert: Alert) -> None:
        """Queue ``alert``. A full queue loses its oldest one that is not critical, and counts it."""
        if len(self._queue) >= self._config.queue_size:
            self.lost += 1
            spare = next((old for old in self._queue if old.level != "critical"), None)
            if spare is None and alert.level != "critical":
                return
            self._queue.remove(self._queue[0] if spare is None else spare)
        self._queue.append(alert)
        self.idle.clear()
        self._filled.set()

    async def run(self) -> None:
        """Deliver, one after another, for ever."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                alert = self._next()
                if alert is None:
                    await self._wait_for_room()
                    continue
                await self._deliver(alert)
            self.idle.set()

    def _next(self) -> Alert | None:
        """The next alert that may go out now: critical ones first and always."""
        for alert in self._queue:
            if alert.level == "critical":
                self._queue.remove(alert)
                return alert
        if self._room_in_s() > 0:
            return None
        return self._queue.popleft()

    def _room_in_s(self) -> float:
        now, window_s = time.monotonic(), self._config.throttle_window_s
        while self._sent and now - self._sent[0] >= window_s:
            self._sent.popleft()
        full = len(self._sent) >= self._config.throttle_alerts
        return self._sent[0] + window_s - now if full else 0.0

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._room_in_s()):
                # A critical one does not wait for room.
                await self._filled.wait()
                self._filled.clear()
        except TimeoutError:
            return

    async def _deliver(self, alert: Alert) -> None:
        self._sent.append(time.monotonic())
        for attempt in range(1, self._config.attempts_max + 1):
            try:
                async with asyncio.timeout(self._config.send_timeout_s):
                    await self._channel.send(alert)
            except Exception as error:
                # Whatever a channel raises, the alert was not delivered and the next one still has to be.
                log.warning("alert channel %s, attempt %d: %s", self._name, attempt, type(error).__name__)
            else:
                return
            if attempt < self._config.attempts_max:
                await asyncio.sleep(self._config.retry_delay_s * 2 ** (attempt - 1))
        self.lost += 1
        log.error("alert channel %s gave up on %s %s", self._name, alert.level, alert.key)


# Channels


class LogChannel:
    """Writes alerts into the log."""

    async def send(self, alert: Alert) -> None:
        """One line."""
        level = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}[alert.level]
        log.log(level, "%s%s (%d more): %s", "resolved " * alert.resolved, alert.key, alert.suppressed, alert.text)


class CallbackChannel:
    """Hands alerts to a coroutine function."""

    def __init__(self, callback: Callable[[Alert], Awaitable[None]]) -> None:
        self._callback = callback

    async def send(self, alert: Alert) -> None:
        """Await the callback."""
        await self._callback(alert)


class FileChannel:
    """Appends one JSON object per alert to a file."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    async def send(self, alert: Alert) -> None:
        """Append and flush. Raises OSError."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_json(alert) + "\n")


class WebhookChannel:
    """Posts each alert as JSON. Anything but a 2xx counts as not delivered."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._headers = dict(headers or {})

    async def send(self, alert: Alert) -> None:
        """Post it. Raises aiohttp.ClientError or OSError."""
        headers = {**self._headers, "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._url, data=_json(alert), headers=headers, allow_redirects=False) as response,
        ):
            if not 200 <= response.status < 300:
                raise aiohttp.ClientError(f"the webhook answered {response.status}")


def _json(alert: Alert) -> str:
    return json.dumps(asdict(alert))

"""Trouble that nobody reports because nothing happens: looked for every second, told once it has lasted too long.

A sign that is there for longer than it may be becomes an alert, which is resolved when the sign is gone. What mends
itself in time is never told of.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from targets.resilience.adapter import Access, Stream
from targets.resilience.alerts import AlertConfig, AlertManager
from targets.resilience.connection_state import ConnectionState
from targets.resilience.rate_limiter import Limiter
from targets.resilience.state_manager import StateManager
from targets.resilience.state_reconciler import StateReconciler
from targets.resilience.venue import OrderStatus

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Sign:
    """Something is wrong at this moment. ``text`` says what; it is told of when it has lasted for ``after_s``."""

    key: str
    text: str
    after_s: float = 0.0


class Watch:
    """Asks ``signs`` every second, and tells ``alerts`` what lasts."""

    def __init__(self, alerts: AlertManager, signs: Callable[[], Iterable[Sign]]) -> None:
        self._alerts = alerts
        self._signs = signs
        self._since: dict[str, float] = {}
        self._told: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(_report)

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Compare what is wrong now with what was before."""
        now = time.monotonic()
        signs = {sign.key: sign for sign in self._signs()}
        for key in self._since.keys() - signs.keys():
            del self._since[key]
            if key in self._told:
                self._told.discard(key)
                self._alerts.resolve(key)
        for key, sign in signs.items():
            lasted_s = now - self._since.setdefault(key, now)
            if key not in self._told and lasted_s >= sign.after_s:
                self._told.add(key)
                self._alerts.raise_alert("critical", key, sign.text)


class Signs:
    """What is wrong with a composition, by what its components know. Asks nobody."""

    def __init__(
        self,
        config: AlertConfig,
        access: Access,
        stream: Stream,
        reconciler: StateReconciler,
        limiter: Limiter,
        state: StateManager,
    ) -> None:
        self._config = config
        self._access = access
        self._stream = stream
        self._reconciler = reconciler
        self._limiter = limiter
        self._state = state

    def __call__(self) -> Iterator[Sign]:
        """Everything that is wrong at this moment."""
        config, stream = self._config, self._stream.state
        if stream == ConnectionState.FAILED:
            yield Sign("stream given up", "the stream is given up; nobody tries to connect it")
        elif stream != ConnectionState.CONNECTED:
            yield Sign("stream", f"the stream is {stream}", config.stream_after_s)
        if self._reconciler.stale:
            yield Sign("stale", "the state may be behind the venue", config.stream_after_s)
        if self._access.is_expired():
            yield Sign("token", "there is no valid token", config.token_after_s)
        if (silent_s := self._limiter.silent_s) > config.ban_over_s:
            yield Sign("ban", f"the venue asks for silence for {silent_s:.0f} s")
        for record in self._state.orders.values():
            if record.status == OrderStatus.UNKNOWN:
                what = f"{record.side} {record.size} {record.contract_id}"
                yield Sign(
                    f"unknown {record.request_id}", f"nobody knows whether {what} was placed", config.unknown_after_s
                )


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the watch died; lasting trouble is not told of any more", exc_info=error)

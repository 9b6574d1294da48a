"""The settings and the states of a stream connection.

============== =========================================================================================
state          means
============== =========================================================================================
DISCONNECTED   nobody wants a connection
CONNECTING     the first connection is being made
SYNCHRONIZING  connected and subscribed; what was missed is being fetched
CONNECTED      level: subscribed, and resynchronised since
RECONNECTING   the connection is lost; waiting for the next attempt, or making it
FAILED         given up, loudly. Only ``connect`` leads out
============== =========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from targets.resilience.ranges import in_range


class ConnectionState(StrEnum):
    """Where a stream connection stands."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    SYNCHRONIZING = "synchronizing"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    FAILED = "failed"


_S: Final = ConnectionState

LEGAL: Final[Mapping[ConnectionState, frozenset[ConnectionState]]] = MappingProxyType(
    {
        _S.DISCONNECTED: frozenset({_S.CONNECTING}),
        _S.CONNECTING: frozenset({_S.SYNCHRONIZING, _S.RECONNECTING, _S.FAILED, _S.DISCONNECTED}),
        _S.SYNCHRONIZING: frozenset({_S.CONNECTED, _S.RECONNECTING, _S.FAILED, _S.DISCONNECTED}),
        _S.CONNECTED: frozenset({_S.RECONNECTING, _S.FAILED, _S.DISCONNECTED}),
        _S.RECONNECTING: frozenset({_S.SYNCHRONIZING, _S.FAILED, _S.DISCONNECTED}),
        _S.FAILED: frozenset({_S.CONNECTING, _S.DISCONNECTED}),
    }
)
"""Which state may follow which."""


@dataclass(frozen=True, slots=True)
class SignalRConfig:
    """Settings of a stream connection. All times are milliseconds.

    ``reconnect_delays`` are the waits before the first, second, ... reconnect; the last one repeats.
    ``max_reconnect_attempts`` None: never give up. ``jitter`` stretches each delay by a random share of up to that
    much, ``spread`` adds a random wait of up to that much, so that the clients of a venue that comes back do not
    arrive together; a delay is never shorter than it says. After ``ping_interval`` without a sign of life the server
    is asked for one, which it must give within ``ping_timeout``. After ``stale_after`` without anything said, the
    connection is dead, whatever it answers to pings. ``keepalive_interval`` is how often a hub hears from us: it drops
    clients after 30 s. A connection that stayed level for ``proven_after`` resets the count of attempts.
    """

    max_reconnect_attempts: int | None = 10
    reconnect_delays: Sequence[float] = (0, 2_000, 10_000, 30_000, 60_000)
    ping_interval: float = 30_000
    ping_timeout: float = 5_000
    url: str = ""
    stale_after: float = 120_000
    keepalive_interval: float = 15_000
    connect_timeout: float = 15_000
    invoke_timeout: float = 10_000
    close_timeout: float = 1_000
    proven_after: float = 5_000
    jitter: float = 0.0
    spread: float = 0.0
    events_max: int = 10_000
    skip_negotiation: bool = True

    def __post_init__(self) -> None:
        if self.max_reconnect_attempts is not None:
            in_range("max_reconnect_attempts", self.max_reconnect_attempts, 0)
        if not self.reconnect_delays:
            raise ValueError("reconnect_delays: at least one delay is needed; [0] reconnects at once")
        for delay in self.reconnect_delays:
            in_range("reconnect_delays", delay, 0)
        for name in ("ping_interval", "ping_timeout", "stale_after", "keepalive_interval", "connect_timeout"):
            in_range(name, getattr(self, name), 1)
        for name in ("invoke_timeout", "close_timeout", "events_max"):
            in_range(name, getattr(self, name), 1)
        for name in ("proven_after", "jitter", "spread"):
            in_range(name, getattr(self, name), 0)

    def delay_s(self, attempt: int, chance: float = 0.0, more: float = 0.0) -> float:
        """How long to wait before reconnect ``attempt`` (from 1). ``chance`` and ``more`` are draws from [0, 1)."""
        delay = self.reconnect_delays[min(attempt, len(self.reconnect_delays)) - 1]
        return (delay * (1 + self.jitter * chance) + self.spread * more) / 1000

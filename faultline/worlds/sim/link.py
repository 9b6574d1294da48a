"""The path from one simulated host to another: how long a segment takes, and whether it gets through at all.

Loss shows as delay, because TCP sends again. Every draw is a keyed hash of (seed, link, connection, offset), so that
a fault that adds or removes a segment elsewhere moves nothing here; a link without chance draws nothing at all.
"""

from __future__ import annotations

from typing import Final

from faultline.errors import UsageError
from faultline.faults.chance import Chance

RETRANSMIT_FIRST_S: Final = 0.2
"""The first retransmission timeout (Linux: TCP_RTO_MIN); each further one doubles."""
RETRANSMIT_MAX_S: Final = 120.0
_LOSSES_MAX: Final = 15


def retransmitted_at_s(sent_at_s: float, open_at_s: float) -> float:
    """When a segment first sent at ``sent_at_s`` is sent again after the path opened at ``open_at_s``."""
    at_s, pause_s = sent_at_s, RETRANSMIT_FIRST_S
    while at_s < open_at_s:
        at_s += pause_s
        pause_s = min(pause_s * 2, RETRANSMIT_MAX_S)
    return at_s


def _check(latency_s: float, jitter_s: float, rate: float, loss: float, fragment_bytes: tuple[int, int]) -> None:
    if min(latency_s, jitter_s, rate) < 0:
        raise UsageError("a link's latency, jitter and rate are zero or more")
    if not 0 <= loss < 1:
        raise UsageError(f"a link's loss of {loss} is not in [0, 1): use partition() to lose everything")
    if any(fragment_bytes) and not 0 < fragment_bytes[0] <= fragment_bytes[1]:
        raise UsageError(f"fragment_bytes {fragment_bytes} is not (smallest, largest) with 0 < smallest")


class Link:
    """One direction between two hosts. Changed by :meth:`configure` only; ``plain`` is its fast path."""

    __slots__ = ("_key", "blocked", "busy_until_s", "fragment_bytes", "jitter_s", "latency_s", "loss", "plain",
                 "rate_bytes_per_s")  # fmt: skip

    def __init__(self, seed: int, source: str, destination: str, latency_s: float, jitter_s: float) -> None:
        self._key = (seed, "link", source, destination)
        self.busy_until_s = 0.0
        self.latency_s = latency_s
        self.jitter_s = jitter_s
        self.rate_bytes_per_s: float | None = None
        self.loss = 0.0
        self.fragment_bytes: tuple[int, int] | None = None
        self.blocked = False
        self.plain = True
        self.configure()

    def configure(
        self,
        *,
        latency_s: float | None = None,
        jitter_s: float | None = None,
        rate_bytes_per_s: float | None = None,
        loss: float | None = None,
        fragment_bytes: tuple[int, int] | None = None,
        blocked: bool | None = None,
    ) -> None:
        """Set what is given. A rate of 0 and fragments of (0, 0) mean none. Raises UsageError for impossible values."""
        _check(latency_s or 0.0, jitter_s or 0.0, rate_bytes_per_s or 0.0, loss or 0.0, fragment_bytes or (0, 0))
        self.latency_s = self.latency_s if latency_s is None else latency_s
        self.jitter_s = self.jitter_s if jitter_s is None else jitter_s
        self.loss = self.loss if loss is None else loss
        self.blocked = self.blocked if blocked is None else blocked
        if rate_bytes_per_s is not None:
            self.rate_bytes_per_s = rate_bytes_per_s or None
        if fragment_bytes is not None:
            self.fragment_bytes = fragment_bytes if any(fragment_bytes) else None
        self.plain = not (self.jitter_s or self.loss or self.rate_bytes_per_s or self.fragment_bytes or self.blocked)

    def delay_s(self, size_bytes: int, now_s: float, *key: object) -> float:
        """How long a segment of ``size_bytes`` that leaves at ``now_s`` is on its way."""
        delay_s = self.latency_s
        if self.jitter_s or self.loss:
            chance = Chance(*self._key, *key)
            if self.jitter_s:
                delay_s += self.jitter_s * chance.random()
            if self.loss:
                delay_s += self._losses_s(chance)
        if self.rate_bytes_per_s:
            start_s = max(self.busy_until_s, now_s)
            self.busy_until_s = start_s + size_bytes / self.rate_bytes_per_s
            delay_s += self.busy_until_s - now_s
        return delay_s

    def _losses_s(self, chance: Chance) -> float:
        total_s, pause_s = 0.0, RETRANSMIT_FIRST_S
        for _ in range(_LOSSES_MAX):
            if not chance.hits(self.loss):
                break
            total_s += pause_s
            pause_s = min(pause_s * 2, RETRANSMIT_MAX_S)
        return total_s

    def piece_bytes(self, size_bytes: int, *key: object) -> int:
        """How many of the next ``size_bytes`` go into one segment."""
        if self.fragment_bytes is None:
            return size_bytes
        low, high = self.fragment_bytes
        return min(size_bytes, low + int(Chance(*self._key, "fragment", *key).random() * (high - low + 1)))

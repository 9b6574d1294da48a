"""Slow networks: time that bytes take, and how few of them pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from faultline.faults.actions import Action, Delay, Shape
from faultline.faults.base import at_least
from faultline.faults.chance import Chance
from faultline.faults.families import DirectedCondition
from faultline.faults.points import Moment
from faultline.units import Bytes, BytesPerSecond, Seconds


@dataclass(frozen=True, kw_only=True)
class Latency(DirectedCondition):
    """Bytes arrive later.

    In the real world: distance, a congested link, a mobile network. Throughput and order on a connection stay.
    ``delay`` (a duration, default 100ms) is added to each segment, more or less ``jitter`` (a duration, default 0s,
    drawn evenly for each segment). ``direction`` is ``up`` (client to venue), ``down`` or ``both`` (default: each way
    waits). ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that timeouts fit the network, and that slow answers are not taken for lost ones.
    """

    kind = "latency"
    synonyms: ClassVar[Mapping[str, str]] = {}

    delay_s: Seconds = 0.1
    jitter_s: Seconds = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("delay", self.delay_s, 0)
        at_least("jitter", self.jitter_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Delay the segment."""
        if not self.jitter_s:
            return (Delay(self.delay_s),)
        return (Delay(max(0.0, self.delay_s + chance.uniform(-self.jitter_s, self.jitter_s))),)


@dataclass(frozen=True, kw_only=True)
class Bandwidth(DirectedCondition):
    """Bytes pass no faster than a rate.

    In the real world: a saturated uplink, a throttled account, a proxy short of processor time.
    ``rate`` (a data rate, default 64KiB/s) holds for each connection and direction by itself. ``direction`` is
    ``up``, ``down`` or ``both`` (default). ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that a client with a full pipe keeps its deadlines, or says so, instead of piling up work.
    """

    kind = "bandwidth"

    rate_bytes_per_s: BytesPerSecond = 65536.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.rate_bytes_per_s < float("inf"):
            raise ValueError("rate lets nothing pass; give a rate such as 64KiB/s, or use timeout for a black hole")

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Slow it down."""
        return (Shape(rate_bytes_per_s=self.rate_bytes_per_s),)


@dataclass(frozen=True, kw_only=True)
class Slicer(DirectedCondition):
    """Bytes arrive in small pieces.

    In the real world: TCP keeps the order of bytes and nothing else; small segments, a slow sender or a proxy cut
    what was written in one go anywhere.
    ``piece`` (a size, default 16B) is how long a piece is. ``direction`` is ``up``, ``down`` or ``both`` (default).
    ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that a client's parser does not rely on getting a whole message with one read.
    """

    kind = "slicer"

    piece_bytes: Bytes = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("piece", self.piece_bytes, 1)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Cut it into pieces."""
        return (Shape(piece_bytes=self.piece_bytes),)

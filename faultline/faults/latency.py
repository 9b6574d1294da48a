"""Slow networks: time that bytes take, and how few of them pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from faultline.faults.actions import Action, Delay, Flip, Shape
from faultline.faults.base import at_least
from faultline.faults.chance import Chance
from faultline.faults.families import DirectedCondition
from faultline.faults.points import Moment
from faultline.units import Bytes, BytesPerSecond, Fraction, Seconds

_SIZES_DRAWN: Final = 64
"""How many sizes are drawn for the pieces of one segment; longer segments repeat them."""
_TRIES_MAX: Final = 6
"""A segment is lost that often at most."""


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
    ``piece`` (a size, default 16B) is how long a piece is, more or less ``variation`` (a size, default 0B), and ``gap``
    (a duration, default 0s) the pause after each. ``direction`` is ``up``, ``down`` or ``both`` (default). ``on`` is
    ``rest``, ``stream`` or ``*`` (default).

    Proves that a client's parser does not rely on getting a whole message with one read.
    """

    kind = "slicer"

    piece_bytes: Bytes = 16
    variation_bytes: Bytes = 0
    gap_s: Seconds = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("piece", self.piece_bytes, 1)
        at_least("variation", self.variation_bytes, 0)
        at_least("gap", self.gap_s, 0)
        if self.variation_bytes >= self.piece_bytes:
            raise ValueError(
                f"variation ({self.variation_bytes}B) is not smaller than piece ({self.piece_bytes}B), "
                "so a piece could have no byte"
            )

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Cut it into pieces."""
        if not self.variation_bytes:
            return (Shape(piece_bytes=self.piece_bytes, gap_s=self.gap_s),)
        least, most = self.piece_bytes - self.variation_bytes, self.piece_bytes + self.variation_bytes
        count = min(_SIZES_DRAWN, moment.size_bytes // least + 1)
        sizes = tuple(int(chance.uniform(least, most + 1)) for _ in range(count))
        return (Shape(pieces_bytes=sizes, gap_s=self.gap_s),)


@dataclass(frozen=True, kw_only=True)
class Loss(DirectedCondition):
    """Some segments are lost, and TCP sends them again.

    In the real world: a radio link, a queue that overflows, a bad cable. No byte is missing in the end; those behind a
    lost segment wait with it.
    ``rate`` (a percentage, default 10%) is how many segments are lost, each try by itself; ``retransmit`` (a duration,
    default 200ms) how long until the first try again, twice as long for each further one. ``direction`` is ``up``,
    ``down`` or ``both`` (default). ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that a stall of a second on an open connection is not taken for its end.
    """

    kind = "loss"

    rate: Fraction = 0.1
    retransmit_s: Seconds = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate is {self.rate}; it lies between 0% and 100%")
        at_least("retransmit", self.retransmit_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Delay a lost segment until a try of it gets through."""
        lost = 0
        while lost < _TRIES_MAX and chance.hits(self.rate):
            lost += 1
        return (Delay(self.retransmit_s * (2**lost - 1)),) if lost else ()


@dataclass(frozen=True, kw_only=True)
class Corrupt(DirectedCondition):
    """Some bytes arrive changed.

    In the real world: TCP's checksum misses one damaged packet in some ten thousand, and boxes on the way compute it
    anew; without TLS nobody else notices.
    ``rate`` (a percentage, default 10%) is how many segments have one bit changed. ``direction`` is ``up``, ``down`` or
    ``both`` (default). ``on`` is ``rest``, ``stream`` or ``*`` (default).

    Proves that a client checks what it reads, and that what does not parse is not taken for "it failed".
    """

    kind = "corrupt"

    rate: Fraction = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate is {self.rate}; it lies between 0% and 100%")

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Change one bit of a segment that is hit."""
        if not moment.size_bytes or not chance.hits(self.rate):
            return ()
        return (Flip(int(chance.uniform(0, moment.size_bytes)), int(chance.uniform(0, 8))),)

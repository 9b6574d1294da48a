"""Which toxics stand for which fault: one table, and the reasons why the others are refused.

A toxic is a condition: it is there from one time to another, for every connection or for a share of them. It counts
no connections and has no place in a stream of bytes, so what asks for the third connection, or for one cut at byte
1000, cannot be said with it. A stock server has the toxics of Toxiproxy 2.12; the embedded one has faultline's own as
well (docs/proxy.md).

``timeout`` and ``partition`` hold bytes back until they are over. Toxiproxy's own `timeout` throws them away and ends
the connections when it is removed; `bandwidth` with rate 0 holds them, and lets them go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from faultline.faults import (
    Bandwidth,
    Corrupt,
    CutAfter,
    HalfOpen,
    Latency,
    LimitData,
    Loss,
    Partition,
    Refuse,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Truncate,
)
from faultline.faults.actions import Action, Cut, Delay, Flip, Hold, Shape
from faultline.faults.base import Fault
from faultline.faults.points import Plane

Stream = Literal["upstream", "downstream"]
Seen = Literal["bytes", "held", "limit", "connect", "end"]
"""What shows that a toxic has struck a connection while it was there: bytes that pass it, bytes or a connection that it
holds, so many bytes that it ends the connection, a new connection, or the end of a stream."""

ROUNDING_MAX: Final = 0.05
"""Attributes are whole numbers. A value that changes by more than this share when it is rounded is refused."""

_STREAMS: Final[Mapping[str, tuple[Stream, ...]]] = {
    "up": ("upstream",), "down": ("downstream",), "both": ("upstream", "downstream"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ToxicSpec:
    """One toxic to add to a proxy. Times are milliseconds (``delay`` of `slicer`: microseconds), rates KB/s."""

    type: str
    stream: Stream
    attributes: Mapping[str, int | float | str]
    toxicity: float = 1.0

    @property
    def way(self) -> str:
        """The direction as faults call it."""
        return "up" if self.stream == "upstream" else "down"


@dataclass(frozen=True, slots=True)
class Row:
    """How a kind of fault is carried: the toxic, its attributes, how one sees that it struck, and what is in the way.

    ``acts`` is what it does, for the receipt. ``stock`` says whether a stock server has that toxic. ``refuses`` gives a
    reason, or the empty string.
    """

    toxic: str
    attributes: Callable[[Any], Mapping[str, int | float | str]]
    acts: Callable[[Any], Action]
    seen: Seen = "bytes"
    stock: bool = True
    refuses: Callable[[Any], str] = lambda fault: ""


def _whole(value: float, what: str) -> int:
    rounded = round(value)
    if abs(rounded - value) > ROUNDING_MAX * value:
        raise ValueError(f"{what} of a toxic is a whole number, and {value:g} is too far from one")
    return rounded


def _ms(value_s: float) -> int:
    return _whole(value_s * 1000, "a time in milliseconds")


def _only_fin(fault: LimitData | Truncate) -> str:
    return "" if fault.how == "fin" else "limit_data ends a connection in an orderly way; leave out how"


def _truncate_refuses(fault: Truncate) -> str:
    if not fault.given & {"probability", "during_s", "for_s"}:
        return "a toxic cannot end just one connection; give during or probability, or a time with at or every"
    return _only_fin(fault)


def _cut_after_refuses(fault: CutAfter) -> str:
    timed = fault.given & {"at_s", "for_s", "during_s", "every_s", "after"}
    return "a toxic that is removed forgets the ends that are still due; leave out its times" if timed else ""


CARRIED: Final[Mapping[type[Fault], Row]] = {
    Latency: Row(
        "latency",
        lambda fault: {"latency": _ms(fault.delay_s), "jitter": _ms(fault.jitter_s)},
        lambda fault: Delay(fault.delay_s),
    ),
    Bandwidth: Row(
        "bandwidth",
        lambda fault: {"rate": _whole(fault.rate_bytes_per_s / 1000, "a rate in KB/s")},
        lambda fault: Shape(rate_bytes_per_s=fault.rate_bytes_per_s),
    ),
    Slicer: Row(
        "slicer",
        lambda fault: {
            "average_size": fault.piece_bytes,
            "size_variation": fault.variation_bytes,
            "delay": _whole(fault.gap_s * 1e6, "a pause in microseconds"),
        },
        lambda fault: Shape(piece_bytes=fault.piece_bytes, gap_s=fault.gap_s),
    ),
    SlowClose: Row(
        "slow_close",
        lambda fault: {"delay": _ms(fault.delay_s)},
        lambda fault: Delay(fault.delay_s),
        seen="end",
    ),
    Timeout: Row("bandwidth", lambda fault: {"rate": 0}, lambda fault: Hold(), seen="held"),
    Partition: Row("bandwidth", lambda fault: {"rate": 0}, lambda fault: Hold(), seen="held"),
    LimitData: Row(
        "limit_data",
        lambda fault: {"bytes": fault.limit_bytes},
        lambda fault: Cut(after_bytes=fault.limit_bytes, how="fin"),
        seen="limit",
        refuses=_only_fin,
    ),
    Truncate: Row(
        "limit_data",
        lambda fault: {"bytes": fault.offset_bytes},
        lambda fault: Cut(after_bytes=fault.offset_bytes, how="fin"),
        seen="limit",
        refuses=_truncate_refuses,
    ),
    Loss: Row(
        "loss",
        lambda fault: {"rate": fault.rate, "retransmit": _ms(fault.retransmit_s)},
        lambda fault: Delay(fault.retransmit_s),
        stock=False,
    ),
    Corrupt: Row("corrupt", lambda fault: {"rate": fault.rate}, lambda fault: Flip(0, 0), stock=False),
    Refuse: Row("refuse", lambda fault: {}, lambda fault: Cut(how="rst"), seen="connect", stock=False),
    CutAfter: Row(
        "cut_after",
        lambda fault: {"timeout": _ms(fault.age_s), "how": fault.how},
        lambda fault: Cut(how=fault.how, after_s=fault.age_s),
        seen="connect",
        stock=False,
        refuses=_cut_after_refuses,
    ),
}
"""Faults that hold for a while, and strikes that hit every connection of a while."""

_ONE_TOXIC: Final = frozenset({"refuse", "cut_after"})
"""Toxics about a connection as a whole, whatever their stream."""

PULSES: Final[Mapping[str, ToxicSpec]] = {
    "rst": ToxicSpec("reset_peer", "downstream", {"timeout": 0}),
    "silence": ToxicSpec("half_open", "downstream", {"timeout": 0}),
}
"""How open connections are struck by the clock: this toxic, added and removed at once. ``fin`` needs none: the proxy
is disabled and enabled again."""

_BY_THE_CLOCK: Final = (ResetPeer, HalfOpen, Truncate)


def toxics_of(fault: Fault) -> tuple[ToxicSpec, ...]:
    """The toxics that stand for a fault that is not refused; none for strikes by the clock, which are pulses."""
    if fault.by_the_clock:
        return ()
    row = CARRIED[type(fault)]
    streams: tuple[Stream, ...] = _STREAMS[getattr(fault, "direction", "both")]
    if row.toxic in _ONE_TOXIC:
        streams = ("downstream",)
    return tuple(ToxicSpec(row.toxic, stream, row.attributes(fault), fault.probability) for stream in streams)


def refuses(fault: Fault, *, stock: bool) -> str:
    """Why no toxic stands for a fault of the stream plane, or the empty string. ``stock``: the server is not ours."""
    if fault.plane is not Plane.STREAM:
        return ""
    if fault.connection is not None:
        return "a toxic does not know the number of a connection"
    if fault.by_the_clock:
        return _pulse_refuses(fault, stock)
    row = CARRIED.get(type(fault))
    if row is None or fault.nth is not None or fault.first is not None:
        return "a toxic counts nothing and strikes at no byte; give a time with at or every"
    if stock and not row.stock:
        return f"Toxiproxy has no toxic for it; the embedded server has {row.toxic} (leave out toxiproxy)"
    if fault.probability < 1 and stock:
        return "a server does not tell which connections its toxicity hits, so nobody would know whether it struck"
    try:
        toxics = toxics_of(fault)
    except ValueError as error:
        return str(error)
    if fault.probability < 1 and len(toxics) > 1:
        return "toxicity is drawn for each direction by itself; give direction up or down"
    return row.refuses(fault)


def _pulse_refuses(fault: Fault, stock: bool) -> str:
    if not isinstance(fault, _BY_THE_CLOCK):
        return f"no toxic stands for {fault.kind}"
    if fault.ending == "rst" and stock:
        return "Toxiproxy ends a connection that is older than the toxic with a FIN; truncate does that by the clock"
    if fault.ending == "silence" and stock:
        return "Toxiproxy has no toxic that leaves both ends open for good; the embedded server has half_open"
    return ""

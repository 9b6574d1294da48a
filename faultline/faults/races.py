"""Races that a venue's two ways of telling have with each other, and cancels with fills."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.faults.late import Late
from faultline.units import Seconds


@dataclass(frozen=True, kw_only=True)
class FillBeforeAck(Late):
    """The stream tells of an order's fill before the answer to the order is there.

    In the real world: the engine is done while the gateway's answer still waits in a queue. The fill names an order
    id that the client has never heard of.
    ``by`` (a duration, default 1s) is how much later the answer comes: choose more than the venue's ``fill_delay``
    and less than the client's timeout. By default it strikes every ``POST``.

    Proves that a client keeps a fill whose order it does not know yet, and counts it once.
    """

    kind = "fill_before_ack"
    phases = frozenset({"after"})

    by_s: Seconds = 1.0


@dataclass(frozen=True, kw_only=True)
class CancelRace(Late):
    """A cancel reaches the venue so late that the order may be filled first.

    In the real world: the most ordinary race in trading. The answer is then "no such order", and the fill counts.
    ``by`` (a duration, default 500ms) is how much later it arrives: choose about the venue's ``fill_delay``.
    By default it strikes every ``DELETE``; at OKX a cancel is ``POST /api/v5/trade/cancel-order``.

    Proves that a client does not take its own cancel for the end of the order.
    """

    kind = "cancel_race"
    phases = frozenset({"before"})

    on: str = "DELETE *"
    by_s: Seconds = 0.5

"""Bars of a market that is scenery: the same for the same contract and time, whoever asks and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from faultline.venues.base import Context
from faultline.venues.matching import MARKET_PRICE
from faultline.venues.profiles.projectx.wire import TICK_SIZE, Bars, Unreadable, iso

UNITS_S: Final = {1: 1, 2: 60, 3: 3600, 4: 86_400, 5: 604_800, 6: 2_592_000}
"""Second, minute, hour, day, week and month (of 30 days)."""
BARS_MAX: Final = 20_000


def bars(context: Context, wanted: Bars) -> list[Mapping[str, Any]]:
    """The bars of a window, the newest first, at most ``limit``. Raises Unreadable."""
    if wanted.unit not in UNITS_S or wanted.unit_number < 1 or wanted.limit < 1:
        raise Unreadable("unit is 1 to 6; unitNumber and limit are 1 or more")
    length_s = UNITS_S[wanted.unit] * wanted.unit_number
    begin_s = wanted.start_time.timestamp()
    at_s = min(wanted.end_time.timestamp(), context.wall_s()) // length_s * length_s
    made: list[Mapping[str, Any]] = []
    while at_s >= begin_s and len(made) < min(wanted.limit, BARS_MAX):
        chance = context.chance("bar", wanted.contract_id, length_s, at_s)
        opened, closed, reach = (TICK_SIZE * chance.chosen(range(9)) for _ in range(3))
        made.append(
            {
                "t": iso(round(at_s * 1000)),
                "o": MARKET_PRICE + opened,
                "h": MARKET_PRICE + max(opened, closed) + reach,
                "l": MARKET_PRICE + min(opened, closed) - reach,
                "c": MARKET_PRICE + closed,
                "v": 1 + chance.chosen(range(100)),
            }
        )
        at_s -= length_s
    return made

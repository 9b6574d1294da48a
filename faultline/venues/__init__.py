"""The remote API: its contract, its order engine and ledger, and the adapters that put it on a wire."""

from __future__ import annotations

from typing import Final

from faultline.plugins import Table
from faultline.venues.generic import PROFILE as GENERIC
from faultline.venues.profile import Profile, why_no_profile
from faultline.venues.profiles.binance import PROFILE as BINANCE
from faultline.venues.profiles.gate import PROFILE as GATE
from faultline.venues.profiles.mexc import PROFILE as MEXC
from faultline.venues.profiles.okx import PROFILE as OKX
from faultline.venues.profiles.payments import PROFILE as PAYMENTS
from faultline.venues.profiles.projectx import PROFILE as PROJECTX

PROFILES: Final[Table[Profile]] = Table(
    "faultline.venues",
    {profile.name: profile for profile in (GENERIC, BINANCE, OKX, GATE, MEXC, PROJECTX, PAYMENTS)},
    why_no_profile,
)
"""Every venue that a scenario can name: ours, and those of installed packages."""

__all__ = ["PROFILES", "Profile"]

"""Gate v4, spot."""

from __future__ import annotations

from typing import Final

from faultline.venues.profile import Profile
from faultline.venues.profiles.gate.settings import ENDPOINTS, GateSettings
from faultline.venues.profiles.gate.venue import GateVenue
from faultline.venues.profiles.venue import spot_profile

PROFILE: Final[Profile] = spot_profile(GateSettings, GateVenue, ENDPOINTS)

"""OKX v5, spot."""

from __future__ import annotations

from typing import Final

from faultline.venues.profile import Profile
from faultline.venues.profiles.okx.settings import ENDPOINTS, OkxSettings
from faultline.venues.profiles.okx.venue import OkxVenue
from faultline.venues.profiles.venue import spot_profile

PROFILE: Final[Profile] = spot_profile(OkxSettings, OkxVenue, ENDPOINTS)

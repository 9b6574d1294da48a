"""ProjectX, the gateway behind TopstepX: REST and two SignalR hubs (docs/venues.md)."""

from __future__ import annotations

from typing import Final

from faultline.faults.points import Plane
from faultline.venues.profile import Profile
from faultline.venues.profiles.projectx.hubs import HUBS
from faultline.venues.profiles.projectx.settings import ProjectXSettings
from faultline.venues.profiles.projectx.venue import KEY, USER, ProjectXVenue
from faultline.venues.trading import DECISIONS

_POSTS: Final = (
    "Auth/loginKey",
    "Auth/validate",
    "Account/search",
    "Contract/available",
    "Contract/search",
    "Contract/searchById",
    "Order/place",
    "Order/cancel",
    "Order/modify",
    "Order/search",
    "Order/searchOpen",
    "Position/searchOpen",
    "Position/closeContract",
    "Position/partialCloseContract",
    "Trade/search",
    "History/retrieveBars",
)

PROFILE: Final = Profile(
    name="projectx",
    settings=ProjectXSettings,
    endpoints={
        Plane.MESSAGE: (
            *(f"POST /api/{path}" for path in _POSTS),
            "GET /api/Status/ping",
            *(f"POST {path}/negotiate" for path in HUBS),
            *(f"GET {path}" for path in HUBS),
            *(f"stream {name}" for name in HUBS.values()),
        ),
        Plane.VENUE: DECISIONS,
        Plane.STREAM: ("rest", "stream"),
    },
    contract=ProjectXSettings.contract,
    build=ProjectXVenue,
    credentials=(USER, KEY),
)

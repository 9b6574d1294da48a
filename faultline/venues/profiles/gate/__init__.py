"""Gate v4, spot."""

from __future__ import annotations

from typing import Any, Final

from faultline.faults.injector import Injector
from faultline.faults.points import Plane
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution
from faultline.venues.base import Context
from faultline.venues.profile import Profile
from faultline.venues.profiles.gate.settings import ENDPOINTS, GateSettings
from faultline.venues.profiles.gate.venue import GateVenue
from faultline.venues.profiles.spot import KEY, SECRET
from faultline.venues.profiles.venue import Surroundings
from faultline.venues.trading import DECISIONS


def build(
    settings: Any, context: Context, history: History, attribution: Attribution, injector: Injector, aliases: Aliases
) -> GateVenue:
    """The venue of a run."""
    return GateVenue(settings, Surroundings(context, history, attribution, injector, aliases))


PROFILE: Final = Profile(
    name="gate",
    settings=GateSettings,
    endpoints={
        Plane.MESSAGE: (*ENDPOINTS, "stream user"),
        Plane.VENUE: DECISIONS,
        Plane.STREAM: ("rest", "stream"),
    },
    contract=GateSettings.contract,
    build=build,
    credentials=(KEY, SECRET),
    tokens=False,
)

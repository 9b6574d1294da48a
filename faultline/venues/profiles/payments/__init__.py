"""A payments API with the idempotency rules of Stripe's v1 (docs/venues.md)."""

from __future__ import annotations

from typing import Final

from faultline.faults.points import Plane
from faultline.venues.profile import Profile
from faultline.venues.profiles.payments.settings import PaymentsSettings
from faultline.venues.profiles.payments.venue import KEY, PaymentsVenue
from faultline.venues.profiles.payments.wire import ENDPOINTS
from faultline.venues.trading import DECISIONS

PROFILE: Final = Profile(
    name="payments",
    settings=PaymentsSettings,
    endpoints={Plane.MESSAGE: ENDPOINTS, Plane.VENUE: DECISIONS, Plane.STREAM: ("rest",)},
    contract=PaymentsSettings.contract,
    build=PaymentsVenue,
    credentials=("faultline", KEY),
    tokens=False,
)

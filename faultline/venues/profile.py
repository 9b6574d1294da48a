"""What a venue profile is: a name, its settings, its endpoints, and how to build it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from faultline.faults.actions import ExpireTokens
from faultline.faults.injector import Injector
from faultline.faults.points import Plane
from faultline.history import Aliases, Contract, History
from faultline.history.attribution import Attribution
from faultline.history.contract import ClientPolicy
from faultline.venues.base import Context, Venue
from faultline.venues.broker import Side


class SimulatedVenue(Venue, Protocol):
    """A venue that is simulated here, with what a run needs beyond the wire."""

    def idle(self) -> bool:
        """Nothing is left to happen by itself: no fill is outstanding."""
        ...

    def expire_tokens(self, action: ExpireTokens) -> None:
        """Carry out the action."""
        ...


@runtime_checkable
class Traded(Protocol):
    """A venue on whose account others may trade too."""

    def trade_elsewhere(self, symbol: str, side: Side, quantity: Decimal) -> None:
        """Somebody else places a market order, which is filled at once."""
        ...


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of venue. ``settings`` is the frozen dataclass that a scenario's ``venue:`` fills.

    ``endpoints`` are the endpoints of its fault points per plane, by which a misspelt ``on`` is found while
    planning. ``credentials`` are what the client logs in with. ``tokens``: it has some that can expire.
    """

    name: str
    settings: type[Any]
    endpoints: Mapping[Plane, tuple[str, ...]]
    contract: Callable[[Any, ClientPolicy], Contract]
    build: Callable[[Any, Context, History, Attribution, Injector, Aliases], SimulatedVenue]
    credentials: tuple[str, str] = ("client", "secret")
    tokens: bool = True


def why_no_profile(name: str, found: object) -> str:
    """Why ``found`` cannot be the venue profile called ``name``, or the empty string."""
    if not isinstance(found, Profile):
        return "is no faultline.venues.Profile"
    return "" if found.name == name else f"calls itself {found.name!r} (name); both names must be the same"

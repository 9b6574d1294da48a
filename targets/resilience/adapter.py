"""What a venue brings along for the components: its requests, its access, its stream, and how the stream is read.

One function per venue makes an :class:`Adapter`; :func:`targets.resilience.system.venue_system` puts it together with
everything that is the same for all venues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from targets.resilience.connection_manager import SignalRConnectionManager
from targets.resilience.order_channels import Reading
from targets.resilience.polled_stream import PolledStream
from targets.resilience.stream_dialect import Dialect
from targets.resilience.venue import Venue


class Access(Protocol):
    """What proves who we are: a token manager, or where requests are signed one by one, the venue's clock."""

    async def initialize(self) -> None:
        """Take up what an earlier process left. Sends nothing."""
        ...

    async def close(self) -> None:
        """End all work."""
        ...

    def is_expired(self) -> bool:
        """Whether the venue would not accept a request now."""
        ...

    def is_ready(self) -> bool:
        """Whether a request can be made at once."""
        ...

    async def get_ready(self) -> None:
        """Make it so."""
        ...

    async def get_valid_token(self) -> str:
        """A token that is good for a request; empty where there are none."""
        ...

    def reject(self, token: str) -> None:
        """The venue did not accept ``token``."""
        ...


Stream = SignalRConnectionManager | PolledStream
Subscription = tuple[str, *tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Adapter:
    """One venue. ``dialect`` None: it has no stream that could be read, and is asked instead.

    ``stream_path`` is where the stream is, ``subscriptions`` are methods or topics with their arguments.
    """

    access: Access
    venue: Venue
    reading: Reading
    dialect: Dialect | None = None
    stream_path: str = ""
    subscriptions: tuple[Subscription, ...] = ()

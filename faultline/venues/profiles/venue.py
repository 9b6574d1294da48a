"""What the spot venues do alike: they trade, keep an account, move books, and close for maintenance.

A venue of its own adds how requests are signed, read and answered, and what its streams say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from faultline.faults.actions import ExpireTokens
from faultline.faults.injector import Injector
from faultline.faults.points import Plane
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution, Identity
from faultline.history.event import Connected
from faultline.venues.base import Connection, Context, Request, Response
from faultline.venues.broker import Entry, Side
from faultline.venues.profile import Profile, SimulatedVenue
from faultline.venues.profiles.account import Account
from faultline.venues.profiles.channels import Channels
from faultline.venues.profiles.journal import Journal
from faultline.venues.profiles.market import Book, Instrument, Market, Update
from faultline.venues.profiles.spot import KEY, SECRET, SpotSettings
from faultline.venues.trading import DECISIONS, Trading


class Surroundings(NamedTuple):
    """What a venue is built into."""

    context: Context
    history: History
    attribution: Attribution
    injector: Injector
    aliases: Aliases


class SpotVenue(ABC):
    """Implements :class:`faultline.venues.profile.SimulatedVenue` but for requests and the words of streams."""

    stream = "user"
    going_away: ClassVar[tuple[int, str]] = (1001, "")
    """How streams are closed for maintenance."""

    def __init__(
        self, settings: SpotSettings, around: Surroundings, *, life_s: float | None, write_id: Callable[[str, int], str]
    ) -> None:
        context = self._context = around.context
        self._history = around.history
        # Whatever a client sends, these are never written down as they are.
        around.aliases.name("key", KEY)
        around.aliases.name("secret", SECRET)
        self._aliases = around.aliases
        self._terms = settings
        self._journal = Journal(context.wall_s() - context.now_s())
        self._channels = Channels(context, life_s=life_s)
        self._market = Market(
            context, settings.instruments(), settings.book_every_s, watched=self._watched, moved=self._moved
        )
        self._trading = Trading(
            settings,
            settings.scope(),
            context,
            around.history,
            around.attribution,
            around.injector,
            publish=self._entered,
            new_id=lambda kind: write_id(kind, int(context.new_id(kind).removeprefix(kind))),
        )
        self._broker = self._trading.broker
        self._account = Account(settings.funds, self._market.instruments, self._broker)
        self._noticed = False

    @abstractmethod
    def identify(self, request: Request) -> Identity:
        """What a request shows of itself. Never raises."""

    @abstractmethod
    def endpoint(self, request: Request) -> str:
        """The request's endpoint in fault points."""

    @abstractmethod
    def handle(self, request: Request) -> Response:
        """Answer a request. Never raises."""

    @abstractmethod
    def _tell(self, entry: Entry, entity: str) -> None:
        """Push what a line of the ledger means to whoever is subscribed."""

    @abstractmethod
    def _watched(self, symbol: str) -> bool:
        """Whether anybody is subscribed to a book."""

    @abstractmethod
    def _moved(self, instrument: Instrument, book: Book, update: Update) -> None:
        """Push an update of a book."""

    @abstractmethod
    def _notice(self, connection: Connection) -> None:
        """Say that the venue will close soon, if it says that at all."""

    def token_of(self, request: Request) -> str:
        """The empty string: what opens the door here is a signature, not a token."""
        return ""

    def effects(self) -> int:
        """How many changes the venue has made."""
        return self._trading.effects

    def idle(self) -> bool:
        """Nothing is left to happen by itself."""
        return self._trading.idle

    def trade_elsewhere(self, symbol: str, side: Side, quantity: Decimal) -> None:
        """Somebody else trades on the account."""
        self._trading.elsewhere(symbol, side, quantity)

    def expire_tokens(self, action: ExpireTokens) -> None:  # noqa: B027 -- most have none
        """API keys do not expire."""

    def disconnected(self, connection: Connection, code: int) -> None:
        """A stream connection is gone."""
        self._channels.closed(connection)

    # For the venues

    def _now_ms(self) -> int:
        return round(self._context.wall_s() * 1000)

    def _entered(self, entry: Entry, entity: str) -> None:
        self._journal.enter(entry)
        self._tell(entry, entity)

    def _subscribed(self, connection: Connection, *topics: str) -> None:
        event = Connected(
            t=self._context.now_s(), connection=connection.ordinal, stream=self.stream, topics=topics, token=""
        )
        self._history.append(event)

    # Maintenance

    def _closed(self) -> bool:
        """Whether the venue is closed for maintenance."""
        at_s = self._terms.maintenance_at_s
        return at_s is not None and at_s <= self._context.now_s() < at_s + self._terms.maintenance_for_s

    def _opened(self, connection: Connection) -> bool:
        """Take a new stream connection, unless the venue is closed."""
        if self._closed():
            connection.close(*self.going_away)
            return False
        self._channels.opened(connection)
        at_s = self._terms.maintenance_at_s
        if at_s is not None and not self._noticed:
            self._noticed = True
            left_s = at_s - self._context.now_s()
            if left_s > 0:
                self._context.call_later(max(0.0, left_s - self._terms.maintenance_notice_s), self._give_notice)
                self._context.call_later(left_s, self._close_streams)
        return True

    def _give_notice(self) -> None:
        for connection in self._channels.connections():
            self._notice(connection)

    def _close_streams(self) -> None:
        for connection in self._channels.connections():
            connection.close(*self.going_away)


def spot_profile(
    settings: type[SpotSettings],
    venue: Callable[[Any, Surroundings], SimulatedVenue],
    endpoints: Iterable[str],
    *,
    streams: bool = True,
    tokens: bool = False,
) -> Profile:
    """The profile of a spot venue. ``streams``: it has some that faults may act on."""

    def build(
        chosen: Any, context: Context, history: History, attribution: Attribution, injector: Injector, aliases: Aliases
    ) -> SimulatedVenue:
        return venue(chosen, Surroundings(context, history, attribution, injector, aliases))

    return Profile(
        name=settings.name,
        settings=settings,
        endpoints={
            Plane.MESSAGE: (*endpoints, "stream user") if streams else tuple(endpoints),
            Plane.VENUE: DECISIONS,
            Plane.STREAM: ("rest", "stream") if streams else ("rest",),
        },
        contract=settings.contract,
        build=build,
        credentials=(KEY, SECRET),
        tokens=tokens,
    )

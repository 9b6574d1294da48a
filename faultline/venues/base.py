"""The seam between a venue and a wire.

A venue is synchronous and owns no socket, clock or random number: it gets a :class:`Context`, answers a
:class:`Request` with a :class:`Response`, and pushes :class:`Message` values to the connections that subscribed.
Adapters put these on a wire; the interceptor stands between the two and carries out faults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from faultline.faults.actions import How
from faultline.faults.chance import Chance
from faultline.faults.injector import EffectKnown
from faultline.history.attribution import Identity


def _still_there() -> bool:
    return False


class Request(msgspec.Struct, frozen=True):
    """An HTTP request. Header names are lower case; ``path`` is without the query.

    ``connection`` numbers TCP connections from 1. ``sent_s`` is when the client sent it, where the world knows.
    ``number`` counts the arrivals of a run from 1; the interceptor sets it. ``gone`` tells whether the client has hung
    up meanwhile. ``target`` is path and query as they were sent: what signatures are made over.
    """

    method: str
    path: str
    query: Mapping[str, str] = msgspec.field(default_factory=dict)
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    connection: int = 0
    sent_s: float | None = None
    number: int = 0
    gone: Callable[[], bool] = _still_there
    target: str = ""

    @property
    def raw_query(self) -> str:
        """The query as it was sent, still percent-encoded."""
        return self.target.partition("?")[2]


class Response(msgspec.Struct, frozen=True):
    """An HTTP response with its whole body."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)


class Begun(Response, frozen=True):
    """A response whose body is still coming: ``body`` is its beginning.

    ``length`` is the size of all of it; None where nobody knows, and then it goes out chunked.
    """

    length: int | None = None


class Broken(msgspec.Struct, frozen=True):
    """Instead of a response: send ``partial`` (bytes of the serialised response), then end the connection ``how``.

    ``more_bytes`` follow from what was still coming, where a :class:`Begun` response is cut beyond its beginning.
    """

    how: How
    partial: bytes = b""
    more_bytes: int = 0


class Message(msgspec.Struct, frozen=True):
    """One message from a stream to one connection.

    ``entity`` is ``intent/kth effect`` (the identity of its fault points), ``subject`` the fill or order that it is
    about, ``sequence`` the venue's own number (0 where it has none). ``control`` messages (heartbeats, acks,
    snapshots) are not data: ``silent_stream`` lets them pass. ``answers`` names the client's call that a control
    message answers: such an answer is a point of its own kind (phase ``ack``), and can be lost.
    """

    topic: str
    body: str
    sequence: int = 0
    entity: str = "-"
    subject: str = ""
    control: bool = False
    answers: str = ""


class Context(Protocol):
    """All that a venue may know of the world."""

    def now_s(self) -> float:
        """Seconds since the run began, as histories have them."""
        ...

    def wall_s(self) -> float:
        """The venue's own wall clock, seconds since 1970."""
        ...

    def new_id(self, kind: str) -> str:
        """The next id of this kind. Equal seeds give equal ids."""
        ...

    def chance(self, *key: object) -> Chance:
        """Draws for one purpose."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` after ``delay_s``."""
        ...


class Connection(Protocol):
    """One open stream connection, as a venue sees it."""

    @property
    def ordinal(self) -> int:
        """Number of the connection, from 1."""
        ...

    @property
    def request(self) -> Request:
        """The handshake: path, query and headers."""
        ...

    def push(self, message: Message) -> None:
        """Queue ``message``; order is kept. Does nothing once the connection is gone."""
        ...

    @property
    def ponged(self) -> str:
        """Payload of the last pong frame that arrived; empty before the first."""
        ...

    def ping(self, payload: str) -> None:
        """Send a ping frame, past whatever is queued. A peer that lives answers with the same payload."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """Close it the orderly way."""
        ...


class Shown(Protocol):
    """What can be told of a request from its outside."""

    def identify(self, request: Request) -> Identity:
        """What a request shows of itself, for attribution. Never raises."""
        ...

    def endpoint(self, request: Request) -> str:
        """The request's endpoint in fault points, ids replaced: ``DELETE /orders/{id}``."""
        ...

    def token_of(self, request: Request) -> str:
        """The alias of the token that a request carries, or the empty string."""
        ...


class Forwarded(msgspec.Struct, frozen=True):
    """What came of a request that was sent on: the response (or what to do instead of one), and what is known of its
    effect."""

    response: Response | Broken
    effect: EffectKnown


class Upstream(Shown, Protocol):
    """A real API that is asked for the answer."""

    async def forward(self, request: Request, late: bool) -> Forwarded:
        """Ask for the answer. ``late``: faults struck the request, so it arrives whether or not its client waits."""
        ...

    def forward_copy(self, request: Request) -> None:
        """Begin to send a copy that a fault made. Nobody waits for its answer."""
        ...


class Venue(Shown, Protocol):
    """A remote API: REST and, where it has one, a stream."""

    stream: str
    """Name of its stream in fault points: ``user`` for ``stream user``."""

    def handle(self, request: Request) -> Response:
        """Answer a request. Synchronous: its effect is in the ledger when it returns."""
        ...

    def effects(self) -> int:
        """Length of the ledger: it grows exactly when something took effect."""
        ...

    def connected(self, connection: Connection) -> None:
        """A stream connection was opened."""
        ...

    def received(self, connection: Connection, text: str) -> None:
        """A message arrived from the client on a stream connection."""
        ...

    def disconnected(self, connection: Connection, code: int) -> None:
        """A stream connection is gone."""
        ...

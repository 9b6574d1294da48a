"""What the connection manager needs to know of a protocol spoken over a WebSocket.

A :class:`Dialect` is a protocol; each connection gets a :class:`Conversation` of its own, because numbering,
half-read frames and handshakes belong to a connection. Both do no input or output: they make frames, and read them.
SignalR hubs are here; ordinary JSON streams are in :mod:`targets.resilience.plain_dialect`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from msgspec import UNSET

from targets.resilience.signalr_protocol import (
    HANDSHAKE,
    Close,
    Completion,
    HubMessage,
    HubReader,
    Invocation,
    Ping,
    encode,
)


@dataclass(frozen=True, slots=True)
class Ready:
    """The server has accepted the connection; subscriptions may be sent."""


@dataclass(frozen=True, slots=True)
class Event:
    """Data: what handlers of ``name`` are called with."""

    name: str
    arguments: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the question ``id``. An empty ``error`` is success."""

    id: str
    result: object = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The server ends the connection, or says that it is about to."""

    reason: str
    allow_reconnect: bool = True


@dataclass(frozen=True, slots=True)
class Send:
    """A frame that the protocol owes the server now."""

    frame: str


Heard = Ready | Event | Answer | Goodbye | Send


@dataclass(frozen=True, slots=True)
class Question:
    """A frame that the server has to answer, and the ``id`` of that answer."""

    id: str
    frame: str


class Conversation(Protocol):
    """One connection's side of the protocol."""

    def hello(self) -> tuple[str, ...]:
        """The frames to begin with."""
        ...

    def subscribe(self, method: str, arguments: tuple[object, ...]) -> Question:
        """Ask for a subscription."""
        ...

    def invoke(self, method: str, arguments: tuple[object, ...]) -> Question:
        """Ask for anything else."""
        ...

    def receive(self, frame: str | bytes) -> Iterable[Heard]:
        """What a frame says; nothing for mere signs of life. Raises ProtocolError."""
        ...


class Dialect(Protocol):
    """A protocol. All members are constant."""

    @property
    def handshakes(self) -> bool:
        """Whether :class:`Ready` has to be heard before anything else is sent."""
        ...

    @property
    def negotiates(self) -> bool:
        """Whether a SignalR ``negotiate`` may precede the connection."""
        ...

    @property
    def server_beats(self) -> bool:
        """Whether the server promises messages even while nothing happens, so that silence of messages is death."""
        ...

    @property
    def beat(self) -> str | None:
        """A frame that keeps the server from giving the client up; no answer is owed."""
        ...

    @property
    def probe(self) -> str | None:
        """A frame that the server must answer with a message. None: the WebSocket's own ping has to do."""
        ...

    def address(self, url: str, token: str) -> str:
        """Where to connect, the token included if that is where it goes."""
        ...

    def converse(self) -> Conversation:
        """The conversation of a new connection."""
        ...


def with_query(url: str, name: str, value: str) -> str:
    """``url`` with one more query parameter."""
    return f"{url}{'&' if '?' in url else '?'}{name}={quote(value, safe='')}"


@dataclass(frozen=True, slots=True)
class SignalRDialect:
    """ASP.NET Core SignalR hubs, JSON. The token goes into the query: a browser's WebSocket has no headers."""

    handshakes: bool = True
    negotiates: bool = True
    server_beats: bool = True
    beat: str | None = encode(Ping())
    probe: str | None = None

    def address(self, url: str, token: str) -> str:
        """Where to connect."""
        return with_query(url, "access_token", token) if token else url

    def converse(self) -> Conversation:
        """The conversation of a new connection."""
        return _HubConversation()


class _HubConversation:
    def __init__(self) -> None:
        self._reader = HubReader()
        self._asked = 0

    def hello(self) -> tuple[str, ...]:
        return (HANDSHAKE,)

    def subscribe(self, method: str, arguments: tuple[object, ...]) -> Question:
        return self.invoke(method, arguments)

    def invoke(self, method: str, arguments: tuple[object, ...]) -> Question:
        self._asked += 1
        number = str(self._asked)
        return Question(number, encode(Invocation(method, arguments, invocation_id=number)))

    def receive(self, frame: str | bytes) -> Iterable[Heard]:
        shaken = self._reader.shaken
        messages = self._reader.feed(frame)
        heard: list[Heard] = [Ready()] if self._reader.shaken and not shaken else []
        for message in messages:
            heard += _hub_heard(message)
        return heard


def _hub_heard(message: HubMessage) -> tuple[Heard, ...]:
    if isinstance(message, Invocation):
        event = Event(message.target, message.arguments)
        if message.invocation_id is None:
            return (event,)
        # Handlers give no results; without this reply the server would wait for one.
        refusal = Completion(message.invocation_id, error="this client gives no results")
        return event, Send(encode(refusal))
    if isinstance(message, Completion):
        result = None if message.result is UNSET else message.result
        error = "" if message.error is None else message.error or "an error without a text"
        return (Answer(message.invocation_id, result, error),)
    if isinstance(message, Close):
        return (Goodbye(message.error or "closed by the server", message.allow_reconnect),)
    # Pings are signs of life, and streams of items are never asked for.
    return ()

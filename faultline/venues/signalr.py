"""SignalR hubs, the server's side: negotiation, handshake and the JSON hub protocol over WebSockets.

Sources: HubProtocol.md and TransportProtocols.md of dotnet/aspnetcore. Each message ends with a record separator, and
one frame may hold several. A connection begins with a handshake message; its subscriptions are its own; nothing is
numbered and nothing is sent again after a reconnect. A token is looked at when a client negotiates or connects, and
not after that.

What the hubs do when they are called is for the venue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from faultline.units import Seconds
from faultline.venues.auth import bearer
from faultline.venues.base import Connection, Context, Message, Request, Response
from faultline.venues.hub import SWITCHING, is_handshake

SEPARATOR: Final = "\x1e"
NEGOTIATE: Final = "/negotiate"
_NORMAL: Final = 1000
_TEXT: Final = (("Content-Type", "text/plain"),)
_INVOCATION, _STREAM_INVOCATION, _PING, _CLOSE = 1, 4, 6, 7
_VERSIONS: Final = (0, 1)
"""Of the JSON protocol. 1 is the only one that is specified; some published clients say 0 and are let in."""
_JSON = msgspec.json.Encoder(decimal_format="number")


class HubError(Exception):
    """A hub method cannot do what it was asked; its text goes into the completion."""


@dataclass(frozen=True, kw_only=True)
class HubTimes:
    """The timers of a SignalR server. A client that sends nothing for ``client_timeout`` is let go."""

    keepalive_s: Seconds = 15.0
    client_timeout_s: Seconds = 30.0
    handshake_timeout_s: Seconds = 15.0

    def __post_init__(self) -> None:
        if min(self.keepalive_s, self.client_timeout_s, self.handshake_timeout_s) <= 0:
            raise ValueError("keepalive, client_timeout and handshake_timeout must be more than zero")


class _Incoming(msgspec.Struct, frozen=True, rename={"invocation_id": "invocationId"}):
    """A message from a client: the handshake's fields and those of every type that is obeyed."""

    type: int | None = None
    target: str = ""
    arguments: tuple[Any, ...] | None = None
    invocation_id: str | None = None
    protocol: str = ""
    version: int = -1


_decode = msgspec.json.Decoder(_Incoming).decode


@dataclass(slots=True, eq=False)
class _Client:
    """One connection of a hub."""

    hub: str
    id: str
    begun: bool = False
    partial: str = ""
    heard_s: float = 0.0
    told_s: float = 0.0
    groups: set[tuple[Any, ...]] = field(default_factory=set)


Invoke = Callable[[Connection, str, str, tuple[Any, ...]], None]
"""Connection, hub, method, arguments: does it, or raises :class:`HubError`."""


def token_in(request: Request) -> str:
    """The token of a request: in its header, or as a browser has to send it with a WebSocket, in its query."""
    return bearer(request) or request.query.get("access_token", "")


class Hubs:
    """The hubs of one venue. ``names`` gives each path its name, which is also its stream in fault points.

    ``authorized`` is asked at negotiation and handshake. Ids come from the context; one that was negotiated is good
    for one connection at a time, and ends with it.
    """

    def __init__(
        self,
        context: Context,
        times: HubTimes,
        names: Mapping[str, str],
        *,
        authorized: Callable[[Request], bool],
        invoke: Invoke,
    ) -> None:
        self._context = context
        self._times = times
        self._names = names
        self._authorized = authorized
        self._invoke = invoke
        self._negotiated: set[str] = set()
        self._clients: dict[Connection, _Client] = {}

    # Over HTTP

    def answer(self, request: Request) -> Response | None:
        """The answer to a negotiation or a handshake; None for what is neither."""
        hub, slash, rest = request.path.rpartition(NEGOTIATE)
        if slash and not rest and hub in self._names and request.method == "POST":
            return self._negotiate(request)
        if request.path in self._names and is_handshake(request):
            return self._handshake(request)
        return None

    def stream_of(self, request: Request) -> str:
        """The hub that a handshake is for."""
        return self._names[request.path]

    def _negotiate(self, request: Request) -> Response:
        if not self._authorized(request):
            return Response(401, b"", (("WWW-Authenticate", "Bearer"),))
        connection_id = self._context.new_id("connection")
        version = 1 if request.query.get("negotiateVersion", "0") not in ("", "0") else 0
        told: dict[str, object] = {"negotiateVersion": version, "connectionId": connection_id}
        opens = connection_id
        if version:
            # From version 1 on the id is public and the token opens the door.
            opens = told["connectionToken"] = self._context.new_id("connection_token")
        self._negotiated.add(opens)
        told["availableTransports"] = [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
        return Response(200, _JSON.encode(told))

    def _handshake(self, request: Request) -> Response:
        if not self._authorized(request):
            return Response(401, b"", (("WWW-Authenticate", "Bearer"),))
        wanted = request.query.get("id")
        if wanted is None:
            return Response(SWITCHING)  # without negotiation
        if wanted not in self._negotiated:
            return Response(404, b"No Connection with that ID", _TEXT)
        if any(client.id == wanted for client in self._clients.values()):
            return Response(409, b"Connection is already open", _TEXT)
        return Response(SWITCHING)

    # Connections

    def connected(self, connection: Connection) -> None:
        """A handshake was taken; the connection's own is still to come."""
        now = self._context.now_s()
        request = connection.request
        client = _Client(self._names[request.path], request.query.get("id", ""), heard_s=now, told_s=now)
        self._clients[connection] = client
        self._later(self._times.handshake_timeout_s, connection, lambda: self._give_up(connection))

    def disconnected(self, connection: Connection) -> None:
        """It is gone, with its subscriptions, and so is its id."""
        client = self._clients.pop(connection, None)
        if client is not None:
            self._negotiated.discard(client.id)

    def received(self, connection: Connection, text: str) -> None:
        """Obey what arrived: whole messages and perhaps the beginning of another."""
        client = self._clients.get(connection)
        if client is None:
            return
        client.heard_s = self._context.now_s()
        *whole, client.partial = (client.partial + text).split(SEPARATOR)
        for record in whole:
            if connection in self._clients:
                self._read(connection, client, record)

    def _read(self, connection: Connection, client: _Client, record: str) -> None:
        try:
            message = _decode(record)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self.close(connection, "Connection closed with an error. InvalidDataException: Error reading JSON.")
            return
        if not client.begun:
            self._begin(connection, client, message)
        elif message.type is None:
            self.close(
                connection, "Connection closed with an error. InvalidDataException: Missing required property 'type'."
            )
        elif message.type in (_INVOCATION, _STREAM_INVOCATION):
            self._call(connection, client, message)
        elif message.type == _CLOSE:
            self._end(connection)
        # Pings have been heard. Other types answer what this server never sends, or are none that it knows.

    def _begin(self, connection: Connection, client: _Client, message: _Incoming) -> None:
        if message.protocol != "json":
            problem = f"The protocol '{message.protocol}' is not supported."
        elif message.version not in _VERSIONS:
            problem = f"The server does not support version {message.version} of the 'json' protocol."
        else:
            client.begun = True
            self._say(connection, {})
            self._keep_alive(connection, client)
            self._watch(connection, client)
            return
        self._say(connection, {"error": problem})
        self._end(connection)

    def _call(self, connection: Connection, client: _Client, message: _Incoming) -> None:
        problem = None
        try:
            if message.type == _STREAM_INVOCATION:
                raise HubError(f"The client attempted to invoke the streaming '{message.target}' method")
            self._invoke(connection, client.hub, message.target, message.arguments or ())
        except HubError as error:
            problem = str(error)
        if message.invocation_id is None:
            return  # the caller wants no answer, also when it went wrong
        completion: dict[str, object] = {"type": 3, "invocationId": message.invocation_id}
        completion.update({"result": None} if problem is None else {"error": problem})
        self._say(connection, completion, answers=message.target)

    # Subscriptions

    def join(self, connection: Connection, *group: object) -> None:
        """This connection gets what :meth:`send` sends to ``group``, until it leaves or ends."""
        self._clients[connection].groups.add(group)

    def leave(self, connection: Connection, *group: object) -> None:
        """It gets that no more."""
        self._clients[connection].groups.discard(group)

    def members(self, *group: object) -> list[Connection]:
        """The connections in ``group``."""
        return [connection for connection, client in self._clients.items() if group in client.groups]

    # What clients are told

    def invoke(self, connection: Connection, target: str, arguments: tuple[object, ...], message: Message) -> None:
        """Call a client's method. ``message`` has what its fault point needs; its body is made here."""
        body = _JSON.encode({"type": _INVOCATION, "target": target, "arguments": arguments}).decode() + SEPARATOR
        self._clients[connection].told_s = self._context.now_s()
        connection.push(msgspec.structs.replace(message, body=body))

    def close(self, connection: Connection, error: str = "") -> None:
        """Say why, then close."""
        self._say(connection, {"type": _CLOSE, "error": error} if error else {"type": _CLOSE})
        self._end(connection)

    def _say(self, connection: Connection, message: Mapping[str, object], answers: str = "") -> None:
        self._clients[connection].told_s = self._context.now_s()
        body = _JSON.encode(message).decode() + SEPARATOR
        connection.push(Message(topic="completion", body=body, control=True, answers=answers))

    def _end(self, connection: Connection) -> None:
        self.disconnected(connection)
        connection.close(_NORMAL)

    # Timers

    def _later(self, delay_s: float, connection: Connection, act: Callable[[], None]) -> None:
        self._context.call_later(delay_s, lambda: act() if connection in self._clients else None)

    def _give_up(self, connection: Connection) -> None:
        if not self._clients[connection].begun:
            self._say(connection, {"error": "Handshake was canceled."})
            self._end(connection)

    def _keep_alive(self, connection: Connection, client: _Client) -> None:
        """Ping when nothing else was said for a while."""

        def beat() -> None:
            left_s = client.told_s + self._times.keepalive_s - self._context.now_s()
            if left_s <= 1e-9:
                self._say(connection, {"type": _PING})
                left_s = self._times.keepalive_s
            self._later(left_s, connection, beat)

        self._later(self._times.keepalive_s, connection, beat)

    def _watch(self, connection: Connection, client: _Client) -> None:
        """Let a client go that says nothing."""

        def look() -> None:
            left_s = client.heard_s + self._times.client_timeout_s - self._context.now_s()
            if left_s > 1e-9:
                self._later(left_s, connection, look)
                return
            self.close(
                connection,
                f"Server timeout ({self._times.client_timeout_s * 1000:.2f}ms) elapsed without receiving a message "
                "from the client.",
            )

        self._later(self._times.client_timeout_s, connection, look)

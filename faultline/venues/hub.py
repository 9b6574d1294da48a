"""The front of hubs: WebSockets whose host speaks HTTP too.

A client of a hub may first ask over plain HTTP how to connect, and its handshake is a request like others: the venue
may refuse it with any status (401, 404, 409), and faults may strike it. Its messages say themselves where they end, so
those that leave in one moment share a frame, as they do behind a server that writes what has gathered.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final

from websockets.http11 import Request as Handshake
from websockets.protocol import State

from faultline.faults.actions import How
from faultline.venues.base import Broken, Request, Response, Venue
from faultline.venues.eager import begin
from faultline.venues.interceptor import Interceptor
from faultline.venues.kill import finish, reset
from faultline.venues.raw import RawConnection, RawFront
from faultline.venues.stream import Stream, StreamFront, handshake_request, report

SWITCHING: Final = 101
"""The status with which a venue takes a handshake."""


class Hub(ABC):
    """A venue whose streams are hubs. ``handle`` also answers their handshakes: :data:`SWITCHING` takes one."""

    @abstractmethod
    def stream_of(self, request: Request) -> str:
        """What the stream that a handshake opens is called in fault points."""


def is_handshake(request: Request) -> bool:
    """Whether a request asks for a WebSocket."""
    return request.headers.get("upgrade", "").lower() == "websocket"


def stream_front(venue: Venue, interceptor: Interceptor) -> StreamFront:
    """The front that the streams of ``venue`` need."""
    return HubFront(venue, interceptor, venue) if isinstance(venue, Hub) else StreamFront(venue, interceptor)


class HubFront(StreamFront):
    """Serves hubs, and plain HTTP beside them."""

    def __init__(self, venue: Venue, interceptor: Interceptor, hub: Hub) -> None:
        super().__init__(venue, interceptor)
        self._hub = hub
        self.http = RawFront(venue, interceptor)
        self.http.tasks = self.tasks

    def _stream(self) -> Stream:
        return _HubStream(self)

    def stream_of(self, request: Request) -> str:
        """Each hub is a stream."""
        return self._hub.stream_of(request)

    @property
    def in_flight(self) -> int:
        """Messages on their way out, and requests that are not answered yet."""
        return super().in_flight + self.http.in_flight


class _HubStream(Stream):
    """A connection that turns out to be plain HTTP, or a hub's."""

    def __init__(self, front: HubFront) -> None:
        super().__init__(front)
        self._hub_front = front
        self._begun = False
        self._http: RawConnection | None = None
        self._gathered: list[str] = []

    def data_received(self, data: bytes) -> None:
        # Handshakes are GET requests, negotiations are POSTs. One may follow the other on a connection.
        if not self._begun or (self._http is not None and self._http.idle):
            self._begun = True
            self._change(to_http=not data.startswith(b"G"))
        if self._http is not None:
            self._http.data_received(data)
        else:
            super().data_received(data)

    def _change(self, *, to_http: bool) -> None:
        if to_http and self._http is None:
            if self._timer is not None:
                self._timer.cancel()
            # Number 0: requests are numbered by the connections of the REST host, and this is another.
            self._http = RawConnection(self._hub_front.http, 0)
            self._http.connection_made(self._transport)
        elif not to_http and self._http is not None:
            self._http.connection_lost(None)
            self._http = None

    def eof_received(self) -> None:
        if self._http is None:
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._http is not None:
            self._http.connection_lost(exc)
        super().connection_lost(exc)

    def _shake_hands(self, handshake: Handshake) -> None:
        begin(self._ask(handshake), self._front.tasks)

    async def _ask(self, handshake: Handshake) -> None:
        front = self._front
        try:
            answer = await front.interceptor.request(self._as_request(handshake), front.venue)
        except Exception as error:
            report(error)
            answer = Broken("rst")
        if self._protocol.state is not State.CONNECTING or self._transport.is_closing():
            return
        if isinstance(answer, Broken):
            self._break(answer)
        elif answer.status == SWITCHING:
            self._accept(handshake)
        else:
            self._refuse(answer)

    def _as_request(self, handshake: Handshake) -> Request:
        request = handshake_request(handshake, 0)
        return Request(
            request.method,
            request.path,
            request.query,
            request.headers,
            sent_s=self._transport.get_extra_info("sent_at_s"),
            gone=self._transport.is_closing,
            target=request.target,
        )

    def _refuse(self, answer: Response) -> None:
        refusal = self._protocol.reject(answer.status, answer.body.decode("utf-8", "replace"))
        for name, value in answer.headers:
            if name.lower() == "content-type":
                del refusal.headers["Content-Type"]
            refusal.headers[name] = value
        self._protocol.send_response(refusal)
        self._flush()

    def _break(self, broken: Broken) -> None:
        if broken.partial:
            self._transport.write(broken.partial)
        if broken.how == "rst":
            reset(self._transport)
        elif broken.how == "silence":
            self._transport.pause_reading()
        else:
            finish(self._transport)

    # Messages share frames

    async def _send(self, body: str) -> None:
        if self._over:
            return
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._send_gathered)
        self._gathered.append(body)
        if self._full is not None:
            await self._full

    def _send_gathered(self) -> None:
        gathered = "".join(self._gathered)
        self._gathered.clear()
        if gathered and self._protocol.state is State.OPEN and not self._transport.is_closing():
            self._protocol.send_text(gathered.encode())
            self._flush()

    def say(self, text: str) -> None:
        """As for every stream, behind what was said before."""
        self._send_gathered()
        super().say(text)

    def cut(self, how: How, code: int) -> None:
        """As for every stream; what was said before goes out first."""
        self._send_gathered()
        super().cut(how, code)

    def _say_close(self, code: int, reason: str) -> None:
        self._send_gathered()
        super()._say_close(code, reason)

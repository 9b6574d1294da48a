"""The message plane's executor: the one place where a fault touches a request, a response or a stream message.

Adapters bring requests here, and messages on their way out; both are our own small values, so the same code serves
the raw front, aiohttp.web and any upstream. Around a venue's own handler it knows whether the effect was applied:
the ledger grew while the handler ran, or it did not. (The phase alone says "applied" even for a refused order.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Literal

from faultline.faults.actions import (
    Action,
    Crash,
    Cut,
    Delay,
    Drop,
    Duplicate,
    ExpireTokens,
    Hold,
    How,
    Reply,
    Restart,
)
from faultline.faults.actions import Replace as ReplaceBody
from faultline.faults.injector import EffectKnown, Injector, Strike
from faultline.faults.points import Plane
from faultline.history import History
from faultline.history.attribution import Attribution
from faultline.history.event import Answered, Connected, Delivered, Disconnected, Received
from faultline.venues.base import Broken, Message, Request, Response, Venue
from faultline.venues.http import serialise

HELD_MAX_S = 5.0
"""A message held back for others to overtake goes out after this long when no other comes."""

Send = Callable[[str], Awaitable[None]]
CutStream = Callable[[How, int], None]
Fate = Literal["sent", "lost", "cut", "replaced"]


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A request with its place among the others."""

    request: Request
    number: int
    endpoint: str
    entity: str
    nth: int


@dataclass(slots=True)
class _Held:
    """A message that waits until ``passes`` later ones have gone."""

    message: Message
    passes: int
    release: Callable[[], Awaitable[None]]


class Interceptor:
    """Carries out message-plane actions around a venue, and writes what arrived, left and was struck.

    ``upon`` carries out actions that concern neither requests nor messages (a crash, expired tokens).
    ``wall_s`` is the venue's wall clock, for Retry-After dates.
    """

    def __init__(
        self,
        injector: Injector,
        history: History,
        attribution: Attribution,
        *,
        now_s: Callable[[], float],
        wall_s: Callable[[], float],
        upon: Mapping[type[Action], Callable[[Action], None]],
    ) -> None:
        self._injector = injector
        self._history = history
        self._attribution = attribution
        self._now_s = now_s
        self._wall_s = wall_s
        self._upon = upon
        self._arrivals = 0
        self._nth: dict[tuple[str, str], int] = {}
        self._streams: dict[int, tuple[str, CutStream]] = {}
        self._held: dict[int, list[_Held]] = {}
        self.in_flight = 0
        """Requests that have arrived and are not answered yet, copies and late ones included."""

    # Requests

    async def request(self, request: Request, venue: Venue) -> Response | Broken:
        """Answer ``request`` through ``venue``, with whatever faults strike before and after the effect."""
        arrival = self._arrive(request, venue)
        self.in_flight += 1
        try:
            early, waiting = await self._before(arrival, venue)
            if early is not None:
                return early
            grown = venue.effects()
            response = venue.handle(arrival.request)
            applied: EffectKnown = "applied" if venue.effects() > grown else "not_applied"
            for receipt in waiting:
                self._injector.resolve(receipt, applied)
            return await self._after(arrival, response, applied)
        finally:
            self.in_flight -= 1

    def _arrive(self, request: Request, venue: Venue, *, retry_of: int = 0) -> _Arrival:
        endpoint = venue.endpoint(request)
        identity = venue.identify(request)
        intent, _ = self._attribution.intent_of(identity)
        entity = intent or "-"
        injected = retry_of != 0
        nth = self._nth.get((endpoint, entity), 0)
        if not injected:
            # Copies that faultline makes are no points, so they do not count.
            nth = self._nth[endpoint, entity] = nth + 1
        self._arrivals += 1
        self._history.append(
            Received(
                t=self._now_s(),
                request=self._arrivals,
                connection=request.connection,
                endpoint=endpoint,
                entity=entity,
                nth=nth,
                sent_t=request.sent_s,
                token=venue.token_of(request),
                key=identity.key,
                injected=injected,
                retry_of=retry_of,
            )
        )
        self._injector.mark(endpoint)
        return _Arrival(replace(request, number=self._arrivals), self._arrivals, endpoint, entity, nth)

    def _ask(self, arrival: _Arrival, phase: str, size_bytes: int) -> tuple[Strike, ...]:
        return self._injector.ask(
            Plane.MESSAGE,
            arrival.endpoint,
            arrival.entity,
            arrival.nth,
            phase,
            headers=arrival.request.headers,
            connection=arrival.request.connection,
            size_bytes=size_bytes,
        )

    async def _before(self, arrival: _Arrival, venue: Venue) -> tuple[Response | Broken | None, list[int]]:
        """What the client gets without the venue ever seeing the request, and the receipts that wait for the effect."""
        waiting: list[int] = []
        for receipt, action in self._ask(arrival, "before", len(arrival.request.body)):
            match action:
                case Cut(how=how):
                    self._injector.resolve(receipt, "not_applied")
                    self._answered(arrival, 0, "lost")
                    return Broken(how), waiting
                case Reply():
                    self._injector.resolve(receipt, "not_applied")
                    return self._replied(arrival, action), waiting
                case Duplicate(copies=copies, gap_s=gap_s):
                    self._copy(arrival, venue, copies, gap_s)
                    waiting.append(receipt)
                case _:
                    await self._wait_or_act(action)
                    waiting.append(receipt)
        return None, waiting

    async def _after(self, arrival: _Arrival, response: Response, applied: EffectKnown) -> Response | Broken:
        fate: Fate = "sent"
        for receipt, action in self._ask(arrival, "after", len(response.body)):
            self._injector.resolve(receipt, applied)
            match action:
                case Cut(after_bytes=after_bytes, how=how):
                    self._answered(arrival, response.status, "cut" if after_bytes else "lost")
                    return Broken(how, serialise(response)[:after_bytes])
                case Reply():
                    return self._replied(arrival, action)
                case ReplaceBody(payload=payload):
                    response = replace(response, body=payload)
                    fate = "replaced"
                case _:
                    await self._wait_or_act(action)
        self._answered(arrival, response.status, fate, response.headers)
        return response

    async def _wait_or_act(self, action: Action) -> None:
        match action:
            case Delay(delay_s=delay_s):
                await asyncio.sleep(delay_s)
            case Hold(until_s=until_s):
                # Without an end it waits for the teardown, which cancels it.
                await asyncio.sleep(max(0.0, until_s - self._now_s()) if until_s is not None else 1e9)
            case Crash() | Restart() | ExpireTokens():
                self._upon[type(action)](action)
            case _:
                raise AssertionError(f"the plan let {action!r} through to the message plane")

    def _copy(self, arrival: _Arrival, venue: Venue, copies: int, gap_s: float) -> None:
        def deliver() -> None:
            self.in_flight -= 1
            venue.handle(self._arrive(arrival.request, venue, retry_of=arrival.number).request)

        loop = asyncio.get_running_loop()
        for ordinal in range(1, copies + 1):
            self.in_flight += 1
            # call_later even without a gap: the first arrival comes first and its answer is the one that counts.
            loop.call_later(ordinal * gap_s, deliver)

    def _replied(self, arrival: _Arrival, reply: Reply) -> Response:
        self._answered(arrival, reply.status, "replaced", reply.headers)
        return Response(reply.status, reply.body, reply.headers)

    def _answered(self, arrival: _Arrival, status: int, fate: Fate, headers: tuple[tuple[str, str], ...] = ()) -> None:
        if fate == "sent" and arrival.request.gone():
            fate = "lost"
        retry_after = next((value for name, value in headers if name.lower() == "retry-after"), None)
        self._history.append(
            Answered(
                t=self._now_s(),
                request=arrival.number,
                status=status,
                fate=fate,
                retry_after_s=None if retry_after is None else self._retry_after_s(retry_after),
            )
        )

    def _retry_after_s(self, value: str) -> float | None:
        """RFC 9110, 10.2.3: seconds or an HTTP date. None for what is neither."""
        if value.strip().isdigit():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._wall_s())
        except ValueError:
            return None

    # Streams

    def opened(self, stream: str, connection: int, cut: CutStream, token: str = "") -> None:
        """A stream connection was opened; ``cut`` ends it."""
        self._streams[connection] = (stream, cut)
        self._history.append(Connected(t=self._now_s(), connection=connection, stream=stream, token=token))
        self._injector.mark(f"stream {stream}")

    def closed(self, stream: str, connection: int, code: int) -> None:
        """A stream connection is gone. What was held back for it is lost."""
        if self._streams.pop(connection, None) is None:
            return
        for held in self._held.pop(connection, ()):
            self._delivered(stream, connection, held.message, 0, "lost")
        self._history.append(Disconnected(t=self._now_s(), connection=connection, stream=stream, code=code))

    def cut_streams(self, on: str, cut: Cut, connection: int | None = None) -> int:
        """End the open stream connections that ``on`` names. Returns how many there were."""
        ended = 0
        for ordinal, (stream, end) in list(self._streams.items()):
            if fnmatchcase(f"stream {stream}", on) and connection in (None, ordinal):
                end(cut.how, cut.code)
                ended += 1
        return ended

    async def message(self, stream: str, connection: int, message: Message, send: Send, cut: CutStream) -> None:
        """Send ``message`` on ``connection``, with whatever faults strike it. Called one at a time per connection."""
        if message.control:
            await send(message.body)
            return
        endpoint, entity = f"stream {stream}", f"{message.entity}/{message.topic}"
        nth = self._nth[endpoint, entity] = self._nth.get((endpoint, entity), 0) + 1
        strikes = self._injector.ask(
            Plane.MESSAGE,
            endpoint,
            entity,
            nth,
            "out",
            topic=message.topic,
            connection=connection,
            size_bytes=len(message.body),
        )
        copies = 0
        for receipt, action in strikes:
            match action:
                case Drop():
                    self._injector.resolve(receipt, "not_applied")
                    self._delivered(stream, connection, message, nth, "dropped")
                    return
                case Cut(how=how, code=code):
                    self._injector.resolve(receipt, "not_applied")
                    self._delivered(stream, connection, message, nth, "lost")
                    cut(how, code)
                    return
                case Hold(overtaken_by=passes) if passes:
                    self._injector.resolve(receipt, "applied")
                    self._hold_back(stream, connection, message, nth, passes, send)
                    return
                case Duplicate(copies=more):
                    copies += more
                case _:
                    await self._wait_or_act(action)
            self._injector.resolve(receipt, "applied")
        self._delivered(stream, connection, message, nth, "sent")
        await send(message.body)
        for _ in range(copies):
            self._delivered(stream, connection, message, nth, "duplicated")
            await send(message.body)
        await self._release(connection)

    def _hold_back(self, stream: str, connection: int, message: Message, nth: int, passes: int, send: Send) -> None:
        async def release() -> None:
            self._delivered(stream, connection, message, nth, "delayed")
            await send(message.body)

        held = _Held(message, passes, release)
        self._held.setdefault(connection, []).append(held)

        def give_up_waiting() -> None:
            if held in self._held.get(connection, ()):
                self._held[connection].remove(held)
                self._releasing = asyncio.ensure_future(release())

        asyncio.get_running_loop().call_later(HELD_MAX_S, give_up_waiting)

    async def _release(self, connection: int) -> None:
        waiting = self._held.get(connection)
        if not waiting:
            return
        for held in list(waiting):
            held.passes -= 1
            if held.passes <= 0:
                waiting.remove(held)
                await held.release()

    def _delivered(
        self,
        stream: str,
        connection: int,
        message: Message,
        nth: int,
        fate: Literal["sent", "dropped", "delayed", "duplicated", "lost"],
    ) -> None:
        self._history.append(
            Delivered(
                t=self._now_s(),
                connection=connection,
                stream=stream,
                topic=message.topic,
                sequence=message.sequence,
                entity=message.entity,
                nth=nth,
                subject=message.subject,
                fate=fate,
            )
        )

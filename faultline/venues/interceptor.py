"""The message plane's executor: the one place where a fault touches a request, a response or a stream message.

Adapters bring requests here, and messages on their way out; both are our own small values, so the same code serves
the raw front, aiohttp.web and any upstream. Around a venue's own handler it knows whether the effect was applied:
the ledger grew while the handler ran, or it did not. (The phase alone says "applied" even for a refused order.)
Around an upstream that is not ours, it knows what that answered.

Requests are here, messages of streams in :mod:`faultline.venues.message_interceptor`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from faultline.faults.actions import Cut, Duplicate, Replace, Reply
from faultline.faults.injector import EffectKnown, Injector, Strike
from faultline.faults.points import Plane
from faultline.history import History
from faultline.history.attribution import Attribution
from faultline.history.event import Answered, Received
from faultline.venues.base import Broken, Request, Response, Shown, Upstream, Venue
from faultline.venues.http import serialise
from faultline.venues.message_interceptor import MessageInterceptor, Upon

Fate = Literal["sent", "lost", "cut", "replaced"]


class _Arrival(msgspec.Struct, frozen=True):
    """A request with its place among the others."""

    request: Request
    number: int
    endpoint: str
    entity: str
    nth: int


class Interceptor(MessageInterceptor):
    """Carries out message-plane actions around a venue, and writes what arrived, left and was struck.

    ``upon`` carries out actions that concern neither requests nor messages (a crash, expired tokens).
    ``wall_s`` is the venue's wall clock, for Retry-After dates. ``in_flight`` counts requests that have arrived and
    are not answered yet, copies and late ones included, and messages that are held back.
    """

    def __init__(
        self,
        injector: Injector,
        history: History,
        attribution: Attribution,
        *,
        now_s: Callable[[], float],
        wall_s: Callable[[], float],
        upon: Upon,
    ) -> None:
        super().__init__(injector, history, now_s=now_s, upon=upon)
        self._attribution = attribution
        self._wall_s = wall_s
        self._arrivals = 0

    async def request(self, request: Request, venue: Venue) -> Response | Broken:
        """Answer ``request`` through ``venue``, with whatever faults strike before and after the effect."""
        arrival = self._arrive(request, venue)
        self.in_flight += 1
        waiting: list[int] = []
        try:
            early = await self._before(arrival, venue, venue.handle, waiting)
            if early is not None:
                self._resolve(waiting, "not_applied")
                return early
            grown = venue.effects()
            response = venue.handle(arrival.request)
            applied: EffectKnown = "applied" if venue.effects() > grown else "not_applied"
            self._resolve(waiting, applied)
            return await self._after(arrival, response, applied)
        finally:
            self.in_flight -= 1

    async def forward(self, request: Request, upstream: Upstream) -> Response | Broken:
        """As :meth:`request`, where a real API is asked for the answer."""
        arrival = self._arrive(request, upstream)
        self.in_flight += 1
        waiting: list[int] = []
        try:
            early = await self._before(arrival, upstream, upstream.forward_copy, waiting)
            if early is not None:
                self._resolve(waiting, "not_applied")
                return early
            forwarded = await upstream.forward(arrival.request, bool(waiting))
            self._resolve(waiting, forwarded.effect)
            if isinstance(forwarded.response, Broken):
                self._answered(arrival, 0, "lost")
                return forwarded.response
            return await self._after(arrival, forwarded.response, forwarded.effect)
        finally:
            self.in_flight -= 1

    def _arrive(self, request: Request, venue: Shown, *, copy_of: int = 0) -> _Arrival:
        endpoint = venue.endpoint(request)
        identity = venue.identify(request)
        intent, _ = self._attribution.intent_of(identity)
        entity = intent or "-"
        nth = self._nth.get((endpoint, entity), 0)
        if not copy_of:
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
                injected=copy_of != 0,
                retry_of=copy_of,
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

    def _resolve(self, receipts: list[int], effect: EffectKnown) -> None:
        for receipt in receipts:
            self._injector.resolve(receipt, effect)

    async def _before(
        self, arrival: _Arrival, venue: Shown, handle: Callable[[Request], object], waiting: list[int]
    ) -> Response | Broken | None:
        """What the client gets without the venue ever seeing the request, if so. ``waiting`` collects the receipts
        that only the effect can resolve."""
        for receipt, action in self._ask(arrival, "before", len(arrival.request.body)):
            waiting.append(receipt)
            match action:
                case Cut(how=how):
                    self._answered(arrival, 0, "lost")
                    return Broken(how)
                case Reply():
                    return self._replied(arrival, action)
                case Duplicate(copies=copies, gap_s=gap_s):
                    self._copy(arrival, venue, handle, copies, gap_s)
                case _:
                    await self._wait_or_act(action)
        return None

    async def _after(self, arrival: _Arrival, response: Response, applied: EffectKnown) -> Response | Broken:
        fate: Fate = "sent"
        for receipt, action in self._ask(arrival, "after", len(response.body)):
            self._injector.resolve(receipt, applied)
            match action:
                case Cut(after_bytes=after_bytes, how=how):
                    sent = serialise(response)
                    fate = "lost" if not after_bytes else "cut" if after_bytes < len(sent) else fate
                    self._answered(arrival, response.status, fate, response.headers)
                    return Broken(how, sent[:after_bytes], max(0, after_bytes - len(sent)))
                case Reply():
                    return self._replied(arrival, action)
                case Replace(payload=payload):
                    response = Response(response.status, payload, response.headers)
                    fate = "replaced"
                case _:
                    await self._wait_or_act(action)
        self._answered(arrival, response.status, fate, response.headers)
        return response

    def _copy(
        self, arrival: _Arrival, venue: Shown, handle: Callable[[Request], object], copies: int, gap_s: float
    ) -> None:
        def deliver() -> None:
            self.in_flight -= 1
            handle(self._arrive(arrival.request, venue, copy_of=arrival.number).request)

        loop = asyncio.get_running_loop()
        for ordinal in range(1, copies + 1):
            self.in_flight += 1
            # call_later even without a gap: the first arrival comes first and its answer is the one that counts.
            loop.call_later(ordinal * gap_s, deliver)

    def _replied(self, arrival: _Arrival, reply: Reply) -> Response:
        self._answered(arrival, reply.status, "replaced", reply.headers)
        return Response(reply.status, reply.body, reply.headers)

    def _answered(self, arrival: _Arrival, status: int, fate: Fate, headers: tuple[tuple[str, str], ...] = ()) -> None:
        if arrival.request.gone():
            fate = "lost"
        retry_after = next((value for name, value in headers if name.lower() == "retry-after"), None)
        self._history.append(
            Answered(
                t=self._now_s(),
                request=arrival.number,
                status=status,
                fate=fate,
                retry_after_s=None if retry_after is None else self._retry_after_s(retry_after.strip()),
            )
        )

    def _retry_after_s(self, value: str) -> float | None:
        """RFC 9110, 10.2.3: seconds or an HTTP date. None for what is neither."""
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        # A date without a zone is in UTC, wherever this runs.
        return max(0.0, (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() - self._wall_s())

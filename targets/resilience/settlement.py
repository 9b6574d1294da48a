"""How a request to trade comes to a certain end although messages get lost.

The rule for a new order: **never send again while an earlier request may still take effect.** A request without an
answer may have been carried out, may be on its way still, and may be invisible to queries for a while, so an empty
answer to a query proves nothing until all of that is over. Whether a venue would recognise the repeated key does not
matter then; many recognise it only while the first order is open, and would fill a filled order again.

============================ ====================================================================================
the request                  then
============================ ====================================================================================
was declined (400, 403, 422) it is over: rejected
was refused (429, no route)  it certainly had no effect: send again, with the same key
met its own key (409)        an order exists: query until it shows, never send again
got a 5xx or garbage         query; send again when a query says no ``query_lag_s`` later
got no answer (or 408, 504)  query; send again when a query says no ``late_s + query_lag_s`` later
was sent before a restart    as if it got no answer just now
============================ ====================================================================================

``late_s`` and ``query_lag_s`` are the venue's (:class:`~targets.resilience.venue.VenueRules`). The stream and every
resync feed the same store, so whichever speaks first settles the request. Work goes on until then; how long a caller
waits for it is the order manager's business.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from targets.resilience.calls import VenueCalls
from targets.resilience.errors import APIError, AuthenticationError, ResilienceError, effect_of
from targets.resilience.records import Amendment, OrderRecord
from targets.resilience.state_manager import StateManager
from targets.resilience.venue import (
    DuplicateKeyError,
    Order,
    OrderEndedError,
    OrderStatus,
    UnknownOrderError,
    WithdrawnError,
)

log = logging.getLogger(__name__)

BACKOFF_FIRST_S: Final = 0.25
BACKOFF_MAX_S: Final = 5.0
_REFUSALS: Final = frozenset({None, 401, 418, 429})
_ON_ITS_WAY: Final = frozenset({None, 408, 504})
"""No answer, or the answer of a gateway that got none: the request may still arrive at what is behind it."""

Failure = (ResilienceError, OSError)
"""All that a request can fail with; time-outs and lost connections are OSErrors."""


class Unsettled(Exception):
    """Not known yet; ask again."""


class Settlement:
    """Works on requests until what became of them is certain.

    ``early`` gives what the stream told of an order before anybody knew that it is ours. ``at_work`` says whether
    somebody works on a request. ``admit`` raises when an order may not be sent. With ``retry_unsent`` an order that
    certainly was not sent is tried again for as long as it is wanted; without, it is forgotten and the error raised.
    """

    def __init__(
        self,
        state: StateManager,
        calls: VenueCalls,
        *,
        early: Callable[[str], Iterable[Order]],
        at_work: Callable[[str], bool],
        admit: Callable[[OrderRecord], None],
        retry_unsent: bool,
    ) -> None:
        self._state = state
        self._calls = calls
        self._early = early
        self._at_work = at_work
        self._admit = admit
        self._retry_unsent = retry_unsent
        self._doubtful_until: dict[str, float] = {}
        self._declined: set[str] = set()
        self._causes: dict[str, BaseException] = {}
        self.unverified: set[str] = set()
        """Requests whose placement was only acknowledged: nobody has seen the order itself yet."""

    def doubt_everything_unsettled(self) -> None:
        """After a restart: whatever has no certain end may have been sent a moment ago."""
        for record in self._state.orders.values():
            if not record.settled:
                self._doubt(record.request_id, self._calls.rules.unanswered_s)
        for amendment in self._state.amendments.values():
            if not amendment.outcome:
                self._doubt(amendment.request_id, self._calls.rules.unanswered_s)

    def cause(self, request_id: str) -> BaseException | None:
        """What made the outcome of a request unknown; None where nothing did."""
        return self._causes.get(request_id)

    async def settle_order(self, record: OrderRecord) -> None:
        """Get an order placed, once; return when that is certain."""
        await self._persist(record.request_id, record.request_id, lambda: self._place(record))

    async def settle_amendment(self, amendment: Amendment) -> None:
        """Get a cancel or a replacement done; return when that is certain."""
        step = self._cancel if amendment.kind == "cancel" else self._replace
        await self._persist(amendment.request_id, amendment.of, lambda: step(amendment))

    async def _persist(self, request_id: str, of: str, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat ``step`` until it returns. News of the order of request ``of`` cut the wait between tries short."""
        news = self._state.news(of)
        backoff_s = BACKOFF_FIRST_S
        while True:
            news.clear()
            try:
                await step()
            except _GivenUp as given_up:
                raise given_up.error from given_up.error.__cause__
            except (Unsettled, *Failure) as error:
                log.debug("%s: %s", request_id, error)
                if backoff_s == BACKOFF_FIRST_S:
                    # What the first try wrote down itself is no news, and may not cut the first wait short.
                    news.clear()
            else:
                self._doubtful_until.pop(request_id, None)
                self._causes.pop(request_id, None)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s(request_id, backoff_s)):
                    await news.wait()
            backoff_s = min(BACKOFF_MAX_S, 2 * backoff_s)

    def _pause_s(self, request_id: str, backoff_s: float) -> float:
        pause_s = backoff_s + random.uniform(0, BACKOFF_FIRST_S)
        # When the doubt is over, a query tells something new.
        left_s = self._doubtful_until.get(request_id, 0.0) - time.monotonic()
        return min(pause_s, left_s + 0.01) if left_s > 0 else pause_s

    # Placing

    async def _place(self, record: OrderRecord) -> None:
        request_id = record.request_id
        await self._state.add_order(record)
        if self._state.orders[request_id].settled:
            return
        if request_id in self._declined:
            await self._state.end_unplaced(request_id, OrderStatus.REJECTED)
            return
        if await self._in_doubt(request_id, lambda: self._found(record)):
            return
        tries = 1 if self._retry_unsent else None
        placing = self._calls.place(record.placement, lambda: self._unwanted(request_id), attempts_max=tries)
        try:
            placed = await self._send(request_id, placing)
        except WithdrawnError:
            await self._state.end_unplaced(request_id, OrderStatus.CANCELED)
        except DuplicateKeyError as error:
            self._not_known(request_id, math.inf, error)
            raise Unsettled(f"{request_id}: its key is taken, so the order exists") from error
        except Failure as error:
            await self._failed(request_id, error)
        else:
            if not placed.confirmed:
                self.unverified.add(request_id)
            await self._learn(placed)

    async def _failed(self, request_id: str, error: BaseException) -> None:
        if effect_of(error) == "unknown":
            raise error
        if _declined(error):
            log.info("%s was declined: %s", request_id, error)
            # Should the store refuse now, the next try writes it down and sends nothing.
            self._declined.add(request_id)
            await self._state.end_unplaced(request_id, OrderStatus.REJECTED)
        elif self._retry_unsent or request_id in self._causes:
            # Who was told that nobody knows was also told that it is worked on still.
            raise error
        else:
            await self._state.forget_order(request_id)
            raise _GivenUp(error) from error

    def _unwanted(self, request_id: str) -> bool:
        # Asked when nothing is in doubt and nothing has been sent since: the stream may have told otherwise.
        record = self._state.orders[request_id]
        return self._state.cancel_wanted(request_id) or record.settled or self._refused(record)

    def _refused(self, record: OrderRecord) -> bool:
        try:
            self._admit(record)
        except ResilienceError as error:
            log.warning("%s is not sent: %s", record.request_id, error)
            return True
        return False

    async def _found(self, record: OrderRecord) -> bool:
        found = await self._calls.find(record.key, record.contract_id)
        if found is None:
            return False
        await self._learn(found)
        return True

    async def _learn(self, order: Order) -> None:
        await self._state.seen(order, *self._early(order.id))

    # Amending

    async def _cancel(self, amendment: Amendment) -> None:
        record = await self._amended(amendment)
        if record is None:
            return
        if not record.settled:
            # Its own settlement does not send it any more once it sees that a cancel is wanted.
            raise Unsettled(f"{amendment.of} may or may not exist")
        if not record.ended:
            try:
                await self._state.seen(await self._calls.cancel(record.order_id))
            except (UnknownOrderError, OrderEndedError):
                # Something else ended it: look what.
                await self._state.seen(await self._calls.order(record.order_id))
            except APIError as error:
                if not _declined(error):
                    raise
                await self._state.settle(amendment.request_id, "rejected")
                return
            record = self._state.orders[amendment.of]
        if not record.ended:
            raise Unsettled(f"{amendment.of} is not ended yet")
        filled = record.status == OrderStatus.FILLED
        await self._state.settle(amendment.request_id, "rejected" if filled else "accepted")

    async def _replace(self, amendment: Amendment) -> None:
        request_id, record = amendment.request_id, await self._amended(amendment)
        if record is None:
            return
        if not record.settled or self._overtakes(amendment):
            # A request that is still under way could undo a later replacement.
            raise Unsettled(f"{amendment.of} is not ready for {request_id}")
        if record.order_id and await self._in_doubt(request_id, lambda: self._replaced(amendment, record.order_id)):
            return
        if record.ended or amendment.size is None:
            await self._state.settle(request_id, "rejected")
            return
        size, price = amendment.size, amendment.limit_price
        wanted = replace(record, size=size, limit_price=price)
        replacing = self._calls.replace(record.order_id, size=size, price=price, unless=lambda: self._refused(wanted))
        try:
            replaced = await self._send(request_id, replacing)
        except WithdrawnError:
            await self._state.settle(request_id, "rejected")
        except APIError as error:
            if isinstance(error, UnknownOrderError) or not _declined(error):
                raise
            await self._state.settle(request_id, "rejected")
        else:
            await self._state.seen(replaced)
            await self._state.settle(request_id, "accepted")

    async def _amended(self, amendment: Amendment) -> OrderRecord | None:
        """The order that is amended, once both are stored. None when there is none, and the amendment is settled."""
        if amendment.of in self._state.orders:
            await self._state.add_amendment(amendment)
            return self._state.orders[amendment.of]
        if self._at_work(amendment.of):
            raise Unsettled(f"{amendment.of} could not be stored yet")
        if amendment.request_id in self._state.amendments:
            await self._state.settle(amendment.request_id, "rejected")
        return None

    async def _replaced(self, amendment: Amendment, order_id: str) -> bool:
        found = await self._calls.order(order_id)
        await self._state.seen(found)
        if (found.size, found.price) == (amendment.size, amendment.limit_price):
            await self._state.settle(amendment.request_id, "accepted")
        elif found.ended:
            await self._state.settle(amendment.request_id, "rejected")
        return bool(self._state.amendments[amendment.request_id].outcome)

    def _overtakes(self, amendment: Amendment) -> bool:
        for earlier in self._state.amendments_of(amendment.of):
            if earlier.request_id == amendment.request_id:
                return False
            if earlier.kind == "replace" and not earlier.outcome:
                return True
        return False

    # Doubt

    def _doubt(self, request_id: str, for_s: float) -> None:
        self._doubtful_until[request_id] = time.monotonic() + for_s

    async def _in_doubt(self, request_id: str, look: Callable[[], Awaitable[bool]]) -> bool:
        """Whether an earlier request turns out to have been carried out. Raises Unsettled while that may change."""
        until = self._doubtful_until.get(request_id)
        if until is None:
            return False
        asked_at = time.monotonic()
        if await look():
            return True
        if asked_at < until:
            raise Unsettled(f"{request_id}: not found, which proves nothing yet")
        return False

    async def _send(self, request_id: str, request: Awaitable[Order]) -> Order:
        """Send what must not take effect twice, and note for how long it is in doubt."""
        try:
            answer = await request
        except Failure as error:
            if effect_of(error) == "none":
                self._doubtful_until.pop(request_id, None)
            else:
                rules = self._calls.rules
                on_its_way = getattr(error, "status_code", None) in _ON_ITS_WAY
                self._not_known(request_id, rules.unanswered_s if on_its_way else rules.query_lag_s, error)
            raise
        # If storing it fails, it is found by a query: it exists.
        self._doubt(request_id, math.inf)
        return answer

    def _not_known(self, request_id: str, for_s: float, cause: BaseException) -> None:
        self._doubt(request_id, for_s)
        self._causes[request_id] = cause
        if request_id in self._state.orders:
            self._state.doubt(request_id)


class _GivenUp(Exception):
    """Carries the error with which a request ends for good."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _declined(error: BaseException) -> bool:
    """Whether the venue read the request and said no, for good."""
    if not isinstance(error, APIError) or error.effect != "none":
        return False
    if isinstance(error, AuthenticationError):
        return False
    return error.status_code not in _REFUSALS and (error.status_code or 0) < 500

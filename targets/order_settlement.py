"""How an intent comes to a certain end although requests and answers get lost.

The rule for a new order: **never send again while an earlier request may still take effect.** A request without an
answer may have been carried out, may be on its way still, and may be invisible to queries for a while, so an empty
answer to a query proves nothing until all of that is over. Whether a venue would recognise the repeated key does not
matter then; many recognise it only while the first order is open, and would fill a filled order again.

============================ ==================================================================================
the request                  then
============================ ==================================================================================
was declined (400, 403, 422) it is over: rejected
was refused (429, no route)  it certainly had no effect: send again, with the same key
met its own key (409)        an order exists: query until it shows, never send again
got a 5xx or garbage         query; send again when a query says no ``READ_LAG_S`` later
got no answer                query; send again when a query says no ``LATE_S + READ_LAG_S`` later
was sent before a restart    as if it got no answer just now
============================ ==================================================================================

The stream and every resync feed the same store, so whichever speaks first settles the intent. What is not settled
by the deadline is answered ``unknown``, and is tried again in the background until it is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Final

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential,
    wait_random,
)

from targets.order_model import Amendment, Order, WireOrder
from targets.order_store import OrderStore, StoreUnavailable
from targets.venue_api import VenueApi, Withdrawn
from targets.venue_http import Declined, Refused, Unanswered, Unclear, VenueError

log = logging.getLogger(__name__)

LATE_S: Final = 16.0
"""How long after it was given up a request may still arrive at the venue."""
READ_LAG_S: Final = 4.0
"""How far the venue's queries may trail what it has done."""
DEADLINE_S: Final = 60.0
"""How long one intent is worked on before its caller is told ``unknown``."""


class Unsettled(Exception):
    """Not known yet; ask again."""


class Settlement:
    """Works on intents until what became of them is certain."""

    def __init__(self, store: OrderStore, api: VenueApi) -> None:
        self._store = store
        self._api = api
        self._doubtful_until: dict[str, float] = {}
        self._declined: set[str] = set()

    def doubt_everything_unsettled(self) -> None:
        """After a restart: whatever has no certain end may have been sent a moment ago."""
        for order in self._store.orders.values():
            if not order.settled:
                self._doubt(order.intent, LATE_S + READ_LAG_S)
        for amendment in self._store.amendments.values():
            if not amendment.outcome:
                self._doubt(amendment.intent, LATE_S + READ_LAG_S)

    async def settle_order(self, order: Order) -> None:
        """Get ``order`` placed, once; return when that is certain, or at the deadline."""
        await self._persist(order.intent, order.intent, lambda: self._place(order))

    async def settle_amendment(self, amendment: Amendment) -> None:
        """Get the cancel or the replacement done; return when that is certain, or at the deadline."""
        step = self._cancel if amendment.kind == "cancel" else self._replace
        await self._persist(amendment.intent, amendment.of, lambda: step(amendment))

    async def _persist(self, intent: str, of: str, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat ``step`` until it returns. News of the order of intent ``of`` cut the wait between tries short."""
        news = self._store.news(of)
        backoff = wait_exponential(multiplier=0.25, max=5) + wait_random(0, 0.25)

        async def attempt() -> None:
            news.clear()
            await step()

        def wait(state: RetryCallState) -> float:
            # When the doubt is over, a query tells something new.
            left_s = self._doubtful_until.get(intent, 0.0) - time.monotonic()
            return min(backoff(state), left_s + 0.01) if left_s > 0 else backoff(state)

        async def sleep(delay_s: float) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await news.wait()

        with suppress(RetryError):
            await AsyncRetrying(
                retry=retry_if_exception_type((Unsettled, VenueError, StoreUnavailable)),
                stop=stop_after_delay(DEADLINE_S),
                wait=wait,
                sleep=sleep,
            )(attempt)

    # Placing

    async def _place(self, order: Order) -> None:
        intent = order.intent
        await self._store.add_order(order)
        if self._store.orders[intent].settled:
            return
        if intent in self._declined:
            await self._store.end_unplaced(intent, "rejected")
            return
        if await self._in_doubt(intent, lambda: self._found(order)):
            return
        try:
            placed = await self._send(intent, self._api.place(order, unless=lambda: self._unwanted(intent)))
        except Withdrawn:
            await self._store.end_unplaced(intent, "canceled")
        except Declined as declined:
            if declined.status == 409:
                self._not_known(intent, math.inf)
                raise Unsettled(f"{intent}: its key is taken, so the order exists") from declined
            log.info("%s was declined: %s", intent, declined)
            self._declined.add(intent)
            await self._store.end_unplaced(intent, "rejected")
        else:
            await self._store.seen(placed)

    def _unwanted(self, intent: str) -> bool:
        # Asked when nothing is in doubt and nothing has been sent since: the stream may have told otherwise.
        return self._store.cancel_wanted(intent) or self._store.orders[intent].settled

    async def _found(self, order: Order) -> bool:
        found = await self._api.find(order.key)
        if found is None:
            return False
        await self._store.seen(found)
        return True

    # Amending

    async def _cancel(self, amendment: Amendment) -> None:
        order = await self._amended(amendment)
        if not order.settled:
            # Its own settlement does not send it any more once it sees that a cancel is wanted.
            raise Unsettled(f"{amendment.of} may or may not exist")
        if not order.ended:
            try:
                await self._store.seen(await self._api.cancel(order.order_id))
            except Declined as declined:
                if declined.status not in (404, 409):
                    await self._store.settle(amendment.intent, "rejected")
                    return
                # Something else ended it: look what.
                await self._store.seen(await self._api.order(order.order_id))
            order = self._store.orders[amendment.of]
        if not order.ended:
            raise Unsettled(f"{amendment.of} is not ended yet")
        await self._store.settle(amendment.intent, "rejected" if order.status == "filled" else "accepted")

    async def _replace(self, amendment: Amendment) -> None:
        intent, order = amendment.intent, await self._amended(amendment)
        if not order.settled or self._overtakes(amendment):
            # A request that is still under way could undo a later replacement.
            raise Unsettled(f"{amendment.of} is not ready for {intent}")
        if order.order_id and await self._in_doubt(intent, lambda: self._replaced(amendment, order.order_id)):
            return
        if order.ended:
            await self._store.settle(intent, "rejected")
            return
        try:
            replaced = await self._send(
                intent, self._api.replace(order.order_id, quantity=amendment.quantity, price=amendment.price)
            )
        except Declined as declined:
            if declined.status == 404:
                raise
            await self._store.settle(intent, "rejected")
        else:
            await self._store.seen(replaced)
            await self._store.settle(intent, "accepted")

    async def _amended(self, amendment: Amendment) -> Order:
        """The order that is amended, once both are stored."""
        if amendment.of not in self._store.orders:
            raise Unsettled(f"{amendment.of} could not be stored yet")
        await self._store.add_amendment(amendment)
        return self._store.orders[amendment.of]

    async def _replaced(self, amendment: Amendment, order_id: str) -> bool:
        found = await self._api.order(order_id)
        await self._store.seen(found)
        if found.quantity == Decimal(amendment.quantity) and found.price == Decimal(amendment.price):
            await self._store.settle(amendment.intent, "accepted")
        elif found.ended:
            await self._store.settle(amendment.intent, "rejected")
        return bool(self._store.amendments[amendment.intent].outcome)

    def _overtakes(self, amendment: Amendment) -> bool:
        for earlier in self._store.amendments.values():
            if earlier.intent == amendment.intent:
                return False
            if earlier.kind == "replace" and earlier.of == amendment.of and not earlier.outcome:
                return True
        return False

    # Doubt

    def _doubt(self, intent: str, for_s: float) -> None:
        self._doubtful_until[intent] = time.monotonic() + for_s

    async def _in_doubt(self, intent: str, look: Callable[[], Awaitable[bool]]) -> bool:
        """Whether an earlier request turns out to have been carried out. Raises Unsettled while that may change."""
        until = self._doubtful_until.get(intent)
        if until is None:
            return False
        asked_at = time.monotonic()
        if await look():
            return True
        if asked_at < until:
            raise Unsettled(f"{intent}: not found, which proves nothing yet")
        return False

    async def _send(self, intent: str, request: Awaitable[WireOrder]) -> WireOrder:
        """Send what must not take effect twice, and note for how long it is in doubt."""
        try:
            answer = await request
        except Unanswered:
            self._not_known(intent, LATE_S + READ_LAG_S)
            raise
        except Unclear:
            self._not_known(intent, READ_LAG_S)
            raise
        except (Refused, Declined):
            self._doubtful_until.pop(intent, None)
            raise
        # If storing it fails, it is found by a query: it exists.
        self._doubt(intent, math.inf)
        return answer

    def _not_known(self, intent: str, for_s: float) -> None:
        self._doubt(intent, for_s)
        if intent in self._store.orders:
            self._store.doubt(intent)

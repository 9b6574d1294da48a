"""A client that places, cancels and replaces orders at a venue over REST and follows them on its stream.

Written to be certain: each intent is executed at most once, and what became of it is found out, whatever gets lost
on the way.

================================ =====================================================================
:mod:`~targets.order_settlement` how one intent comes to a certain end
:mod:`~targets.order_sync`       how the store stays level with the venue
:mod:`~targets.order_feed`       the stream connection
:mod:`~targets.order_store`      what survives a crash
:mod:`~targets.order_model`      orders, fills, and what is believed of what the venue says
:mod:`~targets.venue_api`        the endpoints; below it ``venue_auth``, ``venue_http`` and ``rate_gate``
================================ =====================================================================
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from targets.order_feed import Feed
from targets.order_model import Amendment, Order
from targets.order_settlement import DEADLINE_S, Settlement
from targets.order_store import OrderStore, StoreUnavailable
from targets.order_sync import Sync
from targets.rate_gate import RateGate
from targets.venue_api import VenueApi
from targets.venue_auth import Tokens
from targets.venue_http import Http

log = logging.getLogger(__name__)

START_S: Final = 10.0
"""How long ``start`` waits for the venue. After that the client goes on by itself, and says that it is stale."""
TEND_S: Final = 5.0
"""How often unsettled intents that nobody works on are taken up again."""
KEY_SPACE: Final = uuid.UUID("8f0c9c52-6c1f-4c8e-9d0e-1f2f6a3c7b11")

Settle = Callable[[], Coroutine[Any, Any, None]]


class OrderFlow:
    """The client. Methods are idempotent per ``intent_id``, also across restarts on the same store."""

    workload = "orders"

    def __init__(self, *, rest_url: str, stream_url: str, store_path: str, client_id: str, client_secret: str) -> None:
        self._store = OrderStore(store_path)
        self._http = Http(rest_url, RateGate())
        tokens = Tokens(self._http, client_id, client_secret)
        api = VenueApi(self._http, tokens)
        self._settlement = Settlement(self._store, api)
        self._sync = Sync(self._store, api)
        self._feed = Feed(stream_url, tokens, self._sync)
        self._services: list[asyncio.Task[None]] = []
        self._workers: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Log in, subscribe and catch up. Returns after ``START_S`` at the latest and goes on in the background.

        Raises StoreUnavailable when the store cannot be opened: without it, nothing may be sent.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StoreUnavailable),
            stop=stop_after_delay(START_S),
            wait=wait_fixed(0.5),
            reraise=True,
        ):
            with attempt:
                await self._store.open()
        self._http.open()
        self._settlement.doubt_everything_unsettled()
        for service in (self._feed.run(), self._sync.run(), self._tend()):
            task = asyncio.create_task(service)
            task.add_done_callback(_report)
            self._services.append(task)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._sync.level.wait()

    async def stop(self) -> None:
        """End all work, close all connections and the store. Callers that still wait are told ``unknown``."""
        tasks = [*self._services, *self._workers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._services:
            self._services.clear()
            await self._http.close()
            self._store.close()

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        """Place an order: ``accepted``, ``rejected`` (certainly not placed) or ``unknown`` (still worked on)."""
        order = self._store.orders.get(intent_id)
        if order is None:
            # The key follows from the intent alone, so that even a lost store could not give it another one.
            key = uuid.uuid5(KEY_SPACE, intent_id).hex
            order = Order(intent_id, key, symbol, side, order_type, quantity, price)
        if not order.settled:
            await self._wait(intent_id, partial(self._settlement.settle_order, order))
        stored = self._store.orders.get(intent_id)
        # What could not even be stored was never sent.
        return "rejected" if stored is None else stored.answer

    async def cancel(self, intent_id: str, *, of: str) -> str:
        """Cancel the order of intent ``of``: ``accepted`` (it is ended), ``rejected`` (filled first) or ``unknown``."""
        return await self._amend(Amendment(intent_id, "cancel", of))

    async def replace(self, intent_id: str, *, of: str, quantity: str, price: str) -> str:
        """Give the order of intent ``of`` a new quantity and price: ``accepted``, ``rejected`` or ``unknown``."""
        return await self._amend(Amendment(intent_id, "replace", of, quantity, price))

    async def _amend(self, amendment: Amendment) -> str:
        if amendment.of not in self._store.orders and amendment.of not in self._workers:
            return "rejected"
        amendment = self._store.amendments.get(amendment.intent, amendment)
        if not amendment.outcome:
            await self._wait(amendment.intent, partial(self._settlement.settle_amendment, amendment))
        stored = self._store.amendments.get(amendment.intent)
        return "rejected" if stored is None else stored.outcome or "unknown"

    def snapshot(self) -> dict[str, object]:
        """What the client believes now. ``stale`` is its own admission that it may be behind."""
        return {
            "orders": {
                order.intent: {"order_id": order.order_id, "status": order.status, "filled": str(order.filled)}
                for order in self._store.orders.values()
            },
            "positions": {symbol: str(quantity) for symbol, quantity in self._store.positions.items()},
            "fills": list(self._store.fills),
            "stale": self._sync.stale,
        }

    async def _wait(self, intent: str, settle: Settle) -> None:
        """Until the intent is settled, or for ``DEADLINE_S``. Giving up the wait does not give up the intent."""
        done, _ = await asyncio.wait({self._work(intent, settle)}, timeout=DEADLINE_S)
        for worker in done:
            if not worker.cancelled():
                worker.result()

    def _work(self, intent: str, settle: Settle) -> asyncio.Task[None]:
        """The one task that works on ``intent``, however many ask for it."""
        worker = self._workers.get(intent)
        if worker is None:
            worker = self._workers[intent] = asyncio.create_task(settle())
            worker.add_done_callback(lambda _: self._workers.pop(intent))
        return worker

    async def _tend(self) -> None:
        """Take up what is unsettled and nobody works on: after a restart, and after a deadline."""
        while True:
            for order in list(self._store.orders.values()):
                if not order.settled:
                    self._work(order.intent, partial(self._settlement.settle_order, order))
            for amendment in list(self._store.amendments.values()):
                if not amendment.outcome:
                    self._work(amendment.intent, partial(self._settlement.settle_amendment, amendment))
            await asyncio.sleep(TEND_S)


def _report(service: asyncio.Task[None]) -> None:
    if not service.cancelled() and (error := service.exception()) is not None:
        log.critical("%s died; the client is blind without it", service.get_coro(), exc_info=error)

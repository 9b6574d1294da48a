"""Keeping the store level with the venue: what the stream says, and whatever it left out.

A stream is a convenience that loses messages: while it is down, in a gap, at its tail, or because it goes on
beating without saying anything. The store is therefore level only when a resync over REST says so, and a resync is
due

* after each (re)connection: a reconnect is not a resubscribe, and a resubscribe is not a replay;
* when a number is missing, or a heartbeat tells of numbers that never came;
* when the venue reports more filled than the fills that arrived;
* every ``SWEEP_S`` anyway, for venues that number nothing, and for what nobody thought of.

A resync that fails or comes out short (queries trail the truth) is repeated until it does not.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from targets.order_model import Sequence, Unreadable, read_fill, read_list, read_order, read_sequence
from targets.order_store import OrderStore, StoreUnavailable
from targets.venue_api import VenueApi
from targets.venue_http import Declined, VenueError

log = logging.getLogger(__name__)

SWEEP_S: Final = 5.0
REORDER_S: Final = 0.25
"""How long a missing number may be merely late before it is fetched."""
RETRY_S: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
QUIET_REPAIRS_MAX: Final = 3
"""So many gaps in a row filled over REST, and no data from the stream: it is not worth keeping."""


class Sync:
    """Takes stream messages in, and repairs what they leave out."""

    def __init__(self, store: OrderStore, api: VenueApi) -> None:
        self._store = store
        self._api = api
        self._orders = Sequence()
        self._latest = {"fills": 0, "orders": 0}
        self._due = asyncio.Event()
        self._connection = 0
        self._subscribed = False
        self._quiet_repairs = 0
        self.level = asyncio.Event()
        """Set while subscribed and resynced since."""

    @property
    def stale(self) -> bool:
        """Whether the store may be behind the venue by more than what is just on its way."""
        return not self.level.is_set() or self._missing()

    @property
    def mute(self) -> bool:
        """The stream beats, and says nothing of what happens."""
        return self._quiet_repairs >= QUIET_REPAIRS_MAX

    def _missing(self) -> bool:
        return (
            self._store.fills_read.contiguous < self._latest["fills"]
            or self._orders.contiguous < self._latest["orders"]
            or bool(self._store.short)
        )

    # What the stream says

    def disconnected(self) -> None:
        """The connection is gone, and with it the subscription."""
        self._subscribed = False
        self._quiet_repairs = 0
        self.level.clear()

    async def message(self, data: object) -> None:
        """Take in one stream message. Raises Unreadable for what is none."""
        fields: Mapping[str, Any] = data if isinstance(data, dict) else {}
        topic = fields.get("topic")
        try:
            if topic == "fills":
                await self._fill(fields)
            elif topic == "orders":
                await self._order(fields)
            elif topic == "snapshot":
                await self._store.seen(*map(read_order, read_list(fields, "orders")))
            elif topic == "heartbeat":
                self._heartbeat(fields.get("last_sequence"))
            elif topic == "subscribed":
                self._connection += 1
                self._subscribed = True
                self._due.set()
            elif topic == "error" or not isinstance(topic, str):
                raise Unreadable(f"not a stream message: {str(fields.get('message', 'it has no topic'))[:100]}")
        except StoreUnavailable:
            # The message is lost to us; what it said is still at the venue.
            self._due.set()
        if self._missing():
            self._due.set()

    async def _fill(self, fields: Mapping[str, Any]) -> None:
        fill = read_fill(fields.get("data"))
        self._quiet_repairs = 0
        number = self._heard("fills", fields.get("sequence"))
        await self._store.apply(replace(fill, sequence=fill.sequence or number))

    async def _order(self, fields: Mapping[str, Any]) -> None:
        order = read_order(fields.get("data"))
        self._quiet_repairs = 0
        number = self._heard("orders", fields.get("sequence"))
        await self._store.seen(order)
        if number is not None:
            self._orders = self._orders.with_numbers(number)

    def _heartbeat(self, last: object) -> None:
        if isinstance(last, dict):
            for topic in self._latest:
                self._heard(topic, last.get(topic))

    def _heard(self, topic: str, value: object) -> int | None:
        number = read_sequence(value)
        if number is not None:
            self._latest[topic] = max(self._latest[topic], number)
        return number

    # What it left out

    async def run(self) -> None:
        """Resync whenever it is due, for ever."""
        failures = 0
        while True:
            await self._until_due(failures)
            missing = self._missing()
            try:
                await self._resync()
            except (VenueError, StoreUnavailable) as error:
                log.warning("resync failed, will be repeated: %s", error)
                failures += 1
                continue
            if self._missing():
                failures += 1
                continue
            failures = 0
            if missing and self._subscribed:
                self._quiet_repairs += 1

    async def _until_due(self, failures: int) -> None:
        if failures:
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S)) - 1] * random.uniform(0.8, 1.2))
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._due.wait()
                    if self.level.is_set():
                        await asyncio.sleep(REORDER_S)
        self._due.clear()

    async def _resync(self) -> None:
        connection, told_of = self._connection, self._latest["orders"]
        await self._fetch_fills()
        await self._fetch_orders()
        # What was just read is as new as every message heard of before, unless queries trail: then the orders that
        # are still open are read again by the next sweep, and missing fills show in what the venue reports.
        self._orders = self._orders.up_to(told_of)
        if self._subscribed and self._connection == connection:
            self.level.set()

    async def _fetch_fills(self) -> None:
        since = self._store.fills_read.contiguous
        while True:
            page = await self._api.fills(since=since)
            await self._store.apply(*page.fills)
            last = max((fill.sequence or 0 for fill in page.fills), default=0)
            if not page.more or last <= since:
                return
            since = last

    async def _fetch_orders(self) -> None:
        found = await self._api.open_orders()
        await self._store.seen(*found)
        listed = {order.order_id for order in found}
        for order in list(self._store.orders.values()):
            if order.order_id and not order.ended and order.order_id not in listed:
                # Ended meanwhile, or too new for a query that trails: its own record tells.
                with suppress(Declined):
                    await self._store.seen(await self._api.order(order.order_id))

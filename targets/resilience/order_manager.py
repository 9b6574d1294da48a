"""Orders: each request is carried out at most once, and what became of it is found out, whatever gets lost.

* A request is written down before anything is sent for it, under its id and a key that follows from the id alone: not
  even a lost store could give it another one. Asked again under the same id, also after a restart, it is the same
  request (:mod:`~targets.resilience.settlement` has the rules for what may be sent when).
* A cancel and a replacement are requests like any other, written down before they are sent. A placement that waits
  for its turn when a cancel is asked for is never sent.
* An answer that only acknowledges an order is verified by looking the order up; one that shows the whole order under
  our key is the venue's own record already.
* What the stream says is believed when it comes, also before the answer to the placement.

Work on a request goes on in the background until it is settled; ``verification_timeout`` only limits how long its
caller waits for that.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Container, Coroutine
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any, Final

from targets.resilience.calls import Handler, VenueCalls
from targets.resilience.error_handler import Readiness
from targets.resilience.errors import StateUnavailableError
from targets.resilience.fills import EarlyOrders, FillStatus, OrderEvent, fill_status
from targets.resilience.order_requests import (
    OrderManagerConfig,
    OrderRequest,
    OrderResponse,
    OrderUncertainError,
)
from targets.resilience.records import Amendment, OrderRecord
from targets.resilience.settlement import Failure, Settlement
from targets.resilience.state_manager import StateManager
from targets.resilience.venue import (
    Fill,
    Order,
    OrderSide,
    OrderStatus,
    OrderType,
    Placement,
    Venue,
)

__all__ = [
    "FillStatus",
    "Order",
    "OrderEvent",
    "OrderManager",
    "OrderManagerConfig",
    "OrderRequest",
    "OrderResponse",
    "OrderSide",
    "OrderStatus",
    "OrderType",
    "OrderUncertainError",
]

log = logging.getLogger(__name__)

KEY_SPACE: Final = uuid.UUID("8f0c9c52-6c1f-4c8e-9d0e-1f2f6a3c7b11")
VERIFY_FIRST_S: Final = 0.25
"""First wait before an order that is not found is looked up again; doubled each time."""

Settle = Callable[[], Coroutine[Any, Any, None]]


class OrderManager:
    """Places, cancels, replaces and follows the orders of one account.

    Without a ``venue`` it can be fed by hand: ``_place_order_internal`` has to be replaced then. Without a ``state``
    it remembers nothing beyond its own life. ``admit`` is asked when an order is requested and again at the moment of
    sending, and refuses it by raising a ResilienceError: what waits for its turn does not outlive a kill switch.
    """

    def __init__(
        self,
        config: OrderManagerConfig,
        error_handler: Handler,
        venue: Venue | None = None,
        state: StateManager | None = None,
        tokens: Readiness | None = None,
        admit: Callable[[OrderRecord], None] = lambda record: None,
    ) -> None:
        self.config = config
        self.error_handler = error_handler
        self._venue = venue
        self._state = state or StateManager()
        self._owns_state = state is None
        self._admit = admit
        self._early = EarlyOrders()
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._calls = VenueCalls(error_handler, venue, lambda *order: self._place_order_internal(*order), tokens)
        self._settlement = Settlement(
            self._state,
            self._calls,
            early=self._early.take,
            at_work=self.at_work,
            admit=admit,
            retry_unsent=config.retry_unsent,
        )
        self._opened = not self._owns_state

    async def start(self) -> None:
        """Take up what an earlier process left unsettled. The state has to be initialized."""
        await self._open()
        self._settlement.doubt_everything_unsettled()
        for record in list(self._state.orders.values()):
            if not record.settled:
                self._work(record.request_id, partial(self._settlement.settle_order, record))
        for amendment in list(self._state.amendments.values()):
            if not amendment.outcome:
                self._work(amendment.request_id, partial(self._settlement.settle_amendment, amendment))

    async def stop(self) -> None:
        """End all work; what is unsettled is taken up by the next start. Who still waits is told that it is unknown."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if self._owns_state and self._opened:
            self._opened = False
            self._state.close()

    def at_work(self, request_id: str) -> bool:
        """Whether a request is being worked on now."""
        return request_id in self._workers

    async def _open(self) -> None:
        if not self._opened:
            await self._state.initialize()
            self._opened = True

    # Requests

    async def place_order(self, request: OrderRequest) -> OrderResponse:
        """Place an order, or tell what became of it when it was asked for before.

        Raises what ``admit`` raises. Raises what kept the outcome from being known (ConnectionError, APIError,
        OrderUncertainError): then it is worked on still. Raises ServiceUnavailableError and other errors without
        effect when it was not sent and, without ``retry_unsent``, will not be; StateUnavailableError when it could not
        be written down, and so was not sent either.
        """
        await self._open()
        request_id = request.id if request.id and self.config.idempotency_enabled else uuid.uuid4().hex
        known = self._state.orders.get(request_id)
        record = known or self._record(request_id, request)
        if known is None:
            self._admit(record)
        if not record.settled:
            await self._wait(request_id, partial(self._settlement.settle_order, record), self._state.orders)
        settled = self._state.orders[request_id]
        if not settled.settled:
            raise self._settlement.cause(request_id) or OrderUncertainError(f"{request_id}: nobody knows yet")
        if not settled.accepted:
            return OrderResponse(False, settled.order_id, settled.status, error=f"{request_id} was not placed")
        verified = await self._verified(request_id)
        settled = self._state.orders[request_id]
        return OrderResponse(True, settled.order_id, settled.status, verified)

    async def cancel_order(self, of: str, *, id: str = "") -> OrderResponse:
        """Cancel the order of request ``of``; ``success`` means that it is ended and was not filled.

        Raises like ``place_order``.
        """
        return await self._amend(Amendment(id or f"cancel {of}", "cancel", of))

    async def replace_order(
        self, of: str, *, size: Decimal, limit_price: Decimal | None, id: str = ""
    ) -> OrderResponse:
        """Give the order of request ``of`` a new total size and price. Raises like ``place_order``."""
        return await self._amend(Amendment(id or uuid.uuid4().hex, "replace", of, size, limit_price))

    async def _amend(self, amendment: Amendment) -> OrderResponse:
        await self._open()
        if amendment.of not in self._state.orders and amendment.of not in self._workers:
            return OrderResponse(False, error=f"there is no order of request {amendment.of}")
        amendment = self._state.amendments.get(amendment.request_id, amendment)
        request_id = amendment.request_id
        if not amendment.outcome:
            await self._wait(request_id, partial(self._settlement.settle_amendment, amendment), self._state.amendments)
        stored = self._state.amendments.get(request_id)
        if stored is None:
            return OrderResponse(False, error=f"there is no order of request {amendment.of}")
        if not stored.outcome:
            raise self._settlement.cause(request_id) or OrderUncertainError(f"{request_id}: nobody knows yet")
        order = self._state.orders.get(amendment.of)
        done = stored.outcome == "accepted"
        return OrderResponse(done, "" if order is None else order.order_id, None if order is None else order.status)

    def _record(self, request_id: str, request: OrderRequest) -> OrderRecord:
        return OrderRecord(
            request_id,
            request.client_key or uuid.uuid5(KEY_SPACE, request_id).hex[: self._calls.rules.key_length],
            str(request.account_id),
            request.contract_id,
            request.side,
            request.type,
            Decimal(request.size),
            request.limit_price,
            request.stop_price,
        )

    # Queries

    async def fetch_orders(self) -> tuple[Order, ...]:
        """The orders that the venue holds open."""
        orders = await self._fetch_orders()
        await self._state.snapshot(orders)
        return orders

    async def fetch_historical_data(self, since: str = "") -> tuple[Fill, ...]:
        """One page of old fills, from the bucket of historical queries."""
        return (await self._calls.history(since)).fills

    def get_fill_status(self, order_id: str) -> FillStatus:
        """How much of an order is filled, by the venue's order id."""
        return fill_status(order_id, self._state.by_order_id(order_id), self._early.get(order_id))

    # The stream

    async def handle_order_event(self, event: OrderEvent) -> None:
        """Believe what the stream says of an order. Raises StateUnavailableError."""
        await self.hear(event.order())

    async def hear(self, *orders: Order) -> None:
        """Believe what is told of orders, also of such that nobody knows yet. Raises StateUnavailableError."""
        await self._open()
        for order in orders:
            if not self._state.knows(order):
                self._early.hear(order)
        await self._state.seen(*orders)

    # The venue

    async def _place_order_internal(self, placement: Placement, unless: Callable[[], bool]) -> Order | OrderResponse:
        return await self._calls.venue.place(placement, unless=unless)

    async def _fetch_orders(self) -> tuple[Order, ...]:
        return await self._calls.open_orders()

    async def _fetch_order_by_id(self, order_id: str) -> Order:
        if self._venue is None:
            # Nobody to ask: what the answer said is all there is.
            status = self.get_fill_status(order_id)
            return Order(order_id, status.status, size=status.size, filled=status.filled)
        return await self._calls.order(order_id)

    async def _verified(self, request_id: str) -> bool:
        """Whether the order is found at the venue. Looks only where its placement was merely acknowledged."""
        if not self.config.verification_enabled or request_id not in self._settlement.unverified:
            return True
        order_id, wait_s = self._state.orders[request_id].order_id, VERIFY_FIRST_S
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.verification_timeout / 1000):
                while True:
                    try:
                        await self._state.seen(await self._fetch_order_by_id(order_id))
                    except Failure as error:
                        # Queries may trail the truth, so that it is not found proves nothing.
                        log.debug("%s: not verified yet: %s", request_id, error)
                    else:
                        self._settlement.unverified.discard(request_id)
                        return True
                    await asyncio.sleep(wait_s)
                    wait_s *= 2
        log.warning("%s: acknowledged as %s, and not to be found", request_id, order_id)
        return False

    # Work

    async def _wait(self, request_id: str, settle: Settle, stored: Container[str]) -> None:
        """Until the request is settled, or its caller's time is over. That does not end the work on it.

        What could not even be stored by then will not be: nothing was sent for it, and its caller is told so.
        """
        worker = self._work(request_id, settle)
        done, _ = await asyncio.wait({worker}, timeout=self.config.verification_timeout / 1000)
        if not done and request_id not in stored:
            worker.cancel()
            done, _ = await asyncio.wait({worker})
            if request_id in stored:
                self._work(request_id, settle)
            else:
                raise StateUnavailableError(f"{request_id}: could not be written down, and so was not sent")
        for ended in done:
            if not ended.cancelled():
                ended.result()

    def _work(self, request_id: str, settle: Settle) -> asyncio.Task[None]:
        """The one task that works on a request, however many ask for it."""
        worker = self._workers.get(request_id)
        if worker is None:
            worker = self._workers[request_id] = asyncio.create_task(settle())
            worker.add_done_callback(partial(self._worked, request_id))
        return worker

    def _worked(self, request_id: str, worker: asyncio.Task[None]) -> None:
        self._workers.pop(request_id, None)
        if not worker.cancelled() and worker.exception() is not None:
            log.info("%s was given up: %s", request_id, worker.exception())

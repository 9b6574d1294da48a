"""The venue's calls as the order side makes them: each through the error handler, under a name for its limits.

The names are the same for all venues (``Order/place``, ``History/bars``...), so that one set of bucket rules reads
alike everywhere. There is one layer of retries: what the settlement repeats by its own rules is tried once here, and
everything else is a query, which the error handler may repeat as it likes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Protocol, TypeVar

from targets.resilience.error_handler import Readiness
from targets.resilience.errors import ConfigurationError
from targets.resilience.order_requests import OrderResponse, as_order
from targets.resilience.venue import FillPage, Order, Placement, Venue, VenueRules, WithdrawnError

T = TypeVar("T")
Send = Callable[[Placement, Callable[[], bool]], Awaitable[Order | OrderResponse]]


class Handler(Protocol):
    """What is needed of the error handler."""

    async def execute(
        self,
        call: Callable[[], Awaitable[T]],
        *,
        safe_to_repeat: bool = True,
        endpoint: str = "",
        exempt: bool = False,
        attempts_max: int | None = None,
        needs: Readiness | None = None,
    ) -> T:
        """Admit, try, sort out what came of it, and try again where that is safe."""
        ...


class VenueCalls:
    """One venue behind one error handler. ``place`` stands for the venue's own placing, ``tokens`` get ready first."""

    def __init__(self, handler: Handler, venue: Venue | None, place: Send, tokens: Readiness | None = None) -> None:
        self._handler = handler
        self._venue = venue
        self._place = place
        self._tokens = tokens
        self.rules = VenueRules() if venue is None else venue.rules

    @property
    def venue(self) -> Venue:
        """The venue. Raises ConfigurationError when there is none."""
        if self._venue is None:
            raise ConfigurationError("the order manager was made without a venue")
        return self._venue

    async def place(self, placement: Placement, unless: Callable[[], bool], *, attempts_max: int | None) -> Order:
        """Place an order. An unknown effect is never followed by another try here."""
        answer = await self._handler.execute(
            lambda: self._place(placement, unless),
            safe_to_repeat=False,
            endpoint="Order/place",
            attempts_max=attempts_max,
            needs=self._tokens,
        )
        return as_order(answer, placement)

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order, also while the breaker is open: it only ever lowers the risk."""
        return await self._once(lambda: self.venue.cancel(order_id), "Order/cancel", exempt=True)

    async def replace(
        self, order_id: str, *, size: Decimal, price: Decimal | None, unless: Callable[[], bool]
    ) -> Order:
        """Give an order a new size and price. ``unless`` is asked once the limits have let it through."""

        async def replaced() -> Order:
            if unless():
                raise WithdrawnError(f"{order_id} is not replaced: that is not wanted any more")
            return await self.venue.replace(order_id, size=size, price=price)

        return await self._once(replaced, "Order/replace")

    async def find(self, client_key: str, contract_id: str) -> Order | None:
        """The order with this key, or None. Once: whoever is in doubt asks again by itself."""
        return await self._once(lambda: self.venue.find(client_key, contract_id), "Order/search")

    async def order(self, order_id: str) -> Order:
        """One order."""
        return await self._once(lambda: self.venue.order(order_id), "Order/search")

    async def open_orders(self) -> tuple[Order, ...]:
        """All open orders."""
        return await self._handler.execute(self.venue.open_orders, endpoint="Order/searchOpen", needs=self._tokens)

    async def fills(self, since: str) -> FillPage:
        """Fills after a cursor."""
        return await self._handler.execute(lambda: self.venue.fills(since), endpoint="Trade/search", needs=self._tokens)

    async def history(self, since: str) -> FillPage:
        """Old fills: the same data from the bucket of historical queries."""
        return await self._handler.execute(
            lambda: self.venue.fills(since), endpoint="History/fills", needs=self._tokens
        )

    async def _once(self, call: Callable[[], Awaitable[T]], endpoint: str, *, exempt: bool = False) -> T:
        return await self._handler.execute(
            call, safe_to_repeat=False, endpoint=endpoint, exempt=exempt, attempts_max=1, needs=self._tokens
        )

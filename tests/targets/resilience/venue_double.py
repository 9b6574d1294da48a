"""A venue in a few lines, for the order side alone: it does what it is told to do wrong, and counts what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from targets.resilience.errors import APIError
from targets.resilience.venue import (
    Account,
    Fill,
    FillPage,
    Order,
    OrderEndedError,
    OrderStatus,
    Placement,
    Position,
    UnknownOrderError,
    VenueRules,
    WithdrawnError,
)

T = TypeVar("T")
Trouble = Callable[[], Awaitable[None]] | BaseException


class Direct:
    """An error handler that only calls."""

    def __init__(self) -> None:
        self.endpoints: list[str] = []
        self.exempt: set[str] = set()

    async def execute(
        self, call: Callable[[], Awaitable[T]], *, endpoint: str = "", exempt: bool = False, **settings: Any
    ) -> T:
        self.endpoints.append(endpoint)
        if exempt:
            self.exempt.add(endpoint)
        return await call()


class VenueDouble:
    """Holds orders. ``before`` and ``after`` hold what strikes the next requests, by the name of the call."""

    def __init__(self, **rules: Any) -> None:
        self.rules = VenueRules(**rules)
        self.held: dict[str, Order] = {}
        self.sent: list[str] = []
        self.before: dict[str, list[Trouble]] = {}
        self.after: dict[str, list[Trouble]] = {}
        self.logged: list[Fill] = []
        self.hidden: set[str] = set()
        self.acknowledges_only = False

    async def _carry_out(self, name: str, act: Callable[[], T]) -> T:
        self.sent.append(name)
        await _strike(self.before.get(name))
        result = act()
        await _strike(self.after.get(name))
        return result

    def count(self, name: str) -> int:
        return self.sent.count(name)

    async def place(self, placement: Placement, *, unless: Callable[[], bool]) -> Order:
        await _strike(self.before.get("token"))
        if unless():
            raise WithdrawnError("no longer wanted")

        def act() -> Order:
            order = Order(
                f"order{len(self.held) + 1}",
                OrderStatus.OPEN,
                placement.client_key,
                placement.contract_id,
                placement.side,
                placement.size,
                price=placement.limit_price,
            )
            self.held[order.id] = order
            return replace(order, confirmed=not self.acknowledges_only)

        return await self._carry_out("place", act)

    async def find(self, client_key: str, contract_id: str) -> Order | None:
        def act() -> Order | None:
            found = (order for order in self.held.values() if order.client_key == client_key)
            return next((order for order in found if order.id not in self.hidden), None)

        return await self._carry_out("find", act)

    async def order(self, order_id: str) -> Order:
        return await self._carry_out("order", lambda: self._order(order_id))

    def _order(self, order_id: str) -> Order:
        if order_id not in self.held or order_id in self.hidden:
            raise UnknownOrderError("no such order", 404)
        return self.held[order_id]

    async def open_orders(self) -> tuple[Order, ...]:
        return await self._carry_out(
            "open_orders", lambda: tuple(order for order in self.held.values() if not order.ended)
        )

    async def cancel(self, order_id: str) -> Order:
        return await self._carry_out("cancel", lambda: self._amend(order_id, status=OrderStatus.CANCELED))

    async def replace(self, order_id: str, *, size: Decimal, price: Decimal | None) -> Order:
        return await self._carry_out("replace", lambda: self._amend(order_id, size=size, price=price))

    def _amend(self, order_id: str, **changes: Any) -> Order:
        order = self._order(order_id)
        if order.ended:
            raise OrderEndedError("it is over", 409)
        self.held[order_id] = replace(order, **changes)
        return self.held[order_id]

    async def fills(self, since: str) -> FillPage:
        first = int(since or 0)
        return await self._carry_out(
            "fills", lambda: FillPage(tuple(self.logged[first:]), str(len(self.logged)), more=False)
        )

    async def positions(self) -> tuple[Position, ...]:
        return ()

    async def account(self) -> Account:
        return Account("1", Decimal(0))


async def _strike(troubles: list[Trouble] | None) -> None:
    if troubles:
        trouble = troubles.pop(0)
        if isinstance(trouble, BaseException):
            raise trouble
        await trouble()


def lost() -> APIError:
    """No answer came."""
    return APIError("no answer")


def declined(status: int = 422) -> APIError:
    return APIError("no", status)


async def until(condition: Callable[[], object], *, within_s: float = 60.0) -> None:
    """Wait, in virtual time, until ``condition`` holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

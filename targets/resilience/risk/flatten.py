"""Closing positions without ever opening one.

Round after round until nothing is left: cancel what is live, and send one order that closes what certainly is held and
nobody closes yet. An order whose fate is unknown counts as live, so a close is never sent again blind, and what is
merely late can at worst make a close too small for one round. |position| therefore never grows by our hand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from targets.resilience.errors import APIError, ResilienceError
from targets.resilience.risk.book import Book
from targets.resilience.risk.model import Proposal

log = logging.getLogger(__name__)


class Trading(Protocol):
    """What the engine needs of an order manager. What becomes of an order is told by events, not by return values."""

    async def cancel(self, intent: str) -> None:
        """Ask for an order to be cancelled."""
        ...

    async def close(self, order: Proposal) -> None:
        """Send a market order. Raises APIError with ``effect`` "none" if it certainly was not carried out."""
        ...


class Flattener:
    """One flattening at a time; a second one widens the first."""

    def __init__(self, trading: Trading, book: Book, new_intent: Callable[[], str], retry_s: float) -> None:
        self._trading = trading
        self._book = book
        self._new_intent = new_intent
        self._retry_s = retry_s
        self._symbols: set[str] | None = set()
        self._task: asyncio.Task[None] | None = None
        self._ours: set[str] = set()
        self._again_at: dict[str, float] = {}
        self.news = asyncio.Event()
        """Set whenever the book has changed: a round need not wait then."""

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The flattening that runs, if any."""
        return self._task

    def owns(self, intent: str) -> bool:
        """Whether that order is a close of the flattening that runs."""
        return intent in self._ours

    @property
    def scope(self) -> set[str]:
        """The symbols that are being closed and are not done."""
        symbols = self._book.symbols() if self._symbols is None else self._symbols
        return {symbol for symbol in symbols if any(self._book.exposure(symbol)) or self._live(symbol)}

    def begin(self, symbol: str = "") -> asyncio.Task[None]:
        """Close ``symbol``, or everything; the task ends when nothing is held or live there."""
        if not symbol:
            self._symbols = None
        elif self._symbols is not None:
            self._symbols.add(symbol)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._done)
        self.news.set()
        return self._task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task, self._symbols = None, set()
        self._ours.clear()
        self._again_at.clear()

    async def _run(self) -> None:
        while scope := self.scope:
            self.news.clear()
            for symbol in sorted(scope):
                await self._round(symbol)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._retry_s):
                    await self.news.wait()

    def _live(self, symbol: str) -> list[str]:
        return [intent for intent, working in self._book.working.items() if working.proposal.symbol == symbol]

    async def _round(self, symbol: str) -> None:
        for intent in self._live(symbol):
            if intent not in self._ours:
                await self._tried(self._trading.cancel(intent), f"cancel {intent}")
        side, quantity = self._book.closable(symbol)
        now = asyncio.get_running_loop().time()
        if not quantity or now < self._again_at.get(symbol, now):
            return
        # However fast a venue says no, and however much news there is: one close at a time.
        self._again_at[symbol] = now + self._retry_s
        order = Proposal(self._new_intent(), symbol, side, quantity)
        self._ours.add(order.intent)
        self._book.sent(order)
        error = await self._tried(self._trading.close(order), f"close {quantity} {symbol}")
        if isinstance(error, APIError) and error.effect == "none":
            self._book.working.pop(order.intent, None)

    async def _tried(self, call: Awaitable[None], what: str) -> ResilienceError | None:
        try:
            await call
        except ResilienceError as error:
            log.warning("flatten: %s failed: %s", what, error)
            return error
        return None

"""What must survive a crash: orders, amendments, fills, and how far the fills were read.

Every change is committed first and believed afterwards; what is in memory mirrors what is on disk, so reading is
cheap. One lock makes each change (read, decide, commit, mirror) one step, also when the commit has to wait for a
database that somebody else has locked.

The journal is a rollback journal and not a WAL: there is one process and one writer, nothing to gain from readers
beside it, and a store that is one file can be copied and moved without leaving its last commits behind in a
``-wal``. ``synchronous=FULL`` because what was answered to the caller must outlive a power cut.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from targets.order_model import Amendment, Order, WireFill, WireOrder
from targets.order_model import Sequence as Numbers

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S: Final = 0.1
"""How long SQLite itself waits for a lock. Short, because it blocks the event loop while it does."""
BUSY_WAITS_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""And how long we wait between tries, which blocks nobody."""

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS orders (intent TEXT PRIMARY KEY, key TEXT UNIQUE NOT NULL, symbol TEXT, side TEXT,"
    " order_type TEXT, quantity TEXT, price TEXT, order_id TEXT, status TEXT, filled TEXT, reported TEXT)",
    "CREATE TABLE IF NOT EXISTS amendments (intent TEXT PRIMARY KEY, kind TEXT, of TEXT, quantity TEXT, price TEXT,"
    " outcome TEXT)",
    "CREATE TABLE IF NOT EXISTS fills (fill_id TEXT PRIMARY KEY, order_id TEXT, key TEXT, symbol TEXT, side TEXT,"
    " quantity TEXT, price TEXT, sequence INTEGER)",
    "CREATE TABLE IF NOT EXISTS cursors (topic TEXT PRIMARY KEY, contiguous INTEGER)",
)

Statement = tuple[str, Sequence[object]]


class StoreUnavailable(Exception):
    """A change could not be committed, and so did not happen: the disk is full, or the database stayed locked."""


class OrderStore:
    """The client's durable state. Money and quantities are decimal text on disk, Decimal in memory."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._changing = asyncio.Lock()
        self._by_key: dict[str, str] = {}
        self._news: dict[str, asyncio.Event] = {}
        self.orders: dict[str, Order] = {}
        self.amendments: dict[str, Amendment] = {}
        self.fills: dict[str, None] = {}
        """Ids of the fills applied, in that order."""
        self.positions: dict[str, Decimal] = {}
        self.fills_read = Numbers()
        self.short: set[str] = set()
        """Orders of which the venue has told more than the fills that arrived."""

    async def open(self) -> None:
        """Open the file and read it. Raises StoreUnavailable, and may then be called again."""
        # Transactions are written out (isolation_level=None): the module's own begin too late and end too quietly.
        self._db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        try:
            self._db.execute("PRAGMA journal_mode=TRUNCATE")
            self._db.execute("PRAGMA synchronous=FULL")
            if not self._db.execute("SELECT name FROM sqlite_master").fetchone():
                await self._commit(*((statement, ()) for statement in SCHEMA))
            self._load()
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.OperationalError):
                raise StoreUnavailable(str(error)) from error
            raise

    def close(self) -> None:
        """Close the file; what was read stays readable."""
        self._db.close()

    def news(self, intent: str) -> asyncio.Event:
        """Set whenever something is heard of ``intent``."""
        return self._news.setdefault(intent, asyncio.Event())

    def cancel_wanted(self, intent: str) -> bool:
        """Whether a cancel of this order was asked for and is not settled."""
        return any(a.of == intent and a.kind == "cancel" and not a.outcome for a in self.amendments.values())

    async def add_order(self, order: Order) -> None:
        """Remember an intent, before anything is sent for it."""
        async with self._changing:
            if order.intent not in self.orders:
                await self._commit(
                    (
                        "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            *(order.intent, order.key, order.symbol, order.side, order.order_type, order.quantity),
                            *(order.price, order.order_id, order.status, str(order.filled), str(order.reported)),
                        ),
                    )
                )
                self._mirror(order)

    async def add_amendment(self, amendment: Amendment) -> None:
        """Remember a cancel or a replacement, before anything is sent for it."""
        async with self._changing:
            if amendment.intent not in self.amendments:
                a = amendment
                await self._commit(
                    (
                        "INSERT INTO amendments VALUES (?, ?, ?, ?, ?, ?)",
                        (a.intent, a.kind, a.of, a.quantity, a.price, a.outcome),
                    )
                )
                self.amendments[a.intent] = a
                self.news(a.of).set()

    async def settle(self, intent: str, outcome: str) -> None:
        """Remember what became of an amendment."""
        async with self._changing:
            await self._commit(("UPDATE amendments SET outcome = ? WHERE intent = ?", (outcome, intent)))
            self.amendments[intent] = replace(self.amendments[intent], outcome=outcome)

    async def end_unplaced(self, intent: str, status: str) -> None:
        """The venue certainly has no such order: it said no (``rejected``), or nobody wants it now (``canceled``)."""
        async with self._changing:
            order = self.orders[intent]
            if not order.settled:
                await self._save([replace(order, status=status)])

    def doubt(self, intent: str) -> None:
        """Nobody knows whether the venue has this order. Not written: a restart doubts everything unsettled."""
        order = self.orders[intent]
        if order.status == "pending":
            self._mirror(replace(order, status="unknown"))

    async def seen(self, *told: WireOrder) -> None:
        """Take in orders as the venue tells them, from wherever. Orders of somebody else are left alone."""
        async with self._changing:
            changed: dict[str, Order] = {}
            for wire in told:
                intent = self._by_key.get(wire.key)
                if intent is None:
                    continue
                order = changed.get(intent) or self.orders[intent]
                if order.order_id not in ("", wire.order_id):
                    log.error("intent %s has a second order at the venue: %s", intent, wire.order_id)
                    continue
                after = order.told(wire)
                if after is not order:
                    changed[intent] = after
            await self._save(changed.values())

    async def apply(self, *fills: WireFill) -> None:
        """Apply fills, each once however often it arrives, and note how far they were read."""
        async with self._changing:
            fresh = {fill.fill_id: fill for fill in fills if fill.fill_id not in self.fills}
            numbers = self.fills_read.with_numbers(*(fill.sequence for fill in fills if fill.sequence is not None))
            changed: dict[str, Order] = {}
            for fill in fresh.values():
                # A fill of somebody else's order counts for the position and for no intent.
                intent = self._by_key.get(fill.key, "")
                order = changed.get(intent) or self.orders.get(intent)
                if order is not None and order.order_id in ("", fill.order_id):
                    changed[intent] = order.with_fill(fill, amended=self._replaced(intent))
            statements = [_insert_fill(fill) for fill in fresh.values()]
            if numbers.contiguous > self.fills_read.contiguous:
                statements.append(("INSERT OR REPLACE INTO cursors VALUES ('fills', ?)", (numbers.contiguous,)))
            await self._save(changed.values(), *statements)
            self.fills_read = numbers
            for fill in fresh.values():
                self._book(fill.fill_id, fill.symbol, fill.side, fill.quantity)

    def _replaced(self, intent: str) -> bool:
        return any(a.of == intent and a.kind == "replace" for a in self.amendments.values())

    def _book(self, fill_id: str, symbol: str, side: str, quantity: Decimal) -> None:
        self.fills[fill_id] = None
        signed = quantity if side == "buy" else -quantity
        self.positions[symbol] = self.positions.get(symbol, Decimal(0)) + signed

    async def _save(self, orders: Iterable[Order], *more: Statement) -> None:
        orders = list(orders)
        statements = [
            (
                "UPDATE orders SET order_id = ?, status = ?, filled = ?, reported = ? WHERE intent = ?",
                (order.order_id, order.status, str(order.filled), str(order.reported), order.intent),
            )
            for order in orders
        ]
        if statements or more:
            await self._commit(*statements, *more)
        for order in orders:
            self._mirror(order)

    def _mirror(self, order: Order) -> None:
        self.orders[order.intent] = order
        self._by_key[order.key] = order.intent
        if order.reported > order.filled:
            self.short.add(order.intent)
        else:
            self.short.discard(order.intent)
        self.news(order.intent).set()

    def _load(self) -> None:
        for row in self._db.execute("SELECT * FROM orders ORDER BY rowid"):
            order = Order(*row[:-2])
            self._mirror(replace(order, filled=Decimal(row["filled"]), reported=Decimal(row["reported"])))
            self.doubt(order.intent)
        for row in self._db.execute("SELECT * FROM amendments ORDER BY rowid"):
            self.amendments[row[0]] = Amendment(*row)
        for fill_id, symbol, side, quantity in self._db.execute(
            "SELECT fill_id, symbol, side, quantity FROM fills ORDER BY rowid"
        ):
            self._book(fill_id, symbol, side, Decimal(quantity))
        for (contiguous,) in self._db.execute("SELECT contiguous FROM cursors WHERE topic = 'fills'"):
            self.fills_read = Numbers(contiguous)

    async def _commit(self, *statements: Statement) -> None:
        for wait_s in (*BUSY_WAITS_S, None):
            try:
                self._transact(statements)
                return
            except sqlite3.OperationalError as error:
                if wait_s is None or "locked" not in str(error):
                    log.error("%s: nothing was written: %s", self._path, error)
                    raise StoreUnavailable(str(error)) from error
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))

    def _transact(self, statements: Iterable[Statement]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement, parameters in statements:
                self._db.execute(statement, parameters)
            self._db.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, and not after others.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def _insert_fill(fill: WireFill) -> Statement:
    return (
        "INSERT OR IGNORE INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(fill.fill_id, fill.order_id, fill.key, fill.symbol, fill.side),
            *(str(fill.quantity), str(fill.price), fill.sequence),
        ),
    )

"""What must survive a crash: orders, amendments, fills, how far the fills were read, and what others ask to keep.

Every change is committed first and believed afterwards; what is in memory mirrors what is on disk, so reading is
cheap. One lock makes each change (read, decide, commit, mirror) one step, also when the commit has to wait for a
database that somebody else has locked. A change that cannot be committed is a StateUnavailableError and did not
happen.

Positions are the sum of the fills, plus a correction where the venue's word was adopted: what was held before this
store began, or was traded while nobody looked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from targets.resilience import schema
from targets.resilience.database import Database, Statement
from targets.resilience.integrity import Mirror, inconsistencies
from targets.resilience.records import Amendment, OrderRecord, Outcome
from targets.resilience.sequence import Sequence
from targets.resilience.venue import ZERO, Fill, Order, OrderStatus, Position

log = logging.getLogger(__name__)


class StateManager:
    """The client's durable state. The mappings are for reading; only the methods change them."""

    def __init__(self, path: str = ":memory:") -> None:
        self._database = Database(path, schema.MIGRATIONS)
        self._changing = asyncio.Lock()
        self._by_key: dict[str, str] = {}
        self._by_order_id: dict[str, str] = {}
        self._amendments_of: dict[str, list[str]] = {}
        self._unclaimed: dict[str, list[Fill]] = {}
        self._voided: set[str] = set()
        self._sections: dict[str, dict[str, str]] = {}
        self._cursors: dict[str, str] = {}
        self._news: dict[str, asyncio.Event] = {}
        self.orders: dict[str, OrderRecord] = {}
        """By request id."""
        self.amendments: dict[str, Amendment] = {}
        self.fills: dict[str, None] = {}
        """Ids of the fills applied, in that order."""
        self.positions: dict[str, Decimal] = {}
        self.corrections: dict[str, Decimal] = {}
        """The part of the positions that no fill explains."""
        self.external: dict[str, Order] = {}
        """Open orders of somebody else by the venue's id, as of the last snapshot."""
        self.fills_read = Sequence()
        self.short: set[str] = set()
        """Requests of which the venue has told more filled than the fills that arrived."""
        self.on_change: list[Callable[[], None]] = []
        """Called after each change, when it is committed and believed."""
        self.on_fills: list[Callable[[Iterable[Fill]], None]] = []
        """Called with the fills of a change, right before ``on_change``."""

    async def initialize(self) -> None:
        """Open the file and read it. Raises StateUnavailableError, and may then be called again."""
        await self._database.open()
        for row in self._database.rows(schema.ORDERS):
            record = schema.read_record(row)
            self._mirror(record)
            self.doubt(record.request_id)
        for row in self._database.rows(schema.AMENDMENTS):
            self._mirror_amendment(schema.read_amendment(row))
        for row in self._database.rows(schema.FILLS):
            fill = schema.read_fill(row)
            self._book(fill)
            if self._owner(fill) is None:
                self._leave_unclaimed(fill)
        for contract_id, size in self._database.rows("SELECT * FROM corrections"):
            self._correct(str(contract_id), Decimal(str(size)))
        self._cursors = {str(topic): str(value) for topic, value in self._database.rows("SELECT * FROM cursors")}
        self.fills_read = Sequence(int(self._cursors.get("fill numbers", "0")))
        for section, key, value in self._database.rows("SELECT * FROM sections"):
            self._sections.setdefault(str(section), {})[str(key)] = str(value)

    def close(self) -> None:
        """Close the file; what was read stays readable."""
        self._database.close()

    # Reading

    def news(self, request_id: str) -> asyncio.Event:
        """Set whenever something is heard of ``request_id``."""
        return self._news.setdefault(request_id, asyncio.Event())

    def by_order_id(self, order_id: str) -> OrderRecord | None:
        """The record of one of our orders by the venue's id; None for an order of somebody else."""
        request_id = self._by_order_id.get(order_id)
        return None if request_id is None else self.orders[request_id]

    def knows(self, order: Order) -> bool:
        """Whether an order is known to be ours."""
        return order.client_key in self._by_key or order.id in self._by_order_id

    def amendments_of(self, request_id: str) -> list[Amendment]:
        """What was asked to be changed of an order, oldest first."""
        return [self.amendments[amendment] for amendment in self._amendments_of.get(request_id, ())]

    def cancel_wanted(self, request_id: str) -> bool:
        """Whether a cancel of this order was asked for and is not settled."""
        return any(a.kind == "cancel" and not a.outcome for a in self.amendments_of(request_id))

    async def get_positions(self) -> dict[str, Decimal]:
        """What is held of each contract."""
        return dict(self.positions)

    def verify_state_consistency(self) -> bool:
        """Whether memory, disk and the sums of the fills agree. What does not is logged."""
        found = inconsistencies(
            Mirror(self.orders, self.amendments, self.fills, self.positions, self.corrections), self._database
        )
        for problem in found:
            log.error("inconsistent state: %s", problem)
        return not found

    # Orders and amendments

    async def add_order(self, record: OrderRecord) -> None:
        """Remember a request, before anything is sent for it. One that is known already stays as it is."""
        async with self._changing:
            if record.request_id not in self.orders:
                await self._database.commit(schema.insert_order(record))
                self._mirror(record)
                self._changed()

    async def forget_order(self, request_id: str) -> None:
        """Forget a request for which certainly nothing was sent, and which its caller was told has failed."""
        async with self._changing:
            await self._database.commit(("DELETE FROM orders WHERE request_id = ?", (request_id,)))
            record = self.orders.pop(request_id)
            self._by_key.pop(record.key)
            self.news(request_id).set()
            self._changed()

    async def add_amendment(self, amendment: Amendment) -> None:
        """Remember a cancel or a replacement, before anything is sent for it."""
        async with self._changing:
            if amendment.request_id not in self.amendments:
                await self._database.commit(schema.insert_amendment(amendment))
                self._mirror_amendment(amendment)
                self.news(amendment.of).set()
                self._changed()

    async def settle(self, request_id: str, outcome: Outcome) -> None:
        """Remember what became of an amendment."""
        async with self._changing:
            await self._database.commit(
                ("UPDATE amendments SET outcome = ? WHERE request_id = ?", (outcome, request_id))
            )
            self.amendments[request_id] = replace(self.amendments[request_id], outcome=outcome)
            self._changed()

    async def end_unplaced(self, request_id: str, status: OrderStatus) -> None:
        """The venue certainly has no such order: it said no (rejected), or nobody wants it now (canceled)."""
        async with self._changing:
            record = self.orders[request_id]
            if not record.settled:
                await self._save({request_id: replace(record, status=status)})

    def doubt(self, request_id: str) -> None:
        """Nobody knows whether the venue has this order. Not written: a restart doubts everything unsettled."""
        record = self.orders[request_id]
        if record.status == OrderStatus.PENDING:
            self._mirror(replace(record, status=OrderStatus.UNKNOWN))
            self._changed()

    async def seen(self, *orders: Order) -> None:
        """Take in orders as the venue tells them, from wherever. Orders of somebody else change nothing here."""
        async with self._changing:
            changed: dict[str, OrderRecord] = {}
            learnt: dict[str, str] = {}
            for order in orders:
                request_id = self._by_key.get(order.client_key) or self._by_order_id.get(order.id, learnt.get(order.id))
                if request_id is None:
                    continue
                learnt[order.id] = request_id
                record = changed.get(request_id) or self.orders[request_id]
                if record.order_id not in ("", order.id):
                    log.error("request %s has a second order at the venue: %s", request_id, order.id)
                    continue
                after = self._claimed(record, record.told(order))
                if after is not record:
                    changed[request_id] = after
            if changed:
                await self._save(changed)

    async def snapshot(self, open_orders: Iterable[Order]) -> None:
        """Take in all orders that the venue holds open. Those of somebody else replace the ones known before."""
        orders = tuple(open_orders)
        await self.seen(*orders)
        external = {order.id: order for order in orders if not self.knows(order)}
        if external != self.external:
            self.external = external
            self._changed()

    # Fills

    def history(self) -> Iterator[Fill]:
        """Every fill that counts, oldest first: it was applied, and not taken back."""
        fills = map(schema.read_fill, self._database.rows(schema.FILLS))
        return (fill for fill in fills if not fill.voided)

    @property
    def fills_counting(self) -> int:
        """How many fills count."""
        return len(self.fills) - len(self._voided)

    def has(self, fill: Fill) -> bool:
        """Whether a fill was applied, or taken back, already."""
        return fill.id in (self._voided if fill.voided else self.fills)

    async def apply(self, *fills: Fill, read: Sequence | None = None) -> None:
        """Apply fills, each once however often it arrives, and note how far they were read (``read`` knows better).

        A fill of somebody else's order counts for the position and for no request; if its order turns out to be ours
        (the fill was faster than the answer), it is counted there then.
        """
        async with self._changing:
            fresh = {fill.id: fill for fill in fills if not self.has(fill)}
            numbers = read or self.fills_read.with_numbers(
                *(fill.sequence for fill in fills if fill.sequence is not None)
            )
            changed: dict[str, OrderRecord] = {}
            unclaimed: list[Fill] = []
            for fill in fresh.values():
                request_id = self._owner(fill)
                if request_id is None:
                    unclaimed.append(fill)
                    continue
                record = changed.get(request_id) or self.orders[request_id]
                if record.order_id in ("", fill.order_id):
                    changed[request_id] = self._with(record, fill)
            statements = [schema.write_fill(fill) for fill in fresh.values()]
            if numbers.contiguous > self.fills_read.contiguous:
                statements.append(_write_cursor("fill numbers", str(numbers.contiguous)))
            if statements:
                await self._save(changed, *statements, booked=fresh.values())
            self.fills_read = numbers
            for fill in unclaimed:
                self._leave_unclaimed(fill)

    def _owner(self, fill: Fill) -> str | None:
        return self._by_key.get(fill.client_key) or self._by_order_id.get(fill.order_id)

    def _leave_unclaimed(self, fill: Fill) -> None:
        others = [other for other in self._unclaimed.get(fill.order_id, ()) if other.id != fill.id]
        self._unclaimed[fill.order_id] = others if fill.voided else [*others, fill]

    def _with(self, record: OrderRecord, fill: Fill) -> OrderRecord:
        if fill.voided:
            return record.without_fill(fill) if fill.id in self.fills else record
        amended = any(a.kind == "replace" for a in self.amendments_of(record.request_id))
        return self._claimed(record, record.with_fill(fill, amended=amended))

    def _claimed(self, before: OrderRecord, after: OrderRecord) -> OrderRecord:
        """``after`` with the fills that came before anybody knew whose order they belong to."""
        if before.order_id or after.order_id not in self._unclaimed:
            return after
        for fill in self._unclaimed[after.order_id]:
            after = self._with(after, fill)
        return after

    def _book(self, fill: Fill) -> None:
        known = fill.id in self.fills
        self.fills[fill.id] = None
        if fill.voided:
            self._voided.add(fill.id)
        if fill.voided != known:
            # Taken back before it was ever told: it never counted.
            return
        signed = -fill.signed if fill.voided else fill.signed
        self.positions[fill.contract_id] = self.positions.get(fill.contract_id, ZERO) + signed

    # Positions, cursors, sections

    async def adopt_positions(self, positions: Iterable[Position]) -> None:
        """Believe the venue's positions. What the fills do not explain is kept as a correction."""
        async with self._changing:
            told = {position.contract_id: position.size for position in positions}
            off = {
                contract_id: told.get(contract_id, ZERO) - self.positions.get(contract_id, ZERO)
                for contract_id in {**self.positions, **told}
            }
            wrong = {contract_id: size for contract_id, size in off.items() if size}
            if not wrong:
                return
            await self._database.commit(
                *(
                    (
                        "INSERT OR REPLACE INTO corrections VALUES (?, ?)",
                        (contract_id, str(self.corrections.get(contract_id, ZERO) + size)),
                    )
                    for contract_id, size in wrong.items()
                )
            )
            for contract_id, size in wrong.items():
                log.warning("position in %s corrected by %s to what the venue holds", contract_id, size)
                self._correct(contract_id, size)
            self._changed()

    def _correct(self, contract_id: str, size: Decimal) -> None:
        self.corrections[contract_id] = self.corrections.get(contract_id, ZERO) + size
        self.positions[contract_id] = self.positions.get(contract_id, ZERO) + size

    def cursor(self, topic: str) -> str:
        """How far ``topic`` was read, as its source counts; empty at the beginning."""
        return self._cursors.get(topic, "")

    async def set_cursor(self, topic: str, value: str) -> None:
        """Note how far ``topic`` was read."""
        async with self._changing:
            if self.cursor(topic) != value:
                await self._database.commit(_write_cursor(topic, value))
                self._cursors[topic] = value

    def get(self, section: str, key: str) -> str | None:
        """A value that another component keeps here."""
        return self._sections.get(section, {}).get(key)

    def items(self, section: str) -> Mapping[str, str]:
        """All values of a section."""
        return dict(self._sections.get(section, {}))

    async def put(self, section: str, key: str, value: str) -> None:
        """Keep a value for another component."""
        async with self._changing:
            await self._database.commit(("INSERT OR REPLACE INTO sections VALUES (?, ?, ?)", (section, key, value)))
            self._sections.setdefault(section, {})[key] = value

    async def delete(self, section: str, key: str) -> None:
        """Forget a value; nothing happens when there is none."""
        async with self._changing:
            await self._database.commit(("DELETE FROM sections WHERE section = ? AND key = ?", (section, key)))
            self._sections.get(section, {}).pop(key, None)

    # Inside

    async def _save(self, records: Mapping[str, OrderRecord], *more: Statement, booked: Collection[Fill] = ()) -> None:
        await self._database.commit(*map(schema.update_order, records.values()), *more)
        for record in records.values():
            self._mirror(record)
        for fill in booked:
            self._book(fill)
        if booked:
            for hear in self.on_fills:
                hear(booked)
        self._changed()

    def _mirror(self, record: OrderRecord) -> None:
        self.orders[record.request_id] = record
        self._by_key[record.key] = record.request_id
        if record.order_id:
            self._by_order_id[record.order_id] = record.request_id
            self._unclaimed.pop(record.order_id, None)
        if record.reported > record.filled:
            self.short.add(record.request_id)
        else:
            self.short.discard(record.request_id)
        self.news(record.request_id).set()

    def _mirror_amendment(self, amendment: Amendment) -> None:
        self.amendments[amendment.request_id] = amendment
        self._amendments_of.setdefault(amendment.of, []).append(amendment.request_id)

    def _changed(self) -> None:
        for hear in self.on_change:
            hear()


def _write_cursor(topic: str, value: str) -> Statement:
    return "INSERT OR REPLACE INTO cursors VALUES (?, ?)", (topic, value)

"""The store without its rules."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from faultline.mutants import Driven, Mutant, Patch
from faultline.oracles import FillsConserved, NoDuplicates
from targets.mutants import drives
from targets.resilience import schema
from targets.resilience.database import Database
from targets.resilience.records import OrderRecord
from targets.resilience.state_manager import StateManager

FLUSH_S: Final = 0.2


def writes_down_after_sending(patch: Patch) -> None:
    """Writes an order down only when the venue has answered."""

    async def adds(self: StateManager, record: OrderRecord) -> None:
        self._mirror(self.orders.get(record.request_id, record))

    patch.set(StateManager, "add_order", adds)


def makes_new_keys_after_a_restart(patch: Patch) -> None:
    """Sends what was pending again after a restart, under a new key."""

    def make(read: Any) -> Any:
        def reads(row: Any) -> OrderRecord:
            record: OrderRecord = read(row)
            return record if record.settled else replace(record, key=uuid.uuid4().hex)

        return reads

    patch.wrap(schema, "read_record", make)


def answers_before_it_is_durable(patch: Patch) -> None:
    """Says that a change is durable before it is written."""

    def make(commit: Any) -> Any:
        async def commits(self: Database, *statements: Any) -> None:
            if statements[0][0].startswith("CREATE"):
                await commit(self, *statements)
            else:
                asyncio.get_running_loop().call_later(FLUSH_S, self._transact, statements)

        return commits

    patch.wrap(Database, "commit", make)


def adds_up_in_floats(patch: Patch) -> None:
    """Adds up quantities in binary fractions."""

    def make(with_fill: Any) -> Any:
        def filled(self: OrderRecord, fill: Any, **more: Any) -> OrderRecord:
            after: OrderRecord = with_fill(self, fill, **more)
            return replace(after, filled=Decimal(repr(float(self.filled) + float(fill.size))))

        return filled

    patch.wrap(OrderRecord, "with_fill", make)


def keeps_a_journal_beside_the_file(patch: Patch) -> None:
    """Leaves its last commits in a file beside the store."""

    def make(open_: Any) -> Any:
        async def opens(self: Database) -> None:
            await open_(self)
            self._db.execute("PRAGMA journal_mode=WAL")

        return opens

    patch.wrap(Database, "open", make)


MUTANTS: Final = (
    Mutant(
        "D01", "Store", writes_down_after_sending,
        "witnesses/D01.yaml", ("no_duplicates",), faults="a crash after the effect", venues="idempotency: none",
        wasabi="HOW", seen=("hummingbot#366", "freqtrade#8913"),
    ),
    Mutant(
        "D03", "Store", makes_new_keys_after_a_restart,
        "witnesses/D03.yaml", ("no_duplicates",), faults="a crash after the effect", venues="idempotency: none",
        wasabi="HOW",
    ),
    Mutant(
        "D05", "Store", answers_before_it_is_durable,
        "witnesses/D05.yaml", ("crash_consistent", "no_duplicates", "no_lost_ack"), faults="a crash",
        venues="idempotency: none", seen=("sqlite.org forum 9d6f13e346",),
    ),
    Mutant(
        "D06", "Store", keeps_a_journal_beside_the_file,
        Driven(drives.the_store_is_moved, (NoDuplicates(), FillsConserved())),
        ("no_duplicates",), faults="none: the store is moved", venues="idempotency: none", fault_free=True,
        seen=("freqtrade#9587",),
    ),
    Mutant(
        "D09", "Store", adds_up_in_floats,
        "witnesses/D09.yaml", ("fills_conserved",), faults="a fill in nine parts",
    ),
)  # fmt: skip

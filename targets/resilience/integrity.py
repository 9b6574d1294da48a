"""Whether a state store agrees with itself: memory with disk, and every sum with what it is the sum of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from decimal import Decimal

from targets.resilience import schema
from targets.resilience.database import Database
from targets.resilience.records import Amendment, OrderRecord
from targets.resilience.venue import ZERO, Fill, OrderStatus


@dataclass(frozen=True, slots=True)
class Mirror:
    """What a state store believes, as it has it in memory."""

    orders: Mapping[str, OrderRecord]
    amendments: Mapping[str, Amendment]
    fills: Mapping[str, None]
    positions: Mapping[str, Decimal]
    corrections: Mapping[str, Decimal]


def inconsistencies(state: Mirror, database: Database) -> list[str]:
    """Everything that does not agree, one line each."""
    (damage,) = database.rows("PRAGMA quick_check")[0]
    if damage != "ok":
        return [f"the file is damaged: {damage}"]
    fills = [schema.read_fill(row) for row in database.rows(schema.FILLS)]
    replaced = {amendment.of for amendment in state.amendments.values() if amendment.kind == "replace"}
    return [
        *_against_disk(state, database, {fill.id for fill in fills}),
        *_sums(state, [fill for fill in fills if not fill.voided]),
        *_sizes(state, replaced),
    ]


def _against_disk(state: Mirror, database: Database, fill_ids: Set[str]) -> Iterator[str]:
    on_disk = {record.request_id: record for record in map(schema.read_record, database.rows(schema.ORDERS))}
    for request_id in {**on_disk, **state.orders}:
        known, written = state.orders.get(request_id), on_disk.get(request_id)
        if known is not None and known.status == OrderStatus.UNKNOWN:
            # A doubt is not written: a restart doubts everything unsettled.
            known = replace(known, status=OrderStatus.PENDING)
        if known != written:
            yield f"order {request_id}: {known} in memory, {written} on disk"
    amendments = {a.request_id: a for a in map(schema.read_amendment, database.rows(schema.AMENDMENTS))}
    if amendments != state.amendments:
        yield f"amendments: {len(state.amendments)} in memory differ from {len(amendments)} on disk"
    if fill_ids != state.fills.keys():
        yield f"fills in memory or on disk only: {', '.join(sorted(fill_ids ^ state.fills.keys()))}"


def _sums(state: Mirror, fills: list[Fill]) -> Iterator[str]:
    filled: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    positions: defaultdict[str, Decimal] = defaultdict(lambda: ZERO, state.corrections)
    for fill in fills:
        filled[fill.order_id] += fill.size
        positions[fill.contract_id] += fill.signed
    for record in state.orders.values():
        if record.order_id and record.filled != filled[record.order_id]:
            yield f"order {record.request_id}: filled {record.filled}, its fills come to {filled[record.order_id]}"
    for contract_id in {**positions, **state.positions}:
        if state.positions.get(contract_id, ZERO) != positions[contract_id]:
            held = state.positions.get(contract_id, ZERO)
            yield f"position in {contract_id}: {held}, its fills come to {positions[contract_id]}"


def _sizes(state: Mirror, replaced: Set[str]) -> Iterator[str]:
    for record in state.orders.values():
        if record.filled > record.size and record.request_id not in replaced:
            yield f"order {record.request_id}: filled {record.filled} of {record.size}"

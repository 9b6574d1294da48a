"""The tables of the state store, and the statements that write them. Money and quantities are decimal text.

``records`` are read back by the two functions at the end; a column that is added gets a migration of its own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from targets.resilience.database import Statement
from targets.resilience.records import Amendment, OrderRecord
from targets.resilience.venue import Fill, OrderSide, OrderStatus, OrderType

MIGRATIONS: Final = (
    (
        "CREATE TABLE orders (request_id TEXT PRIMARY KEY, key TEXT UNIQUE NOT NULL, account_id TEXT, contract_id TEXT,"
        " side TEXT, type TEXT, size TEXT, limit_price TEXT, stop_price TEXT, order_id TEXT, status TEXT, filled TEXT,"
        " reported TEXT)",
        "CREATE TABLE amendments (request_id TEXT PRIMARY KEY, kind TEXT, of TEXT, size TEXT, limit_price TEXT,"
        " outcome TEXT)",
        "CREATE TABLE fills (fill_id TEXT PRIMARY KEY, order_id TEXT, key TEXT, contract_id TEXT, side TEXT, size TEXT,"
        " price TEXT, sequence INTEGER, voided INTEGER)",
        "CREATE TABLE cursors (topic TEXT PRIMARY KEY, value TEXT)",
        "CREATE TABLE corrections (contract_id TEXT PRIMARY KEY, size TEXT)",
        "CREATE TABLE sections (section TEXT, key TEXT, value TEXT, PRIMARY KEY (section, key))",
    ),
)
ORDERS: Final = "SELECT * FROM orders ORDER BY rowid"
AMENDMENTS: Final = "SELECT * FROM amendments ORDER BY rowid"
FILLS: Final = "SELECT * FROM fills ORDER BY rowid"


def insert_order(r: OrderRecord) -> Statement:
    """Write a new record."""
    return (
        "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(r.request_id, r.key, r.account_id, r.contract_id, r.side, r.type, str(r.size)),
            *(_text(r.limit_price), _text(r.stop_price), r.order_id, r.status, str(r.filled), str(r.reported)),
        ),
    )


def update_order(r: OrderRecord) -> Statement:
    """Write what can change of a record."""
    return (
        "UPDATE orders SET order_id = ?, status = ?, filled = ?, reported = ? WHERE request_id = ?",
        (r.order_id, r.status, str(r.filled), str(r.reported), r.request_id),
    )


def insert_amendment(a: Amendment) -> Statement:
    """Write a new amendment."""
    return (
        "INSERT INTO amendments VALUES (?, ?, ?, ?, ?, ?)",
        (a.request_id, a.kind, a.of, _text(a.size), _text(a.limit_price), a.outcome),
    )


def write_fill(f: Fill) -> Statement:
    """Write a fill, or that it was taken back."""
    return (
        "INSERT OR REPLACE INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(f.id, f.order_id, f.client_key, f.contract_id, f.side, str(f.size), str(f.price)),
            *(f.sequence, int(f.voided)),
        ),
    )


def read_record(row: Any) -> OrderRecord:
    """The record in a row of ``ORDERS``."""
    request_id, key, account_id, contract_id, side, kind, size, limit, stop, order_id, status, filled, reported = row
    return OrderRecord(
        *(request_id, key, account_id, contract_id, OrderSide(side), OrderType(kind), Decimal(size)),
        *(_number(limit), _number(stop), order_id, OrderStatus(status), Decimal(filled), Decimal(reported)),
    )


def read_amendment(row: Any) -> Amendment:
    """The amendment in a row of ``AMENDMENTS``."""
    request_id, kind, of, size, limit, outcome = row
    return Amendment(request_id, kind, of, _number(size), _number(limit), outcome)


def read_fill(row: Any) -> Fill:
    """The fill in a row of ``FILLS``."""
    fill_id, order_id, key, contract_id, side, size, price, sequence, voided = row
    terms = contract_id, OrderSide(side), Decimal(size), Decimal(price)
    return Fill(fill_id, order_id, *terms, key, sequence, bool(voided))


def _text(number: Decimal | None) -> str:
    return "" if number is None else str(number)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if text else None

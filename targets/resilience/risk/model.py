"""What the risk rules are told, and what they answer. All values are frozen; quantities and money are Decimal."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from targets.resilience.errors import ResilienceError

Side = Literal["buy", "sell"]
Remedy = Literal["alert", "cancel", "flatten", "flatten_symbol"]
"""What a breach asks for: tell somebody; cancel what is open; close all positions, or those in one symbol."""

ZERO = Decimal(0)


def sign(side: Side) -> int:
    """1 for a buy, -1 for a sell."""
    return 1 if side == "buy" else -1


@dataclass(frozen=True, slots=True)
class Proposal:
    """An order that is to be sent. ``price`` is None for a market order, ``stop`` marks a protective one."""

    intent: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None = None
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a proposal. ``rule`` and ``reason`` are empty when it is allowed."""

    allowed: bool
    rule: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule is broken by what has happened. ``for_today``: nothing is opened any more until the day is over."""

    rule: str
    reason: str
    remedy: Remedy
    symbol: str = ""
    for_today: bool = False


@dataclass(frozen=True, slots=True)
class PositionEvent:
    """The venue tells a position: signed quantity and the average price of its opening."""

    symbol: str
    quantity: Decimal
    average_price: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class TradeEvent:
    """A fill. ``profit`` is what the venue says that it realized, None where it does not say.

    ``intent`` is empty for a fill of somebody else's order. ``voided`` takes an earlier fill of the same id back.
    """

    trade_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    intent: str = ""
    fees: Decimal = ZERO
    profit: Decimal | None = None
    voided: bool = False


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What became of an order: ``open``, ``unknown`` (it may be live) or ``ended``.

    ``remaining`` is by how much it may still fill; None where only its fills tell.
    """

    intent: str
    status: Literal["open", "unknown", "ended"]
    remaining: Decimal | None = None


@dataclass(frozen=True, slots=True)
class QuoteEvent:
    """The last price of a symbol."""

    symbol: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """Whether the venue lets the account trade, and whether what we know of it is up to date."""

    can_trade: bool
    stale: bool = False


Event = PositionEvent | TradeEvent | OrderEvent | QuoteEvent | AccountEvent


class RiskRejectedError(ResilienceError):
    """An order was not sent because a rule forbids it."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"{decision.rule}: {decision.reason}")
        self.decision = decision

"""The risk rules engine: what may be sent, what must be closed, and the switch that stops everything."""

from targets.resilience.risk.book import Book
from targets.resilience.risk.config import RiskConfig
from targets.resilience.risk.engine import RiskEngine, RiskStore
from targets.resilience.risk.flatten import Trading
from targets.resilience.risk.model import (
    AccountEvent,
    Breach,
    Decision,
    OrderEvent,
    PositionEvent,
    Proposal,
    QuoteEvent,
    RiskRejectedError,
    TradeEvent,
)
from targets.resilience.risk.rules import RULES, Rule

__all__ = [
    "RULES",
    "AccountEvent",
    "Book",
    "Breach",
    "Decision",
    "OrderEvent",
    "PositionEvent",
    "Proposal",
    "QuoteEvent",
    "RiskConfig",
    "RiskEngine",
    "RiskRejectedError",
    "RiskStore",
    "Rule",
    "Trading",
    "TradeEvent",
]

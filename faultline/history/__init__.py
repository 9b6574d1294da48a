"""The history of a run: typed events, the append-only log, and what folds out of it."""

from faultline.history.aliases import Aliases
from faultline.history.builder import HistoryBuilder
from faultline.history.contract import ClientPolicy, Contract, RateBucket
from faultline.history.ledger import Ledger, OrderRecord
from faultline.history.log import History, read_history

__all__ = [
    "Aliases",
    "ClientPolicy",
    "Contract",
    "History",
    "HistoryBuilder",
    "Ledger",
    "OrderRecord",
    "RateBucket",
    "read_history",
]

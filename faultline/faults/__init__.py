"""Faults: pure decisions, the closed list of actions they answer with, and who decides.

:data:`FAULTS` is the table of the kinds that a scenario file can name. A new fault is one class and one line here.
"""

from __future__ import annotations

from faultline.faults.base import Fault
from faultline.faults.disconnect import Disconnect
from faultline.faults.duplicate import DuplicateRequest
from faultline.faults.late import LateRequest, LateResponse
from faultline.faults.lost import LostRequest, LostResponse
from faultline.faults.status import StatusStorm
from faultline.faults.target import Crash, Restart
from faultline.faults.venue import PartialFill, Reject, StaleRead, TokenExpiry

FAULTS: dict[str, type[Fault]] = {
    "crash": Crash,
    "disconnect": Disconnect,
    "duplicate_request": DuplicateRequest,
    "late_request": LateRequest,
    "late_response": LateResponse,
    "lost_request": LostRequest,
    "lost_response": LostResponse,
    "partial_fill": PartialFill,
    "reject": Reject,
    "restart": Restart,
    "stale_read": StaleRead,
    "status_storm": StatusStorm,
    "token_expiry": TokenExpiry,
}

__all__ = [
    "FAULTS",
    "Crash",
    "Disconnect",
    "DuplicateRequest",
    "Fault",
    "LateRequest",
    "LateResponse",
    "LostRequest",
    "LostResponse",
    "PartialFill",
    "Reject",
    "Restart",
    "StaleRead",
    "StatusStorm",
    "TokenExpiry",
]

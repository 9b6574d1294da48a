"""Faults: pure decisions, the closed list of actions they answer with, and who decides.

:data:`FAULTS` is the table of the kinds that a scenario file can name. A new fault is one class and one line here, or
one entry point of another package (:mod:`faultline.plugins`).
"""

from __future__ import annotations

from faultline.faults.base import Fault, why_no_fault
from faultline.faults.body import MalformedBody
from faultline.faults.closed import Ban, Maintenance
from faultline.faults.connection import HalfOpen, ResetPeer, Truncate
from faultline.faults.disconnect import Disconnect
from faultline.faults.duplicate import DuplicateRequest
from faultline.faults.ending import CutAfter, LimitData, SlowClose
from faultline.faults.late import LateRequest, LateResponse
from faultline.faults.latency import Bandwidth, Corrupt, Latency, Loss, Slicer
from faultline.faults.lost import LostRequest, LostResponse
from faultline.faults.messages import DelayMessage, DropMessage, DuplicateMessage, ReorderMessages, SilentStream
from faultline.faults.outage import DnsFailure, Partition, Refuse, Timeout
from faultline.faults.races import CancelRace, FillBeforeAck
from faultline.faults.signalr import HubClose, LostCompletion
from faultline.faults.status import StatusStorm
from faultline.faults.store import StoreError
from faultline.faults.target import ClockStep, Crash, Pause, Restart
from faultline.faults.unknown import UnknownStatus
from faultline.faults.venue import PartialFill, Reject, SlowFill, StaleRead, TokenExpiry
from faultline.plugins import Table

_SHIPPED: dict[str, type[Fault]] = {
    "ban": Ban,
    "bandwidth": Bandwidth,
    "cancel_race": CancelRace,
    "clock_step": ClockStep,
    "corrupt": Corrupt,
    "crash": Crash,
    "cut_after": CutAfter,
    "delay_message": DelayMessage,
    "disconnect": Disconnect,
    "dns_failure": DnsFailure,
    "drop_message": DropMessage,
    "duplicate_message": DuplicateMessage,
    "duplicate_request": DuplicateRequest,
    "fill_before_ack": FillBeforeAck,
    "half_open": HalfOpen,
    "hub_close": HubClose,
    "late_request": LateRequest,
    "late_response": LateResponse,
    "latency": Latency,
    "limit_data": LimitData,
    "loss": Loss,
    "lost_completion": LostCompletion,
    "lost_request": LostRequest,
    "lost_response": LostResponse,
    "maintenance": Maintenance,
    "malformed_body": MalformedBody,
    "partial_fill": PartialFill,
    "partition": Partition,
    "pause": Pause,
    "refuse": Refuse,
    "reject": Reject,
    "reorder_messages": ReorderMessages,
    "reset_peer": ResetPeer,
    "restart": Restart,
    "silent_stream": SilentStream,
    "slicer": Slicer,
    "slow_close": SlowClose,
    "slow_fill": SlowFill,
    "stale_read": StaleRead,
    "status_storm": StatusStorm,
    "store_error": StoreError,
    "timeout": Timeout,
    "token_expiry": TokenExpiry,
    "truncate": Truncate,
    "unknown_status": UnknownStatus,
}

FAULTS: Table[type[Fault]] = Table("faultline.faults", _SHIPPED, why_no_fault)
"""Every fault by its kind: ours, and those of installed packages."""

__all__ = [
    "FAULTS",
    "Ban",
    "Bandwidth",
    "CancelRace",
    "ClockStep",
    "Corrupt",
    "Crash",
    "CutAfter",
    "DelayMessage",
    "Disconnect",
    "DnsFailure",
    "DropMessage",
    "DuplicateMessage",
    "DuplicateRequest",
    "Fault",
    "FillBeforeAck",
    "HalfOpen",
    "HubClose",
    "LateRequest",
    "LateResponse",
    "Latency",
    "LimitData",
    "Loss",
    "LostCompletion",
    "LostRequest",
    "LostResponse",
    "Maintenance",
    "MalformedBody",
    "PartialFill",
    "Partition",
    "Pause",
    "Refuse",
    "Reject",
    "ReorderMessages",
    "ResetPeer",
    "Restart",
    "SilentStream",
    "Slicer",
    "SlowClose",
    "SlowFill",
    "StaleRead",
    "StatusStorm",
    "StoreError",
    "Timeout",
    "TokenExpiry",
    "Truncate",
    "UnknownStatus",
]
